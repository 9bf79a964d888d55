"""Pushes to FCM: what one costs our sender, pyfcm's own notify(), and a new pyfcm object for each message.

All three send the same message to the same stand-in, which runs in a process of its own, over TLS; they take turns in
one run, so that a busy machine slows all of them. The figure to trust is the CPU time of this process per push.

    python -m bench.fcm [ROUNDS]
"""

import asyncio
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pyfcm import FCMNotification

from bellhop.clock import Seconds, micros
from bellhop.domain.device import Device, Provider
from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import Push, PushKind
from bellhop.sandbox.google_server import GoogleStandIn
from bench.own_process import run_part, serving
from worker.providers.fcm.fcm_sender import FcmSender

DATA = {
    "sender": "stream.video",
    "type": "call.ring",
    "version": "v2",
    "call_cid": "default:6f0b1c52-7a53-4a3e-9c59-0d1f6e0b9d11",
    "call_display_name": "Design review",
    "created_by_id": "sara-lind",
    "created_by_display_name": "Sara Lind",
    "receiver_id": "ben-osei",
    "video": "true",
}
ANDROID = {"priority": "HIGH", "ttl": "30s", "direct_boot_ok": True}
TOKEN = "dGhpcyBpcyBhIHRva2Vu:APA91b" + "x" * 130
PUSHES, NEW_OBJECTS = 600, 10


class Round(NamedTuple):
    cpu_us: float
    per_s: float


def timed(pushes: int, work: Callable[[], None]) -> Round:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Round((time.process_time() - cpu) / pushes * 1e6, pushes / (time.perf_counter() - wall))


def ours(loop: asyncio.AbstractEventLoop, sender: FcmSender, in_flight: int) -> Round:
    device = Device(user_id="ben-osei", provider=Provider.FCM, token=TOKEN, app="bellhop-sandbox")

    async def lane(count: int) -> None:
        for _ in range(count):
            push = Push(
                "6f0b1c52-7a53-4a3e-9c59-0d1f6e0b9d11", PushKind.RING, device, DATA, micros(Seconds(time.time() + 30))
            )
            answer = await sender.send(push, Seconds(10))
            assert answer.outcome is Outcome.ACCEPTED, answer

    async def work() -> None:
        await asyncio.gather(*(lane(PUSHES // in_flight) for _ in range(in_flight)))

    return timed(PUSHES // in_flight * in_flight, lambda: loop.run_until_complete(work()))


def notify(make: Callable[[], Any], pushes: int) -> Round:
    def work() -> None:
        for _ in range(pushes):
            make().notify(fcm_token=TOKEN, data_payload=DATA, android_config=ANDROID, timeout=10)

    return timed(pushes, work)


def run(folder: Path, url: str, rounds: int) -> None:
    account, ca_file = folder / "service-account.json", folder / "ca.pem"
    os.environ["REQUESTS_CA_BUNDLE"] = str(ca_file)

    class Pyfcm(FCMNotification):  # type: ignore[misc]
        FCM_END_POINT_BASE = f"{url}/v1/projects"

    warm = Pyfcm(str(account))
    sender = FcmSender(account, url, ca_file)
    loop = asyncio.new_event_loop()
    contenders: dict[str, Callable[[], Round]] = {
        "ours, 8 in flight": lambda: ours(loop, sender, 8),
        "ours, 32 in flight": lambda: ours(loop, sender, 32),
        "ours, 200 in flight": lambda: ours(loop, sender, 200),
        "pyfcm notify, warm": lambda: notify(lambda: warm, PUSHES),
        "pyfcm, a new object each": lambda: notify(lambda: Pyfcm(str(account)), NEW_OBJECTS),
    }
    results: dict[str, list[Round]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            result = contender()
            if number:  # the first round opens connections and fetches access tokens
                results[name].append(result)
    loop.run_until_complete(sender.close())
    loop.close()
    base = statistics.median(each.cpu_us for each in results["pyfcm notify, warm"])
    print(f"{'':26}{'CPU µs':>9}{'pushes/s':>10}{'pushes per CPU second, pyfcm = 1':>36}")
    for name, each in results.items():
        cpu_us = statistics.median(one.cpu_us for one in each)
        per_s = statistics.median(one.per_s for one in each)
        print(f"{name:26}{cpu_us:9.0f}{per_s:10.0f}{base / cpu_us:36.2f}")


async def serve(folder: Path) -> None:
    async with GoogleStandIn(folder) as google:
        google.write_service_account(folder / "service-account.json")
        await serving(google.url)


if __name__ == "__main__":
    run_part("bench.fcm", serve, run, 5)
