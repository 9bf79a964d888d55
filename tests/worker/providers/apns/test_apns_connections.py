"""Which connection a push takes, and when connections come and go."""

import asyncio

import pytest
from h2.errors import ErrorCodes

from bellhop.domain.device import Environment
from bellhop.domain.outcomes import Outcome
from bellhop.sandbox.apple_script import AppleReply, Behaviour, GoAway, Reset, Silence
from bellhop.sandbox.apple_server import AppleStandIn
from tests.waiting import come_true
from tests.worker.providers.apns.apns_pushes import OTHER_TOKEN, TOKEN, MakeSender, ring
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.http2.connection_policy import ConnectionPolicy

AT_ONCE_S = 5


def used(apple: AppleStandIn) -> list[int]:
    return [request.connection for request in apple.requests]


async def opened(apple: AppleStandIn, number: int) -> None:
    await come_true(lambda: len(apple.connections) >= number)


async def test_a_connection_is_kept_from_push_to_push(apple: AppleStandIn, make_sender: MakeSender) -> None:
    sender = make_sender()
    for _ in range(5):
        assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    assert used(apple) == [1] * 5
    assert len(apple.connections) == 1


async def test_warm_opens_the_connection_that_the_first_push_takes(
    apple: AppleStandIn, make_sender: MakeSender
) -> None:
    sender = make_sender()
    await sender.warm()
    await sender.warm()
    assert len(apple.connections) == 1
    await sender.send(ring(), 5)
    assert used(apple) == [1]


async def test_a_burst_spreads_over_all_connections_and_no_more(apple: AppleStandIn, make_sender: MakeSender) -> None:
    apple.answer_delay_s = 0.01
    sender = make_sender(max_connections=3)

    async def burst() -> None:
        answers = await asyncio.gather(*(sender.send(ring(), 30) for _ in range(300)))
        assert {answer.outcome for answer in answers} == {Outcome.ACCEPTED}

    async with asyncio.timeout(30):
        while len(sender._pools[Environment.PRODUCTION]._connections) < 3:
            await burst()
    apple.requests.clear()
    await burst()
    assert {number: used(apple).count(number) for number in used(apple)} == {1: 100, 2: 100, 3: 100}
    assert len(apple.connections) == 3


async def test_a_burst_on_a_cold_start_uses_both_connections(apple: AppleStandIn, make_sender: MakeSender) -> None:
    sender = make_sender(max_connections=2, policy=ConnectionPolicy(patience_s=10.0))  # a busy machine connects slowly
    await asyncio.gather(*(sender.send(ring(), 10) for _ in range(300)))
    assert max(used(apple).count(number) for number in used(apple)) <= 200


async def test_one_stream_until_apple_trusts_us_then_many(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.one_stream_at_first = True
    apple.script(TOKEN, AppleReply(delay_s=0.1))
    answers = await asyncio.gather(*(sender.send(ring(), 10) for _ in range(100)))
    assert {answer.outcome for answer in answers} == {Outcome.ACCEPTED}
    assert len(apple.requests) == 100
    assert len(apple.connections) == 1


async def test_the_place_of_a_reset_stream_goes_to_the_next_push(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.one_stream_at_first = True
    apple.script(TOKEN, Reset(ErrorCodes.REFUSED_STREAM))
    async with asyncio.timeout(AT_ONCE_S):
        first, second = await asyncio.gather(sender.send(ring(), 30), sender.send(ring(OTHER_TOKEN), 30))
    assert (first.outcome, second.outcome) == (Outcome.UNSENT, Outcome.ACCEPTED)


async def test_a_server_without_a_header_table_accepts_our_headers(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.header_table_size = 0
    assert [(await sender.send(ring(), 5)).outcome for _ in range(2)] == [Outcome.ACCEPTED] * 2


async def test_a_push_without_a_free_stream_in_time_is_unsent(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.one_stream_at_first = True
    apple.script(TOKEN, Silence())
    await sender.warm()
    first, second = await asyncio.gather(sender.send(ring(), 0.3), sender.send(ring(OTHER_TOKEN), 0.2))
    assert (first.outcome, second.outcome) == (Outcome.UNKNOWN, Outcome.UNSENT)
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    assert [request.token for request in apple.requests] == [TOKEN, TOKEN]


async def test_a_push_takes_a_connection_that_has_a_free_stream(apple: AppleStandIn, make_sender: MakeSender) -> None:
    apple.one_stream_at_first = True
    apple.script(TOKEN, AppleReply(), *[Silence()] * 3)
    sender = make_sender(policy=ConnectionPolicy(spread_at=1))
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    waiting = [asyncio.create_task(sender.send(ring(), 30)) for _ in range(2)]
    await come_true(lambda: len(sender._pools[Environment.PRODUCTION]._usable()) == 2)
    waiting.append(asyncio.create_task(sender.send(ring(), 30)))
    await come_true(lambda: used(apple) == [1, 1, 1, 2])
    # The second connection has fewer requests than the first, but its only stream is taken.
    assert (await sender.send(ring(OTHER_TOKEN), 5)).outcome is Outcome.ACCEPTED
    for push in waiting:
        push.cancel()


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (AppleReply(500, "InternalServerError"), Outcome.UNAVAILABLE),
        (Reset(ErrorCodes.REFUSED_STREAM), Outcome.UNSENT),
        (Reset(ErrorCodes.INTERNAL_ERROR), Outcome.UNKNOWN),
    ],
)
async def test_after_a_failure_the_next_push_takes_another_connection(
    apple: AppleStandIn, make_sender: MakeSender, failure: Behaviour, outcome: Outcome
) -> None:
    sender = make_sender(max_connections=2, policy=ConnectionPolicy(patience_s=10.0, avoid_s=60.0))
    apple.script(TOKEN, failure)
    assert (await sender.send(ring(), 5)).outcome is outcome
    for _ in range(3):
        assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    assert used(apple) == [1, 2, 2, 2]


async def test_while_apple_always_fails_no_connections_are_opened(apple: AppleStandIn, make_sender: MakeSender) -> None:
    sender = make_sender(max_connections=2)
    apple.script(TOKEN, *[AppleReply(503, "ServiceUnavailable")] * 20)
    for _ in range(20):
        assert (await sender.send(ring(), 5)).outcome is Outcome.UNAVAILABLE
    assert len(apple.connections) == 2


async def test_a_connection_that_always_fails_is_replaced(apple: AppleStandIn, make_sender: MakeSender) -> None:
    sender = make_sender(max_connections=1, policy=ConnectionPolicy(min_life_s=0.0))
    apple.script_connection(1, *[AppleReply(500, "InternalServerError")] * 100)
    outcomes = [(await sender.send(ring(), 5)).outcome for _ in range(6)]
    assert outcomes == [Outcome.UNAVAILABLE] * 5 + [Outcome.ACCEPTED]


async def test_a_connection_that_fails_now_and_then_is_kept(apple: AppleStandIn, make_sender: MakeSender) -> None:
    sender = make_sender(max_connections=1, policy=ConnectionPolicy(min_life_s=0.0))
    apple.script(TOKEN, *[AppleReply(500), AppleReply(500), AppleReply()] * 4)
    for _ in range(12):
        await sender.send(ring(), 5)
    assert used(apple) == [1] * 12


async def test_a_connection_that_ran_out_of_stream_ids_is_replaced(apple: AppleStandIn, sender: ApnsSender) -> None:
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    connection = await sender._pools[Environment.PRODUCTION].pick()
    connection.conn.highest_outbound_stream_id = ConnectionPolicy().last_stream_id
    assert {(await sender.send(ring(), 5)).outcome for _ in range(3)} == {Outcome.ACCEPTED}
    assert used(apple) == [1, 1, 2, 2]


async def test_suspected_connections_that_recover_do_not_add_up(apple: AppleStandIn, make_sender: MakeSender) -> None:
    sender = make_sender(max_connections=2)
    for _ in range(5):
        for connection in list(sender._pools[Environment.PRODUCTION]._connections):
            connection.suspect()
        assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
        await asyncio.sleep(0.05)
    async with asyncio.timeout(AT_ONCE_S):
        while sum(connection.open for connection in apple.connections) > 2:
            await asyncio.sleep(0.01)


async def test_a_connection_that_answers_its_ping_is_used_again(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.one_stream_at_first = True
    apple.script(TOKEN, Silence())
    await sender.warm()
    (connection,) = sender._pools[Environment.PRODUCTION]._connections
    assert (await sender.send(ring(), 0.3)).outcome is Outcome.UNKNOWN
    await come_true(lambda: connection.usable)
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    assert used(apple) == [1, 1]


async def test_a_dead_idle_connection_is_replaced_before_a_push(apple: AppleStandIn, make_sender: MakeSender) -> None:
    policy = ConnectionPolicy(ping_every_s=0.1, ping_timeout_s=3.0, min_life_s=0.0)
    sender = make_sender(max_connections=1, policy=policy)
    await sender.send(ring(), 5)
    await asyncio.sleep(0.5)
    assert len(apple.connections) == 1
    apple.silence()
    await opened(apple, 2)
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    assert used(apple) == [1, 2]


async def test_a_connection_with_goaway_is_replaced_before_a_push(apple: AppleStandIn, make_sender: MakeSender) -> None:
    sender = make_sender(max_connections=1, policy=ConnectionPolicy(min_life_s=0.0))
    apple.script(TOKEN, GoAway(reply=AppleReply(delay_s=30)))
    in_flight = asyncio.create_task(sender.send(ring(), 60))
    await opened(apple, 2)
    assert not in_flight.done()
    in_flight.cancel()


async def test_connections_that_apple_closes_are_not_opened_in_a_loop(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.script(TOKEN, GoAway())
    await sender.send(ring(), 5)
    await asyncio.sleep(0.3)
    assert len(apple.connections) == 1


async def test_no_attempt_is_made_without_time_for_it(apple: AppleStandIn, sender: ApnsSender) -> None:
    assert [(await sender.send(ring(), timeout_s)).outcome for timeout_s in (0, -1)] == [Outcome.UNSENT] * 2
    assert not apple.connections


async def test_closing_lets_requests_in_flight_finish(apple: AppleStandIn, make_sender: MakeSender) -> None:
    sender = make_sender()
    apple.script(TOKEN, *[AppleReply(delay_s=0.3)] * 10)
    pushes = [asyncio.create_task(sender.send(ring(), 5)) for _ in range(10)]
    while len(apple.requests) < 10:
        await asyncio.sleep(0.01)
    await sender.close()
    assert {push.result().outcome for push in pushes} == {Outcome.ACCEPTED}
    await come_true(lambda: not any(connection.open for connection in apple.connections))
    assert (await sender.send(ring(), 5)).outcome is Outcome.UNSENT
