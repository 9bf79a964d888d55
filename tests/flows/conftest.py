"""One Bellhop for all flows: real Redis, web and worker processes, and stand-ins for Stream, Apple and Google.

Two workers run, each with a watchdog, so every flow also shows that they do nothing twice. Stream's stamps decide, so
a test does not wait for a phone to ring out: it posts a ring that began a while ago. No stamp is ahead of the clock, or
Bellhop would learn that Stream's clock is.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest_asyncio
import redis

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import Event, SampleCall
from bellhop.trail import Milestone
from tests.one_home import each_command_has_one_home
from tests.redis_servers import clients_of, urls_of
from tests.trails import trail_of

SOON_S = 60
"""Far longer than anything here takes."""
UNFINISHED = """
local jobs = #redis.call('KEYS', 'bellhop:*inflight:*')
for _, queue in ipairs(redis.call('KEYS', 'rq:*queue:*')) do jobs = jobs + redis.call('LLEN', queue) end
for _, agenda in ipairs(redis.call('KEYS', 'bellhop:*agenda')) do
  for _, member in ipairs(ARGV) do jobs = jobs + (redis.call('ZSCORE', agenda, member) and 1 or 0) end
end
return jobs
"""


@dataclass
class Phone:
    """A user with one phone."""

    user: str
    tokens: tuple[str, ...]


@dataclass
class Flow:
    """The users and calls of one test. Their ids are its own, so that tests do not meet."""

    installation: Installation
    suffix: str = field(default_factory=lambda: secrets.token_hex(4))
    calls: list[SampleCall] = field(default_factory=list)

    @cached_property
    def servers(self) -> list[redis.Redis]:
        """A client of each Redis server."""
        return clients_of(self.installation.redis)

    async def iphone(self, name: str) -> Phone:
        user, voip, alert = f"{name}-{self.suffix}", secrets.token_hex(32), secrets.token_hex(32)
        await self.installation.register(user, Provider.APNS, Kind.VOIP, voip)
        await self.installation.register(user, Provider.APNS, Kind.ALERT, alert)
        return Phone(user, (voip, alert))

    async def android(self, name: str) -> Phone:
        # As Flutter registers them: the provider decides, not the kind.
        user, token = f"{name}-{self.suffix}", f"fcm-{secrets.token_hex(16)}"
        await self.installation.register(user, Provider.FCM, Kind.VOIP, token)
        return Phone(user, (token,))

    def call(self, *members: Phone | str, **options: Any) -> SampleCall:
        ids = tuple(member.user if isinstance(member, Phone) else member for member in members)
        self.calls.append(SampleCall(f"sara-{self.suffix}", ids, **options))
        self.installation.stream_api.add_call(self.calls[-1])
        return self.calls[-1]

    async def post(self, *events: Event, **options: Any) -> None:
        """Post events in this order; each must be taken in."""
        for event in events:
            reply = await self.installation.stream.post(event, **options)
            assert reply.status == 200, reply

    def seen(self, phone: Phone) -> list[str]:
        """The types of the pushes that a phone was shown, in order."""
        apple = [
            (one.at, one.payload["stream"]["type"])
            for one in self.installation.apple.received
            if one.token in phone.tokens
        ]
        google = [
            (one.received_at, one.message["data"]["type"])
            for one in self.installation.google.received
            if one.token in phone.tokens
        ]
        return [kind for _, kind in sorted(apple + google)]

    async def reports(self, phone: Phone, event: str = "rang") -> None:
        """Let a phone report what becomes of its last ring, with the ticket of the push."""
        apple = [push.payload for push in self.installation.apple.received if push.token in phone.tokens]
        google = [push.message["data"] for push in self.installation.google.received if push.token in phone.tokens]
        tickets = [payload["bellhop"]["receipt"] for payload in apple if "receipt" in payload.get("bellhop", ())]
        tickets += [data["receipt"] for data in google if "receipt" in data]
        body = {"receipt": tickets[-1], "event": event}
        async with self.installation.http.post(f"{self.installation.url}/v1/receipts", json=body) as answer:
            assert answer.status == 204, await answer.text()

    async def rings(self, *phones: Phone, times: int = 1) -> None:
        """Wait until each of these phones has rung so often."""
        await self.until(lambda: all(self.seen(phone).count("call.ring") >= times for phone in phones), "they ring")

    async def attempted(self, iphone: Phone) -> None:
        """Wait until Apple got the first attempt to ring this iPhone."""
        requests = self.installation.apple.requests
        await self.until(lambda: iphone.tokens[0] in [request.token for request in requests], "a first attempt")

    async def quiet(self, *calls: SampleCall) -> None:
        """Wait until these calls' rounds (those of the flow, unless given) are closed and no job is left."""
        members = [f"default:{call.cid}" for call in calls or self.calls]
        give_up = time.monotonic() + SOON_S
        while self.jobs_left(*members):
            assert time.monotonic() < give_up, await self.trail(self.calls[0])
            await asyncio.sleep(0.02)

    async def idle(self) -> None:
        """Wait until no job is left, though phones may ring on."""
        give_up = time.monotonic() + SOON_S
        while self.jobs_left():
            assert time.monotonic() < give_up, await self.trail(self.calls[0])
            await asyncio.sleep(0.02)

    def jobs_left(self, *members: str) -> int:
        """Count the jobs that are not finished, and those of these calls that are on the agenda."""
        return sum(client.eval(UNFINISHED, 0, *members) for client in self.servers)

    async def until(self, look: Callable[[], bool], what: str) -> None:
        give_up = time.monotonic() + SOON_S
        while not look():
            assert time.monotonic() < give_up, f"never: {what}\n{await self.trail(self.calls[0])}"
            await asyncio.sleep(0.02)

    async def hears(self, call: SampleCall, *expected: tuple[str, Phone | str]) -> None:
        """Wait until the caller's app has heard this and no more: what (such as `reached`) of whom, in any order."""
        users = [(f"bellhop.ring.{what}", of.user if isinstance(of, Phone) else of) for what, of in expected]
        events = self.installation.stream_api.events
        await self.until(lambda: len(events.heard(call.cid)) >= len(users), "the caller's app is told")
        await self.idle()
        assert sorted(events.heard(call.cid)) == sorted(users)

    async def trail(self, call: SampleCall) -> list[Milestone]:
        return await trail_of(self.installation.store, call.cid)

    async def outcomes(self, call: SampleCall) -> dict[str, list[str]]:
        """Wait until the call is over; each user's final outcomes by their first name, oldest round first."""
        await self.quiet()
        settled = [line for line in await self.trail(call) if line.what == "settled"]
        found: dict[str, list[str]] = {}
        for line in sorted(settled, key=lambda line: line.round):
            found.setdefault(line.user.removesuffix(f"-{self.suffix}"), []).append(line.outcome)
        return found

    async def drops(self, call: SampleCall, phone: Phone) -> list[str]:
        """Why rings of a phone were dropped in the end."""
        ends = [line for line in await self.trail(call) if line.what == "finished" and line.user == phone.user]
        return [line.outcome for line in ends if line.kind == "ring"]


TWO_WAYS = {
    **{"RECEIPT_SECRET": "a-secret-of-no-real-app", "TELL_CALLER": "true"},
    **{"SECOND_WAY": "true", "SECOND_WAY_AFTER": "5", "ALERT_RING_EVERY": "2"},
}
"""What a phone reports, what the caller is told, and that a phone which stays silent is rung again."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def installation(tmp_path_factory) -> AsyncIterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    settings = {"MISSED_GRACE_S": "0.5", "STREAM_QUESTIONS_PER_S": "100", **TWO_WAYS}
    async with Installation(folder, settings, workers=2) as installation:
        with ExitStack() as watches:
            for url in urls_of(installation.redis):
                watches.enter_context(each_command_has_one_home(url))
            yield installation


@pytest_asyncio.fixture(loop_scope="session")
async def flow(installation: Installation) -> Flow:
    return Flow(installation)
