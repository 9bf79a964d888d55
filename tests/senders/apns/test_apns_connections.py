"""Which connection a push takes, and when connections come and go."""

import asyncio
import base64
import socket
import ssl
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest
from apns_pushes import OTHER_TOKEN, TOKEN, MakeSender, ring
from h2.errors import ErrorCodes
from structlog.contextvars import bind_contextvars, get_contextvars, merge_contextvars
from structlog.testing import capture_logs

from bellhop.domain.device import Environment
from bellhop.domain.outcomes import AttemptResult, Outcome
from bellhop.sandbox.apple_script import AppleReply, Behaviour, GoAway, Reset, Silence
from bellhop.sandbox.apple_server import AppleStandIn
from bellhop.sandbox.tls import Authority
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.apns.apns_stream import UnsentError
from worker.providers.apns.connection_policy import ConnectionPolicy
from worker.providers.apns.provider_token import ProviderToken

AT_ONCE_S = 5
HttpProxy = Callable[[bytes], AbstractAsyncContextManager[SimpleNamespace]]


def used(apple: AppleStandIn) -> list[int]:
    return [request.connection for request in apple.requests]


async def opened(apple: AppleStandIn, number: int) -> None:
    async with asyncio.timeout(AT_ONCE_S):
        while len(apple.connections) < number:
            await asyncio.sleep(0.01)


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
        while len(apple.connections) < 3:
            await burst()
    await asyncio.sleep(0.1)
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
    first, second = await asyncio.gather(sender.send(ring(), 0.3), sender.send(ring(OTHER_TOKEN), 0.2))
    assert (first.outcome, second.outcome) == (Outcome.UNKNOWN, Outcome.UNSENT)
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    assert [request.token for request in apple.requests] == [TOKEN, TOKEN]


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
    sender = make_sender(max_connections=2)
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
    assert (await sender.send(ring(), 0.1)).outcome is Outcome.UNKNOWN
    await asyncio.sleep(0.2)
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    assert used(apple) == [1, 1]


async def test_a_dead_idle_connection_is_replaced_before_a_push(apple: AppleStandIn, make_sender: MakeSender) -> None:
    policy = ConnectionPolicy(ping_every_s=0.1, ping_timeout_s=0.1, min_life_s=0.0)
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


async def job(sender: ApnsSender, webhook: str, timeout_s: float = 5) -> None:
    """Send a push as a job does: in a task of its own, whose log lines carry the webhook that it is for."""

    async def run() -> None:
        bind_contextvars(webhook=webhook)
        await sender.send(ring(), timeout_s)
        assert get_contextvars() == {"webhook": webhook}

    await asyncio.create_task(run())


async def refuse(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.stop_listening()
    apple.connections[0].drop()
    await asyncio.sleep(0.05)
    await job(sender, "second")


async def fall_silent(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.silence()
    await job(sender, "second", 0.2)  # too late for it, so the connection gets a PING


async def be_idle_and_fall_silent(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.silence()
    await asyncio.sleep(0.1)  # the connection sends its own PINGs


async def reset_under_a_write(apple: AppleStandIn, sender: ApnsSender) -> None:
    transport = apple.connections[0].transport
    assert transport is not None
    # Closed with a reset, which the next write finds before anything is read.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    apple.connections[0].drop()
    await job(sender, "second")


async def say_goodbye(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.script(TOKEN, GoAway())
    await job(sender, "second")


@pytest.mark.parametrize(
    ("happen", "event"),
    [
        (refuse, "apns_connection_lost"),
        (refuse, "apns_connect_failed"),
        (fall_silent, "apns_connection_aborted"),
        (be_idle_and_fall_silent, "apns_connection_aborted"),
        (reset_under_a_write, "apns_connection_lost"),
        (say_goodbye, "apns_connection_ends"),
    ],
)
async def test_log_lines_of_a_connection_name_no_webhook(
    apple: AppleStandIn,
    make_sender: MakeSender,
    happen: Callable[[AppleStandIn, ApnsSender], Awaitable[None]],
    event: str,
) -> None:
    ping_every_s = 0.05 if happen is be_idle_and_fall_silent else 60.0
    policy = ConnectionPolicy(ping_every_s=ping_every_s, ping_timeout_s=0.1)
    sender = make_sender(max_connections=1, policy=policy)
    with capture_logs(processors=[merge_contextvars]) as lines:
        await job(sender, "first")  # opens the connection
        await happen(apple, sender)
        async with asyncio.timeout(AT_ONCE_S):
            while event not in {line["event"] for line in lines}:
                await asyncio.sleep(0.01)
    assert "apns_connected" in {line["event"] for line in lines}
    assert [line for line in lines if "webhook" in line] == []


async def test_no_attempt_is_made_without_time_for_it(apple: AppleStandIn, sender: ApnsSender) -> None:
    assert [(await sender.send(ring(), timeout_s)).outcome for timeout_s in (0, -1)] == [Outcome.UNSENT] * 2
    assert not apple.connections


async def test_connections_that_close_at_once_are_opened_slowly(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.drop_connections = 1000
    give_up = time.monotonic() + 0.5
    while time.monotonic() < give_up:
        assert (await sender.send(ring(), 5)).outcome in {Outcome.UNSENT, Outcome.UNKNOWN}
    assert len(apple.connections) < 10


async def test_without_a_listener_pushes_are_unsent_and_attempts_paced(apple: AppleStandIn, sender: ApnsSender) -> None:
    apple.stop_listening()
    answers: list[AttemptResult] = []
    give_up = time.monotonic() + 0.5
    while time.monotonic() < give_up:
        answers.append(await sender.send(ring(), 5))
    assert len(answers) < 10
    assert {(answer.outcome, answer.reason) for answer in answers} == {
        (Outcome.UNSENT, "cannot connect: ConnectionRefusedError")
    }
    await apple.start()
    async with asyncio.timeout(AT_ONCE_S):
        assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED


async def test_apple_must_show_a_certificate_that_we_trust(
    apple: AppleStandIn, make_sender: MakeSender, tmp_path: Path
) -> None:
    stranger = make_sender(ca_file=Authority(tmp_path).ca_file)
    answer = await stranger.send(ring(), 5)
    assert (answer.outcome, answer.reason) == (Outcome.UNSENT, "cannot connect: SSLCertVerificationError")
    with pytest.raises(UnsentError):
        await stranger.warm()


async def test_the_environment_of_the_device_chooses_the_host(
    apple: AppleStandIn, make_sender: MakeSender, authority: Authority
) -> None:
    async with AppleStandIn(authority) as sandbox:
        sender = make_sender(sandbox_url=sandbox.url)
        await sender.send(ring(), 5)
        await sender.send(ring(OTHER_TOKEN, environment=Environment.SANDBOX), 5)
        assert [push.token for push in apple.received] == [TOKEN]
        assert [push.token for push in sandbox.received] == [OTHER_TOKEN]
        await sender.close()


async def test_a_certificate_speaks_instead_of_a_token(
    apple: AppleStandIn, make_sender: MakeSender, authority: Authority
) -> None:
    apple.client_certificates = True
    await apple.start()
    sender = make_sender(certificate_file=authority.client_certificate("com.example.app"))
    assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
    assert "authorization" not in apple.received[0].headers


@pytest.mark.parametrize("both", [True, False])
def test_a_sender_wants_one_way_to_authenticate(signing_key: tuple[str, str], both: bool) -> None:
    token = ProviderToken(signing_key[0], "KEY", "TEAM") if both else None
    with pytest.raises(ValueError, match="either a token or a certificate_file"):
        ApnsSender("com.example.app", token=token, certificate_file=Path("file.pem") if both else None)


async def test_closing_lets_requests_in_flight_finish(apple: AppleStandIn, make_sender: MakeSender) -> None:
    sender = make_sender()
    apple.script(TOKEN, *[AppleReply(delay_s=0.3)] * 10)
    pushes = [asyncio.create_task(sender.send(ring(), 5)) for _ in range(10)]
    while len(apple.requests) < 10:
        await asyncio.sleep(0.01)
    await sender.close()
    assert {push.result().outcome for push in pushes} == {Outcome.ACCEPTED}
    assert not any(connection.open for connection in apple.connections)
    assert (await sender.send(ring(), 5)).outcome is Outcome.UNSENT


async def test_closing_while_connecting_fails_the_waiting_push(apple: AppleStandIn, make_sender: MakeSender) -> None:
    await apple.go_dark()
    sender = make_sender()
    push = asyncio.create_task(sender.send(ring(), 5))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(2):
        await sender.close()
        assert (await push).outcome is Outcome.UNSENT


async def test_a_proxy_is_asked_for_a_tunnel(
    apple: AppleStandIn, make_sender: MakeSender, http_proxy: HttpProxy
) -> None:
    async with http_proxy(b"HTTP/1.1 200 OK\r\n\r\n") as proxy:
        sender = make_sender(proxy=proxy.url.replace("http://", "http://bell:h%40p@"))
        assert (await sender.send(ring(), 5)).outcome is Outcome.ACCEPTED
        await sender.close()
    credentials = base64.b64encode(b"bell:h@p").decode()
    host = f"127.0.0.1:{apple.port}"
    assert proxy.requests == [
        f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: Basic {credentials}\r\n\r\n"
    ]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"", b"\r\n\r\n", b"x" * 10_000])
async def test_a_proxy_that_refuses_leaves_the_push_unsent(
    apple: AppleStandIn, make_sender: MakeSender, http_proxy: HttpProxy, answer: bytes
) -> None:
    async with http_proxy(answer) as proxy:
        refused = await make_sender(proxy=proxy.url).send(ring(), 5)
    assert refused.outcome is Outcome.UNSENT
    assert refused.reason.startswith("cannot connect")
    assert not apple.connections


async def test_a_server_without_http_2_is_no_apple(make_sender: MakeSender, authority: Authority) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    context: ssl.SSLContext = authority.server_context()
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(AT_ONCE_S):
        assert (await make_sender(url=url).send(ring(), 5)).outcome is Outcome.UNSENT
    server.close()
