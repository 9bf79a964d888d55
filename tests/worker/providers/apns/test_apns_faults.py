"""What Apple, the network or the caller can do to a push in flight: it gets its answer, and its neighbours theirs.

Each test is a way in which a plain HTTP/2 client hangs, repeats pushes, or takes the neighbours down.
"""

import asyncio
import gc
import time
from dataclasses import dataclass

import pytest
from h2.errors import ErrorCodes

from bellhop.domain.device import Environment
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.sandbox.apple_connection import AppleConnection
from bellhop.sandbox.apple_script import AppleReply, Behaviour, Drop, GoAway, Reset, Silence
from bellhop.sandbox.apple_server import AppleStandIn
from tests.waiting import come_true
from tests.worker.providers.apns.apns_pushes import OTHER_TOKEN, TOKEN, MakeSender, ring
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.http2.connection_log import NO_LOG
from worker.providers.http2.connection_policy import ConnectionPolicy
from worker.providers.http2.http2_connection import Http2Connection
from worker.providers.http2.http2_stream import Http2Stream

AT_ONCE_S = 5
NEIGHBOURS = 10


@dataclass
class Bystanders:
    """Pushes that are in flight on the same connection while something happens to another one."""

    apple: AppleStandIn
    sender: ApnsSender
    answered_after_s: float = 0.15

    async def __aenter__(self) -> "Bystanders":
        self.apple.script(OTHER_TOKEN, *[AppleReply(delay_s=self.answered_after_s)] * NEIGHBOURS)
        self.tasks = [asyncio.create_task(self.sender.send(ring(OTHER_TOKEN), 10)) for _ in range(NEIGHBOURS)]
        while len(self.apple.requests) < NEIGHBOURS:
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def outcomes(self) -> set[Outcome]:
        async with asyncio.timeout(AT_ONCE_S):
            return {answer.outcome for answer in await asyncio.gather(*self.tasks)}


async def send_among_others(
    apple: AppleStandIn, sender: ApnsSender, *behaviour: Behaviour, timeout_s: float = 5, others: Outcome
) -> AttemptResult:
    """Send one push among ten others: those end as `others`, each was sent once, and the next push goes at once."""
    apple.script(TOKEN, *behaviour)
    answered_after_s = 0.15 if others is Outcome.ACCEPTED else 60
    async with Bystanders(apple, sender, answered_after_s) as bystanders:
        async with asyncio.timeout(AT_ONCE_S):
            answer = await sender.send(ring(TOKEN), timeout_s)
        assert await bystanders.outcomes() == {others}
    assert len(apple.requests) == NEIGHBOURS + 1
    assert len({request.headers["apns-id"] for request in apple.requests}) == NEIGHBOURS + 1
    async with asyncio.timeout(AT_ONCE_S):
        assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    return answer


async def test_three_thousand_dead_tokens_are_all_reported(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.script(TOKEN, *[AppleReply(410, "Unregistered", timestamp_ms=1_700_000_000_000)] * 3000)
    answers: list[AttemptResult] = []

    async def lane() -> None:
        for _ in range(30):
            answers.append(await sender.send(ring(), 30))

    async with asyncio.timeout(60):
        await asyncio.gather(*(lane() for _ in range(100)))
    assert {answer.outcome for answer in answers} == {Outcome.TOKEN_DEAD}
    assert {answer.dead_since for answer in answers} == {1_700_000_000_000_000}
    assert len(apple.requests) == 3000
    assert len(apple.connections) == 1


async def test_an_answer_after_the_timeout_changes_no_other_push(apple: AppleStandIn, sender: ApnsSender) -> None:
    answer = await send_among_others(apple, sender, AppleReply(delay_s=1.5), timeout_s=0.1, others=Outcome.ACCEPTED)
    assert answer == AttemptResult(Outcome.UNKNOWN, reason="no answer in time")


async def test_an_answer_to_a_cancelled_push_changes_no_other_push(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.script(TOKEN, AppleReply(delay_s=0.2))
    async with Bystanders(apple, sender) as bystanders:
        leaving = asyncio.create_task(sender.send(ring(TOKEN), 5))
        while len(apple.requests) <= NEIGHBOURS:
            await asyncio.sleep(0.01)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert await bystanders.outcomes() == {Outcome.ACCEPTED}
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    assert len(apple.requests) == NEIGHBOURS + 2
    assert len(apple.connections) == 1


async def test_a_connection_lost_after_a_cancelled_push_fails_the_rest(apple: AppleStandIn, sender: ApnsSender) -> None:
    async with Bystanders(apple, sender, answered_after_s=60) as bystanders:
        bystanders.tasks.pop(0).cancel()
        apple.connections[0].drop()
        assert await bystanders.outcomes() == {Outcome.UNKNOWN}
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (ErrorCodes.REFUSED_STREAM, Outcome.UNSENT),
        (ErrorCodes.INTERNAL_ERROR, Outcome.UNKNOWN),
        (ErrorCodes.ENHANCE_YOUR_CALM, Outcome.UNKNOWN),
    ],
)
async def test_a_stream_that_apple_resets_ends_alone(
    apple: AppleStandIn, sender: ApnsSender, code: ErrorCodes, outcome: Outcome
) -> None:
    answer = await send_among_others(apple, sender, Reset(code), others=Outcome.ACCEPTED)
    assert answer == AttemptResult(outcome, reason=f"stream reset: {code.name}")
    assert len(apple.connections) == 1


@pytest.mark.parametrize(
    ("reply", "outcome", "reason"),
    [
        (AppleReply(400), Outcome.BAD_REQUEST, ""),
        (AppleReply(500), Outcome.UNAVAILABLE, ""),
        (AppleReply(410, "Unregistered", split=True), Outcome.TOKEN_DEAD, "Unregistered"),
        (AppleReply(400, body=b"<html>"), Outcome.BAD_REQUEST, ""),
        (AppleReply(503, body=b"[1]" * 9000, split=True), Outcome.UNAVAILABLE, ""),
    ],
    ids=["no body", "no body, Apple's fault", "two DATA frames", "not JSON", "27 kB"],
)
async def test_an_error_answer_of_any_shape_is_an_answer(
    apple: AppleStandIn, sender: ApnsSender, reply: AppleReply, outcome: Outcome, reason: str
) -> None:
    answer = await send_among_others(apple, sender, reply, others=Outcome.ACCEPTED)
    assert (answer.outcome, answer.status, answer.reason) == (outcome, reply.status, reason)


@pytest.mark.parametrize("apns_id", ["none", "upper", "3e1f3c0e-0000-4000-8000-000000000000"])
@pytest.mark.parametrize(("status", "outcome"), [(200, Outcome.ACCEPTED), (400, Outcome.BAD_TOKEN)])
async def test_any_apns_id_in_the_answer_is_for_the_push_of_its_stream(
    apple: AppleStandIn, sender: ApnsSender, apns_id: str, status: int, outcome: Outcome
) -> None:
    reply = AppleReply(status, "BadDeviceToken" if status == 400 else "", apns_id=apns_id)
    answer = await send_among_others(apple, sender, reply, others=Outcome.ACCEPTED)
    assert answer.outcome is outcome
    assert answer.provider_id == answer.provider_id.lower() != ""


async def test_one_apns_id_may_be_in_flight_twice(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.script(TOKEN, AppleReply(delay_s=0.2), AppleReply(429, "TooManyRequests", retry_after="7"))
    twice = ring()
    first, second = await asyncio.gather(sender.send(twice, 5), sender.send(twice, 5))
    assert first.outcome is Outcome.ACCEPTED
    assert (second.outcome, second.retry_after_s) == (Outcome.THROTTLED, 7.0)


async def test_a_push_that_is_never_answered_costs_its_own_time_only(apple: AppleStandIn, sender: ApnsSender) -> None:
    answer = await send_among_others(apple, sender, Silence(), timeout_s=0.2, others=Outcome.ACCEPTED)
    assert answer.outcome is Outcome.UNKNOWN


async def test_goaway_lets_requests_in_flight_finish(apple: AppleStandIn, sender: ApnsSender) -> None:
    answer = await send_among_others(apple, sender, GoAway(), others=Outcome.ACCEPTED)
    assert answer.outcome is Outcome.ACCEPTED
    assert len(apple.connections) == 2


async def test_goaway_before_a_request_leaves_it_unsent(apple: AppleStandIn, sender: ApnsSender) -> None:
    answer = await send_among_others(apple, sender, GoAway(reply=None), others=Outcome.ACCEPTED)
    assert answer.outcome is Outcome.UNSENT


async def test_a_second_goaway_that_ends_all_requests_closes(apple: AppleStandIn, sender: ApnsSender) -> None:
    """Servers announce their end by a GOAWAY that refuses nothing, and say later which requests they have read."""
    apple.script(TOKEN, Silence())
    push = asyncio.create_task(sender.send(ring(), 60))
    await come_true(lambda: apple.requests)
    (connection,) = apple.connections
    connection.go_away(2**31 - 1)
    await come_true(lambda: not sender._pools[Environment.PRODUCTION].usable)
    connection.go_away(0)
    assert (await push).outcome is Outcome.UNSENT
    await come_true(lambda: not connection.open)


async def test_shutdown_is_heard_along_with_goaway(apple: AppleStandIn, sender: ApnsSender) -> None:
    farewell = GoAway(reply=AppleReply(503, "Shutdown"), reason="Shutdown")
    answer = await send_among_others(apple, sender, farewell, others=Outcome.ACCEPTED)
    assert (answer.outcome, answer.status, answer.reason) == (Outcome.UNAVAILABLE, 503, "Shutdown")


@pytest.mark.parametrize("end", [Drop(), GoAway(drain=False)], ids=["dropped", "closed at once with GOAWAY"])
async def test_pushes_on_a_lost_connection_are_not_repeated(
    apple: AppleStandIn, sender: ApnsSender, end: Behaviour
) -> None:
    answer = await send_among_others(apple, sender, end, others=Outcome.UNKNOWN)
    assert answer.outcome in {Outcome.UNKNOWN, Outcome.UNSENT}


async def test_a_silent_connection_is_left_at_once_and_aborted_soon(
    apple: AppleStandIn, make_sender: MakeSender
) -> None:
    sender = make_sender(max_connections=1, policy=ConnectionPolicy(ping_timeout_s=0.5))
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    apple.silence()
    neighbour = asyncio.create_task(sender.send(ring(), 60))
    assert (await sender.send(ring(), 0.2)).outcome is Outcome.UNKNOWN
    async with asyncio.timeout(AT_ONCE_S):
        assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
        assert (await neighbour) == AttemptResult(Outcome.UNKNOWN, reason="no answer to PING")


@pytest.mark.parametrize("quiet_s", [0.1, 60.0], ids=["no answer to PING", "no answer in time"])
async def test_with_both_connections_silent_one_push_is_lost(
    apple: AppleStandIn, make_sender: MakeSender, quiet_s: float
) -> None:
    """Each answer that is lost may ring the phone once more, so the repeat must not go to the other dead connection."""
    policy = ConnectionPolicy(spread_at=1, quiet_s=quiet_s, ping_timeout_s=3.0)
    sender = make_sender(max_connections=2, policy=policy)
    async with asyncio.timeout(AT_ONCE_S):
        while sum(connection.open for connection in apple.connections) < 2:
            await asyncio.gather(*(sender.send(ring(), 5) for _ in range(5)))
    await asyncio.sleep(1.0)  # both connections are quiet
    apple.silence()
    assert (await sender.send(ring(), 3.5)).outcome is Outcome.UNKNOWN
    assert (await sender.send(ring(), AT_ONCE_S)).outcome is Outcome.ACCEPTED
    assert apple.requests[-1].connection == 3


async def test_a_connection_that_was_heard_stays_in_use(apple: AppleStandIn, make_sender: MakeSender) -> None:
    """One push gets no answer, while Apple answers others on the other connection: no third one is opened."""
    sender = make_sender(max_connections=2, policy=ConnectionPolicy(spread_at=1))
    await asyncio.gather(*(sender.send(ring(OTHER_TOKEN), 5) for _ in range(5)))
    apple.script(TOKEN, Silence())
    lost = asyncio.create_task(sender.send(ring(), 2))
    while not lost.done():
        assert (await sender.send(ring(OTHER_TOKEN), 5)).outcome is Outcome.ACCEPTED
        await asyncio.sleep(0.02)
    assert (await lost).outcome is Outcome.UNKNOWN
    assert (await sender.send(ring(OTHER_TOKEN), 5)).outcome is Outcome.ACCEPTED
    assert len(apple.connections) == 2


async def test_a_push_after_a_quiet_time_finds_a_dead_connection_early(
    apple: AppleStandIn, make_sender: MakeSender
) -> None:
    sender = make_sender(max_connections=1, policy=ConnectionPolicy(ping_timeout_s=1.0, quiet_s=0.1))
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    apple.silence()
    await asyncio.sleep(0.2)
    async with asyncio.timeout(AT_ONCE_S):
        assert (await sender.send(ring(), 60)).reason == "no answer to PING"


async def test_a_dead_network_delays_no_push_beyond_its_timeout(apple: AppleStandIn, make_sender: MakeSender) -> None:
    sender = make_sender(max_connections=1, policy=ConnectionPolicy(connect_timeout_s=2.0))
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    apple.silence()
    await apple.go_dark()
    async with asyncio.timeout(AT_ONCE_S):
        assert (await sender.send(ring(), 0.3)).outcome is Outcome.UNKNOWN
        assert {(await sender.send(ring(), 0.3)).outcome for _ in range(3)} == {Outcome.UNSENT}
    await apple.start()
    give_up = time.monotonic() + 15
    while (await sender.send(ring(), 1)).outcome is not Outcome.ACCEPTED:
        assert time.monotonic() < give_up


@pytest.mark.parametrize("window", [65_535, 1000], ids=["Apple's window", "a window smaller than the body"])
async def test_a_burst_larger_than_the_flow_control_window_waits(
    apple: AppleStandIn, sender: ApnsSender, window: int
) -> None:
    apple.initial_window = window
    payload = {"aps": {}, "filler": "x" * 4700}
    answers = await asyncio.gather(*(sender.send(ring(payload=payload), 30) for _ in range(200)))
    assert {answer.outcome for answer in answers} == {Outcome.ACCEPTED}
    assert [request.payload for request in apple.requests] == [payload] * 200
    assert len(apple.connections) == 1


async def begun_push(apple: AppleStandIn, sender: ApnsSender) -> tuple["asyncio.Task[AttemptResult]", AppleConnection]:
    """Send a push whose headers arrive, and whose body has no flow-control window."""
    push = asyncio.create_task(sender.send(ring(), 60))
    await come_true(lambda: any(connection._requests for connection in apple.connections))
    return push, apple.connections[-1]


async def test_a_push_whose_body_may_not_leave_is_unsent(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.initial_window = 0
    assert (await sender.send(ring(), 0.3)).outcome is Outcome.UNSENT


async def test_a_push_that_was_sent_in_part_is_unsent(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.initial_window = 0
    push, connection = await begun_push(apple, sender)
    connection.drop()
    assert (await push).outcome is Outcome.UNSENT


async def test_a_reset_along_with_a_window_ends_one_push(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.initial_window = 0
    push, connection = await begun_push(apple, sender)
    connection._h2.increment_flow_control_window(100, 1)
    connection._h2.reset_stream(1, ErrorCodes.INTERNAL_ERROR)
    connection._write()
    answer = await push
    assert (answer.outcome, answer.reason) == (Outcome.UNSENT, "stream reset: INTERNAL_ERROR")
    assert connection.open


async def test_nothing_is_kept_of_a_push_that_was_answered(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.script(TOKEN, AppleReply(410, "Unregistered"), Silence(), Reset(ErrorCodes.REFUSED_STREAM))
    await asyncio.gather(*(sender.send(ring(), 0.5) for _ in range(300)))
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Http2Stream)]
    for connection in sender._pools[Environment.PRODUCTION]._connections:
        assert not connection.conn.streams


async def test_a_connection_lost_after_the_handshake_is_not_used(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.drop_connections = 1
    async with asyncio.timeout(AT_ONCE_S):
        assert (await sender.send(ring(), 5)).outcome in {Outcome.UNSENT, Outcome.UNKNOWN}
        assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    assert [request.connection for request in apple.requests] == [2]


async def test_a_connection_that_nobody_waits_for_ends_silently(apple: AppleStandIn) -> None:
    """The task that opened it was cancelled right after the handshake. `apple` looks for errors left to the loop."""
    Http2Connection(lambda _: None, ConnectionPolicy(), NO_LOG).connection_lost(None)
    gc.collect()
