"""`bellhop events listen`: it prints what arrives, and says if a signature is wrong."""

import asyncio
import base64
import json
import re
import time

import aiohttp
import pytest

from bellhop.cli import events
from bellhop.clock import Micros, from_nanoseconds
from bellhop.domain.announcement import AnnouncementType, about_ring
from tests.factories import a_round
from worker.events_out.event_signer import EventSigner

SECRET, OTHER = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in range(2))
EVENT = about_ring(AnnouncementType.RINGING, a_round("ben"), "ben", Micros(1))


async def printed(capsys, *, as_json):
    """What it prints for an event that is signed with a known secret, then with another one."""
    listening = asyncio.create_task(events._listen(0, [SECRET], as_json=as_json))
    said = ""
    while not (found := re.search(r"http://localhost:\d+/events", said)):
        await asyncio.sleep(0.01)
        said += capsys.readouterr().err
    async with aiohttp.ClientSession() as session:
        for secret in (SECRET, OTHER):
            headers = EventSigner([secret]).headers(EVENT.id, from_nanoseconds(time.time_ns()), EVENT.document())
            async with session.post(found[0], data=EVENT.document(), headers=headers) as answer:
                assert answer.status == 204
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    return capsys.readouterr().out.splitlines()


async def test_each_event_is_one_line(capsys):
    first, second, problem = await printed(capsys, as_json=False)
    assert first == second and "ring.ringing" in first and "user_id=ben" in first
    assert "the signature is not valid: No matching signature found" in problem


async def test_json_has_the_whole_event(capsys):
    first, second = map(json.loads, await printed(capsys, as_json=True))
    assert first == {"problem": "", "event": json.loads(EVENT.document())}
    assert second["problem"] == "No matching signature found"
