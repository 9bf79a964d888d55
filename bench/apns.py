"""Pushes to Apple: what one costs our sender and plain aioapns.

Both send the same VoIP push to the same stand-in, which runs in a process of its own, over TLS. They take short turns,
and each turn of ours is compared with the turn of plain aioapns in the same round, so that a busy machine slows both.
The figure to trust is the CPU time of this process per push. All figures are medians over the rounds.

    python -m bench.apns [ROUNDS]
"""

import asyncio
import gc
import json
import logging
import re
import shutil
import ssl
import statistics
import subprocess
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import structlog
from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsTLSClientProtocol, JWTAuthorizationHeaderProvider

from bellhop.clock import Seconds, micros
from bellhop.domain.device import Device, Kind, Provider
from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import Push, PushKind
from bellhop.sandbox.apple_server import AppleStandIn, new_signing_key
from bellhop.sandbox.tls import Authority
from bench.own_process import run_part, serving
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.apns.provider_token import ProviderToken

TOPIC = "com.example.app"
PAYLOAD = {
    "aps": {},
    "stream": {
        "sender": "stream.video",
        "type": "call.ring",
        "version": "v2",
        "call_cid": "default:6f0b1c52-7a53-4a3e-9c59-0d1f6e0b9d11",
        "call_display_name": "Design review",
        "created_by_id": "sara-lind",
        "created_by_display_name": "Sara Lind",
        "receiver_id": "ben-osei",
        "video": True,
    },
}
TOKEN = "a7" * 32
PUSHES, IN_FLIGHT = 500, 50
"""In one turn, which takes some 0.2 s."""
ROUNDS = 30


class Round(NamedTuple):
    cpu_us: float
    per_s: float


Send = Callable[[], Awaitable[None]]


async def timed(send: Send) -> Round:
    async def lane() -> None:
        for _ in range(PUSHES // IN_FLIGHT):
            await send()

    gc.collect()  # nobody pays for the garbage of the one before
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))
    return Round((time.process_time() - cpu) / PUSHES * 1e6, PUSHES / (time.perf_counter() - wall))


def ours(sender: ApnsSender) -> Send:
    device = Device(user_id="ben-osei", provider=Provider.APNS, kind=Kind.VOIP, token=TOKEN, app=TOPIC)

    async def send() -> None:
        push = Push(str(uuid.uuid4()), PushKind.RING, device, PAYLOAD, micros(Seconds(time.time() + 30)))
        answer = await sender.send(push, Seconds(10))
        assert answer.outcome is Outcome.ACCEPTED, answer

    return send


def plain(client: APNs) -> Send:
    async def send() -> None:
        request = NotificationRequest(
            TOKEN, PAYLOAD, time_to_live=30, priority=10, push_type=PushType.VOIP, apns_topic=f"{TOPIC}.voip"
        )
        answer = await client.send_notification(request)
        assert answer.is_successful, answer.description

    return send


async def run(folder: Path, port: int, rounds: int) -> None:
    key, _ = new_signing_key()
    url = f"https://127.0.0.1:{port}"
    senders = [
        ApnsSender(
            TOPIC, token=ProviderToken(key, "KEY", "TEAM"), url=url, ca_file=folder / "ca.pem", max_connections=n
        )
        for n in (1, 2)
    ]

    class ToStandIn(APNsTLSClientProtocol):
        APNS_SERVER, APNS_PORT = "127.0.0.1", port

    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.set_alpn_protocols(["h2"])
    client = APNs(key=key, key_id="KEY", team_id="TEAM", topic=TOPIC, max_connections=1, ssl_context=context)
    client.pool.protocol_class = ToStandIn
    contenders: dict[str, Send] = {
        "aioapns": plain(client),
        "ours": ours(senders[0]),
        "ours, 2 connections": ours(senders[1]),
    }
    results: dict[str, list[Round]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, send in contenders.items():
            result = await timed(send)
            if number:  # the first round opens connections
                results[name].append(result)
    for sender in senders:
        await sender.close()
    client.pool.close()
    print(f"{f'{IN_FLIGHT} in flight':21}{'CPU µs':>8}{'pushes/s':>10}{'pushes per CPU second, aioapns = 1':>36}")
    for name, turns in results.items():
        cpu_us, per_s = (statistics.median(values) for values in zip(*turns, strict=True))
        ratio = statistics.median(
            base.cpu_us / turn.cpu_us for base, turn in zip(results["aioapns"], turns, strict=True)
        )
        print(f"{name:21}{cpu_us:8.0f}{per_s:10.0f}{ratio:36.2f}")


def measure(folder: Path, port: str, rounds: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(run(folder, int(port), rounds))
    limit(folder, int(port))


async def serve(folder: Path) -> None:
    async with AppleStandIn(Authority(folder), keep=False) as apple:
        await serving(str(apple.port))


def limit(folder: Path, port: int) -> None:
    """What nghttp2's load generator, in C, gets out of the same stand-in."""
    if (h2load := shutil.which("h2load")) is None:
        return
    body, (key, _) = folder / "body", new_signing_key()
    body.write_text(json.dumps(PAYLOAD))
    authorization = JWTAuthorizationHeaderProvider(key, "KEY", "TEAM").get_header()  # type: ignore[no-untyped-call]
    headers = {"authorization": authorization, "apns-topic": f"{TOPIC}.voip", "apns-push-type": "voip"}
    headers |= {"apns-id": str(uuid.uuid4()), "apns-priority": "10", "apns-expiration": str(int(time.time()) + 30)}
    options = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    command = [h2load, f"-n{PUSHES * 10}", "-c1", f"-m{IN_FLIGHT}", f"-d{body}", *options]
    output = subprocess.run(
        [*command, f"https://127.0.0.1:{port}/3/device/{TOKEN}"], check=True, capture_output=True, text=True
    ).stdout
    assert f"{PUSHES * 10} 2xx" in output, output
    print("h2load (C)", *re.findall(r"[0-9.]+ req/s", output))


if __name__ == "__main__":
    run_part("bench.apns", serve, measure, ROUNDS)
