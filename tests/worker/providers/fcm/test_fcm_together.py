"""Many pushes at once, several projects, and the end of a sender."""

import asyncio
import time
from collections import Counter

from bellhop.domain.outcomes import Outcome
from bellhop.sandbox.google_script import SILENCE, fcm_error, html, slow
from bellhop.sandbox.google_server import TOKEN_ENDPOINT, GoogleStandIn
from worker.providers.fcm.fcm_sender import DEFAULT_POLICY, FcmSender
from worker.providers.post_session import SessionPolicy


async def test_pushes_one_after_another_share_a_connection(google, fcm, android):
    for _ in range(20):
        assert (await fcm.send(android("phone"), 5)).outcome is Outcome.ACCEPTED
    assert len(google.clients) == 1


async def test_several_hundred_in_flight_share_one_session(google, fcm, android):
    for n in range(400):
        google.script(f"phone-{n}", slow(0.2))
    answers = await asyncio.gather(*(fcm.send(android(f"phone-{n}"), 60) for n in range(400)))
    assert Counter(answer.outcome for answer in answers) == {Outcome.ACCEPTED: 400}
    assert len(google.received) == len({push.token for push in google.received}) == 400
    assert len(google.clients) <= DEFAULT_POLICY.connections + 1


async def test_each_push_of_a_mixed_crowd_gets_its_own_answer(google, fcm, android):
    for n in range(0, 200, 4):
        google.script(f"phone-{n}", fcm_error(404, "NOT_FOUND", code="UNREGISTERED"))
        google.script(f"phone-{n + 1}", html(503))
    answers = await asyncio.gather(*(fcm.send(android(f"phone-{n}"), 60) for n in range(200)))
    assert [answer.outcome for answer in answers] == [
        Outcome.TOKEN_DEAD,
        Outcome.UNAVAILABLE,
        Outcome.ACCEPTED,
        Outcome.ACCEPTED,
    ] * 50


async def test_pushes_beyond_the_connections_are_unsent(google, make_fcm, android):
    # Not unknown: what never got a connection may be repeated without ringing twice.
    fcm = make_fcm(policy=SessionPolicy(connections=8))
    await fcm.warm()
    for n in range(20):
        google.script(f"phone-{n}", SILENCE)
    silent = [asyncio.create_task(fcm.send(android(f"phone-{n}"), 5)) for n in range(8)]
    while google.requests.total() < 1 + 8:
        await asyncio.sleep(0.01)
    rest = await asyncio.gather(*(fcm.send(android(f"phone-{n}"), 0.2) for n in range(8, 20)))
    assert {answer.outcome for answer in rest} == {Outcome.UNSENT}
    assert {answer.outcome for answer in await asyncio.gather(*silent)} == {Outcome.UNKNOWN}
    assert google.requests.total() == 1 + 8
    assert (await fcm.send(android("afterwards"), 30)).outcome is Outcome.ACCEPTED


async def test_projects_have_senders_and_access_tokens_of_their_own(android, tmp_path):
    projects = [f"project-{n}" for n in range(5)]
    async with GoogleStandIn(tmp_path, *projects) as google:
        senders = [
            FcmSender(google.write_service_account(tmp_path / f"{project}.json", project), google.url, google.ca_file)
            for project in projects
        ]
        pushes = [sender.send(android(f"phone-{n}"), 30) for n in range(20) for sender in senders]
        assert {answer.outcome for answer in await asyncio.gather(*pushes)} == {Outcome.ACCEPTED}
        assert Counter(push.project_id for push in google.received) == dict.fromkeys(projects, 20)
        assert google.requests[TOKEN_ENDPOINT] == 5
        await asyncio.gather(*(sender.close() for sender in senders))


async def test_cancelling_one_push_disturbs_no_other(google, fcm, android):
    await fcm.warm()
    for n in range(20):
        google.script(f"phone-{n}", slow(0.3))
    tasks = [asyncio.create_task(fcm.send(android(f"phone-{n}"), 30)) for n in range(20)]
    while not google.requests["phone-3"]:
        await asyncio.sleep(0.01)
    tasks[3].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers.pop(3), asyncio.CancelledError)
    assert {answer.outcome for answer in answers} == {Outcome.ACCEPTED}
    assert all(google.requests[f"phone-{n}"] == 1 for n in range(20))


async def test_closing_waits_for_pushes_in_flight_and_accepts_no_more(google, fcm, android):
    await fcm.warm()
    google.script("phone", slow(0.3))
    in_flight = asyncio.create_task(fcm.send(android("phone"), 30))
    while not google.requests["phone"]:
        await asyncio.sleep(0.01)
    closing = asyncio.create_task(fcm.close())
    await asyncio.sleep(0)
    late = await fcm.send(android("late"), 30)
    await closing
    assert in_flight.done()
    assert (await in_flight).outcome is Outcome.ACCEPTED
    assert (late.outcome, late.reason) == (Outcome.UNSENT, "CLOSED")
    assert google.requests["late"] == 0


async def test_closing_does_not_wait_for_a_silent_token_endpoint(google, fcm, android):
    google.script(TOKEN_ENDPOINT, SILENCE)
    assert (await fcm.send(android("phone"), 0.1)).outcome is Outcome.UNSENT
    began = time.monotonic()
    await fcm.close()
    assert time.monotonic() - began < 3


async def test_closing_a_sender_that_never_sent_does_nothing(google, make_fcm):
    await make_fcm().close()
    assert not google.requests
