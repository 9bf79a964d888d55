"""Pushes to browsers: what one costs our sender, beside our sender to Google and pywebpush with a warm session.

All send the same data to stand-ins in another process, over TLS; they take turns in one run, so that a busy
machine slows all of them. The figure to trust is the CPU time of this process per push. pywebpush takes part if it is
installed (pip install pywebpush).

    python -m bench.web_push [ROUNDS]
"""

import asyncio
import importlib
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bellhop.clock import Seconds, micros
from bellhop.domain.device import Device, Provider
from bellhop.domain.outcomes import Outcome
from bellhop.domain.push import Push, PushKind
from bellhop.domain.web_push import topic
from bellhop.sandbox.google_server import GoogleStandIn
from bellhop.sandbox.http2_push_service import Http2PushService
from bellhop.sandbox.push_service import PushServiceStandIn
from bellhop.sandbox.push_service_rules import PushRefusal
from bellhop.sandbox.tls import Authority
from bellhop.vapid_keys import new_key_pair
from bench.fcm import DATA, PUSHES, TOKEN, Round, timed
from bench.own_process import run_part, serving
from worker.providers.fcm.fcm_sender import FcmSender
from worker.providers.web_push.vapid import VapidHeaders
from worker.providers.web_push.web_push_sender import WebPushSender

IN_FLIGHT = 50
FCM = f"FCM, {IN_FLIGHT} in flight"
SUBJECT = "mailto:ops@example.org"


def ours(loop: asyncio.AbstractEventLoop, sender: FcmSender | WebPushSender, device: Device) -> Round:
    async def lane(count: int) -> None:
        for _ in range(count):
            deadline = micros(Seconds(time.time() + 30))
            collapse_id = topic("default", DATA["call_cid"]) if device.provider is Provider.WEB_PUSH else None
            push = Push("6f0b1c52", PushKind.RING, device, DATA, deadline, collapse_id=collapse_id)
            answer = await sender.send(push, Seconds(10))
            assert answer.outcome is Outcome.ACCEPTED, answer

    async def work() -> None:
        await asyncio.gather(*(lane(PUSHES // IN_FLIGHT) for _ in range(IN_FLIGHT)))

    return timed(PUSHES, lambda: loop.run_until_complete(work()))


def published(subscription: dict[str, Any], private_key: str, ca_file: Path) -> Callable[[], Round] | None:
    """Return what sends the same by pywebpush, one after the other; None if it is not installed."""
    try:
        pywebpush, requests = importlib.import_module("pywebpush"), importlib.import_module("requests")
    except ImportError:
        return None
    session = requests.Session()
    os.environ["REQUESTS_CA_BUNDLE"] = str(ca_file)

    def work() -> None:
        for _ in range(PUSHES):
            pywebpush.webpush(
                subscription,
                json.dumps(DATA),
                vapid_private_key=private_key,
                vapid_claims={"sub": SUBJECT},
                requests_session=session,
                ttl=30,
                timeout=10,
            )

    return lambda: timed(PUSHES, work)


def run(folder: Path, line: str, rounds: int) -> None:
    served: dict[str, Any] = json.loads(line)
    ca_file, keys = folder / "ca.pem", served["keys"]
    browsers = {
        protocol: Device(
            user_id="ben", provider=Provider.WEB_PUSH, token=subscription["endpoint"], app="web", **subscription["keys"]
        )
        for protocol, subscription in served["subscriptions"].items()
    }
    android = Device(user_id="ben", provider=Provider.FCM, token=TOKEN, app="bellhop-sandbox")
    web = WebPushSender(
        VapidHeaders(keys["private"], keys["public"], SUBJECT),
        served["hosts"],
        allowed_networks=["127.0.0.1", "::1"],
        ca_file=ca_file,
    )
    fcm = FcmSender(folder / "service-account.json", served["google"], ca_file)
    loop = asyncio.new_event_loop()
    contenders: dict[str, Callable[[], Round]] = {
        f"Web Push, {IN_FLIGHT} in flight": lambda: ours(loop, web, browsers["HTTP/2"]),
        FCM: lambda: ours(loop, fcm, android),
    }
    contenders["Web Push by HTTP/1.1"] = lambda: ours(loop, web, browsers["HTTP/1.1"])
    if other := published(served["subscriptions"]["HTTP/1.1"], keys["private"], ca_file):
        contenders["pywebpush, warm session"] = other
    results: dict[str, list[Round]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            result = contender()
            if number:  # the first round opens connections
                results[name].append(result)
    for sender in (web, fcm):
        loop.run_until_complete(sender.close())
    loop.close()
    print(f"{'':26}{'CPU µs':>9}{'least':>8}{'more than FCM':>15}{'pushes/s':>10}")
    google = [round_.cpu_us for round_ in results[FCM]]
    for name, each in results.items():
        costs = [round_.cpu_us for round_ in each]
        more = statistics.median(cost - fcm_us for cost, fcm_us in zip(costs, google, strict=True))
        per_s = statistics.median(round_.per_s for round_ in each)
        print(f"{name:26}{statistics.median(costs):9.0f}{min(costs):8.0f}{more:15.0f}{per_s:10.0f}")


class Trusting(PushServiceStandIn):
    """Decrypts nothing: Google's stand-in does no such work either, and a slow server makes a client cost more."""

    def _accept(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> PushRefusal | None:
        return None


class TrustingHttp2(Trusting, Http2PushService):
    """The same by HTTP/2."""


async def serve(folder: Path) -> None:
    authority, keys = Authority(folder), new_key_pair()
    async with (
        GoogleStandIn(folder, authority=authority) as google,
        TrustingHttp2(authority) as http2,
        Trusting(authority) as http1,
    ):
        google.write_service_account(folder / "service-account.json")
        google.keep = False
        services = {"HTTP/2": http2, "HTTP/1.1": http1}
        served = {
            "google": google.url,
            "hosts": [service.host for service in services.values()],
            "subscriptions": {name: each.subscribe(keys.public).subscription for name, each in services.items()},
            "keys": keys._asdict(),
        }
        await serving(json.dumps(served))


if __name__ == "__main__":
    run_part("bench.web_push", serve, run, 5)
