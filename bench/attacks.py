"""How long other people's rings take while one sender attacks: before, under and after each attack.

Real processes; stand-ins for Apple and Google. Honest people ring each other at a fixed rate, and the time of a
ring is from the moment at which it was due to the arrival of its push. The stand-ins share the machine, and an honest
push waits there behind hundreds of others. So the time until the worker sent the push, by the trail, is printed too.
The attacker is another process with another address, and posts at a fixed rate too, however slow the answers are. It
would have a machine of its own, so it runs at a low priority (nice 10), and the number of its answers is printed.

    python -m bench.attacks [gzip large jwt replay rings tenant …] [--seconds 20] [--rate 25] [--watch]

It names the longest script of each phase, by Redis's slow log. With --watch the worker reports the longest callbacks
of its event loop, in processor time, and is a little slower.

To add an attack, add an entry to ATTACKS: what it sends, how often, and the settings that it is about.
"""

import argparse
import asyncio
import base64
import gzip
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import aiohttp
import jwt
import redis

from bellhop.clock import Seconds
from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import API_KEY, SECRET, Arrival, Installation
from bellhop.sandbox.stream_webhooks import SampleCall, as_posted
from bellhop.store import scripts
from bellhop.store.keys import trail_key
from bellhop.stream_hooks import signed_headers
from bellhop.telemetry.turned_away import describe, read_last_hour
from bellhop.trail import PushAttempted, read_trail
from bench.machine import calibrate, noise, told
from bench.watched_worker import WatchedWorker

ROOT = Path(__file__).resolve().parents[1]
PEOPLE = 100
VICTIMS_ADDRESS = "victim@example.com"
VICTIMS = tuple(f"victim-{number}" for number in range(100))
OTHER_KEY, OTHER_SECRET = "another-api-key", "another-secret-of-no-real-app"
THEIRS = 2_000
"""People of the other Stream app, each with a phone."""
TWO_APPS = {
    "STREAM_API_KEY": "",
    "STREAM_API_SECRET": "",
    "STREAM_APPS": json.dumps(
        [
            {"tenant": "default", "api_keys": [API_KEY], "api_secrets": [SECRET]},
            {"tenant": "other", "api_keys": [OTHER_KEY], "api_secrets": [OTHER_SECRET]},
        ]
    ),
}
ATTACKERS = 256
"""Connections of the attacker."""
PAUSE_S = 3.0
"""Between two phases: what the attacker left behind is answered."""

Post = tuple[bytes, Mapping[str, str]]


def signed(body: bytes, webhook_id: str = "") -> Post:
    """A webhook as Stream posts it, because a user of the app caused it or somebody captured it."""
    return body, signed_headers(body, API_KEY, SECRET, webhook_id or str(uuid.uuid4()))


def unsigned(body: bytes) -> Post:
    """A webhook of a sender who has no secret."""
    return body, signed_headers(body, API_KEY, "a secret that the sender has guessed", str(uuid.uuid4()))


def gzip_bombs() -> Callable[[int], Post]:
    bomb = unsigned(gzip.compress(bytes(4 << 20), 9))
    return lambda _: bomb


def inflating_bodies() -> Callable[[int], Post]:
    body = unsigned(gzip.compress(b"".join(b"%d:%s" % (n, b" " * 300) for n in range(10_000)), 9))
    return lambda _: body


def large_bodies() -> Callable[[int], Post]:
    body = unsigned(b"[" + b" " * (15 << 20))
    return lambda _: body


def users_tokens() -> Callable[[int], Post]:
    body, _, signature = jwt.encode({"user_id": "mallory"}, SECRET, "HS256").rpartition(".")
    as_hex = base64.urlsafe_b64decode(signature + "==").hex()
    return lambda n: (body.encode(), {"X-Signature": as_hex, "X-Api-Key": API_KEY, "X-Webhook-Id": f"token-{n}"})


def replays() -> Callable[[int], Post]:
    call = SampleCall(members=("ben",))
    bodies = [as_posted(call.ring()), as_posted(SampleCall().ring(at=Seconds(time.time() - 2 * 86_400)))]
    return lambda n: signed(bodies[n // 2 % 2], "the same" if n % 2 else f"another-{n}")


def rings_of_one_call() -> Callable[[int], Post]:
    call = SampleCall("mallory", VICTIMS)
    return lambda _: signed(as_posted(call.ring()))


def mails_to_one() -> Callable[[int], Post]:
    members = tuple(f"mailed-{number}" for number in range(100))

    def missed(_: int) -> Post:
        event = SampleCall("mallory", members).missed()
        for member in event["members"]:
            member["user"]["custom"] = {"email": VICTIMS_ADDRESS}
        return signed(as_posted(event))

    return missed


def rings_of_another_app() -> Callable[[int], Post]:
    """More pushes than a worker sends: its rings wait in the queue, up to the bound."""

    def ring(number: int) -> Post:
        members = tuple(f"theirs-{(5 * number + member) % THEIRS}" for member in range(5))
        body = as_posted(SampleCall(f"caller-{number % THEIRS}", members).ring())
        return body, signed_headers(body, OTHER_KEY, OTHER_SECRET, str(uuid.uuid4()))

    return ring


class Attack(NamedTuple):
    """What one attacker sends."""

    says: str
    begin: Callable[[], Callable[[int], Post]]
    """Prepares the attack; returns what makes the n-th webhook."""
    per_s: float
    settings: Mapping[str, str] = MappingProxyType({})
    """Of the installation, besides the usual ones."""


ATTACKS: dict[str, Attack] = {
    "gzip": Attack("4 KB of gzip that inflate to 4 MiB, without the secret", gzip_bombs, 80),
    "inflate": Attack("gzip that stays below the ratio, without the secret", inflating_bodies, 80),
    "large": Attack("bodies of 15 MiB, without the secret", large_bodies, 5),
    "jwt": Attack("a user's own token, whose signature is right", users_tokens, 500),
    "replay": Attack("captured webhooks, under the same id and new ones, of now and of two days ago", replays, 500),
    "rings": Attack("a user rings one call of 100 members again and again", rings_of_one_call, 5),
    "mail": Attack("calls missed by 100 members whose custom.email is one victim", mails_to_one, 1),
    "tenant": Attack("another Stream app rings 5 members each time", rings_of_another_app, 300, TWO_APPS),
}


async def attack(name: str, url: str, seconds: float) -> None:
    """Post what an attack sends, by the clock, and print how it was answered."""
    make, per_s = ATTACKS[name].begin(), ATTACKS[name].per_s
    answers: Counter[str] = Counter()
    connector = aiohttp.TCPConnector(limit=ATTACKERS)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=15)) as session:

        async def post(body: bytes, headers: Mapping[str, str]) -> None:
            headers = {**headers, "X-Forwarded-For": "203.0.113.66"}
            if body[:2] == b"\x1f\x8b":
                headers["Content-Encoding"] = "gzip"
            try:
                async with session.post(f"{url}/webhooks/stream", data=body, headers=headers) as reply:
                    await reply.read()
                    answers[str(reply.status)] += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                answers[type(error).__name__] += 1

        began, running = time.monotonic(), set()
        for number in range(int(per_s * seconds)):
            await asyncio.sleep(began + number / per_s - time.monotonic())
            task = asyncio.create_task(post(*make(number)))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
    print(", ".join(f"{status}: {number}" for status, number in answers.most_common()), flush=True)


class Posted(NamedTuple):
    """A ring that an honest person caused, and how its webhook was answered."""

    due: float
    """Unix seconds."""
    answered_s: float
    """After it was due."""
    status: int
    """0 if there was no answer."""


async def ring_honestly(url: str, rate: float, seconds: float) -> None:
    """Ring by the clock, however slow the answers are, and print each call's `Posted` as JSON."""
    posted: dict[str, Posted] = {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:

        async def ring(number: int, due: float) -> None:
            call = SampleCall(members=(f"user-{number % PEOPLE}",))
            body, headers = signed(as_posted(call.ring()))
            headers = {**headers, "X-Forwarded-For": "192.0.2.1"}
            if number % 4 == 0:  # some apps let Stream compress
                body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
            try:
                async with http.post(f"{url}/webhooks/stream", data=body, headers=headers) as reply:
                    await reply.read()
                    status = reply.status
            except (aiohttp.ClientError, TimeoutError):
                status = 0
            posted[call.cid] = Posted(due, time.time() - due, status)

        began, running = time.time(), []
        for number in range(int(seconds * rate)):
            due = began + number / rate
            await asyncio.sleep(due - time.time())
            running.append(asyncio.create_task(ring(number, due)))
        await asyncio.gather(*running)
    print(json.dumps(posted))


class Honest:
    """People who ring each other at a fixed rate. They are another process: this one is busy with the stand-ins."""

    def __init__(self, here: Installation, rate: float) -> None:
        self._here, self._rate = here, rate
        self.posted: dict[str, Posted] = {}
        self.arrived: dict[str, float] = {}

    def arrival(self, arrival: Arrival) -> None:
        self.arrived.setdefault(arrival.cid, arrival.at)

    async def ring_for(self, seconds: float) -> None:
        """Ring for some time."""
        people = await begin("--honest", self._here.url, str(self._rate), str(seconds))
        printed, _ = await people.communicate()
        self.posted = {cid: Posted(*values) for cid, values in json.loads(printed).items()}

    async def report(self, phase: str) -> None:
        give_up = time.time() + 10
        while any(cid not in self.arrived for cid in self.posted) and time.time() < give_up:
            await asyncio.sleep(0.1)
        rings = [self.arrived[cid] - ring.due for cid, ring in self.posted.items() if cid in self.arrived]
        lost = len(self.posted) - len(rings)
        answers = Counter(ring.status for ring in self.posted.values() if ring.status != 200)
        refused = f", webhooks refused {dict(answers)}" if answers else ""
        longest = await longest_script(self._here)
        answered = percentiles([ring.answered_s for ring in self.posted.values()])
        print(f"  {phase:7} webhooks {answered}; rings {percentiles(rings)}, {lost} lost{refused}")
        print(f"          sent by the worker, without the stand-in's part: {percentiles(await self._sent_s())}")
        print(f"          longest script: {longest}", flush=True)

    async def _sent_s(self) -> list[float]:
        """How long after its webhook was due each push was sent, by the trail."""
        sent = []
        for cid, ring in self.posted.items():
            lines = await self._here.store.call("LRANGE", trail_key("default", cid), 0, -1)
            pushed = [line for line in read_trail(lines) if isinstance(line, PushAttempted)]
            sent += [attempt.at / 1e6 - (attempt.ms or 0) / 1e3 - ring.due for attempt in pushed[:1]]
        return sent


def percentiles(times_s: Sequence[float]) -> str:
    if len(times_s) < 2:
        return "none"
    cuts = statistics.quantiles(times_s, n=100, method="inclusive")
    return f"p50 {cuts[49] * 1e3:.1f} ms, p99 {cuts[98] * 1e3:.1f} ms"


async def begin(*arguments: str, niceness: int = 0) -> asyncio.subprocess.Process:
    """Begin another process of this module."""
    command = [sys.executable, "-m", "bench.attacks", *arguments]
    return await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, preexec_fn=lambda: os.nice(niceness)
    )


async def run(name: str, options: Any) -> None:
    print(f"{name}: {ATTACKS[name].says}, {ATTACKS[name].per_s:g} a second", flush=True)
    settings = {"WEB_TRUSTED_HOPS": "1", "LOG_LEVEL": "error", "MISSED_GRACE_S": "300"}
    settings |= {"MAIL_STREAM_ADDRESSES": "true", "MAIL_WINDOW_S": "0", **ATTACKS[name].settings}
    with tempfile.TemporaryDirectory() as folder:
        async with Installation(Path(folder), settings) as here:
            if options.watch:
                here.stop("worker-1")
            worker = WatchedWorker(here)
            if options.watch:
                await worker.start()
            honest = Honest(here, options.rate)
            here.on_arrival = honest.arrival
            here.apple.keep = False
            for number in range(PEOPLE):
                await here.register(f"user-{number}", Provider.APNS, Kind.VOIP, f"{number:064x}")
            for number, victim in enumerate(VICTIMS):
                await here.register(victim, Provider.APNS, Kind.VOIP, f"f{number:063x}")
            if ATTACKS[name].settings is TWO_APPS:
                await register_theirs(here)
            await here.store.call("CONFIG", "SET", "slowlog-log-slower-than", "1000", "slowlog-max-len", "10000")
            await honest.ring_for(2)  # warm
            await longest_script(here)
            worker.forget()
            await honest.ring_for(options.seconds)
            await honest.report("before")
            memory = await used_memory(here)
            attacker = await begin("--attack", name, here.url, str(options.seconds + 3), niceness=10)
            await asyncio.sleep(2)
            await honest.ring_for(options.seconds)
            await honest.report("under")
            answers, _ = await attacker.communicate()
            grown = await used_memory(here) - memory
            await asyncio.sleep(PAUSE_S)
            await honest.ring_for(options.seconds)
            await honest.report("after")
            print(f"  the attacker's answers: {answers.decode().strip()}; Redis grew by {grown / 1e6:.1f} MB in all")
            if mails := here.mail.mails(VICTIMS_ADDRESS):
                print(f"  the victim got {len(mails)} e-mails")
            with redis.Redis.from_url(here.redis.url) as client:
                for sentence in describe(read_last_hour(client)):
                    print(f"  check: {sentence}")
            for line in await worker.stop():
                print(f"  the worker's loop: {line}")


async def register_theirs(here: Installation) -> None:
    """Register the phones of the other Stream app's people."""
    for number in range(THEIRS):
        await here.register(f"theirs-{number}", Provider.APNS, Kind.VOIP, f"e{number:063x}", tenant="other")


async def longest_script(here: Installation) -> str:
    """Name the longest script since the last call, and forget it."""
    slow = await here.store.call("SLOWLOG", "GET", "-1")
    await here.store.call("SLOWLOG", "RESET")
    names = {scripts.sha1(name).encode(): name for name in scripts.names()}
    times = [(entry[2], names[entry[3][1]]) for entry in slow if entry[3][0] == b"EVALSHA" and entry[3][1] in names]
    took_us, name = max(times, default=(0, ""))
    return f"{took_us / 1000:.1f} ms, {name}" if times else "none over a millisecond"


async def used_memory(here: Installation) -> int:
    memory = await here.store.client.info("memory")
    return int(memory["used_memory"])


async def main(options: Any) -> None:
    print(told())
    seen = calibrate()
    for name in options.attacks or ATTACKS:
        await run(name, options)
        seen += calibrate()
    print(noise(seen))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=", ".join(ATTACKS))
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=25, help="honest rings a second")
    parser.add_argument("--watch", action="store_true", help="report the longest callbacks of the worker's loop")
    parser.add_argument("--attack", nargs=3, metavar=("NAME", "URL", "SECONDS"), help=argparse.SUPPRESS)
    parser.add_argument("--honest", nargs=3, metavar=("URL", "RATE", "SECONDS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := set(given.attacks) - ATTACKS.keys():
        parser.error(f"no such attack: {', '.join(sorted(unknown))}")
    if given.honest:
        url, *numbers = given.honest
        asyncio.run(ring_honestly(url, *map(float, numbers)))
    elif given.attack:
        asyncio.run(attack(given.attack[0], given.attack[1], float(given.attack[2])))
    else:
        asyncio.run(main(given))
