"""The run of `bellhop demo`: post the script's webhooks to a whole Bellhop, and show each push that arrives."""

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import click
from redis.exceptions import RedisError

from bellhop.clock import Seconds, seconds
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import Tone
from bellhop.explain.explanation import explain
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.demo_phones import DemoPhones
from bellhop.sandbox.demo_script import OLD_PHONE, PHONES, Step, script
from bellhop.sandbox.installation import API_KEY, SECRET, Arrival, Installation
from bellhop.sandbox.redis_server import NoRedisError
from bellhop.store.keys import trail_key
from bellhop.trail import Milestone, WebhookReceived, read_trail

ARRIVAL_TIMEOUT_S = 10.0
"""How long the demo waits for the pushes of one step."""
QUIET_S = 1.0
"""How long the demo waits at the end for pushes that should not arrive."""

CONSOLE_PASSWORD = "see-why-it-rang"  # noqa: S105 - for a demo on this machine
RECEIPT_SECRET = "signs-the-tickets-of-the-demo-only"  # noqa: S105 - likewise
STOPPED = 130
"""The exit status after Ctrl-C before the end of the script, as shells use it."""

BELLHOP = Path(sys.executable).with_name("bellhop")
"""The command, as it is called in another terminal."""

NAME_OF = {phone.token: name for name, phone in PHONES.items()}
SHOWN_AS = {"call.ring": "rings", "call.notification": "shows an invitation", "call.missed": "shows a missed call"}
RANG = "rang"
"""The report of a phone that shows a ring."""

Expected = tuple[str, str, str]
"""A push or a phone's report: token, type of the push or RANG, call."""


def play(*, once: bool, steps: Sequence[Step] | None = None, arrival_timeout_s: float = ARRIVAL_TIMEOUT_S) -> int:
    """Run the demo with these steps (default: the script's); returns the exit status."""
    try:
        return asyncio.run(Demo(once, script() if steps is None else steps, arrival_timeout_s).run())
    except (NoRedisError, RuntimeError) as error:
        click.echo(str(error), err=True)
        return 1


class Demo:
    """One run of the demo."""

    def __init__(self, once: bool, steps: Sequence[Step], arrival_timeout_s: float) -> None:
        self.once, self.steps, self.arrival_timeout_s = once, steps, arrival_timeout_s
        self.stop, self.news = asyncio.Event(), asyncio.Event()
        self.arrivals: asyncio.Queue[Arrival] = asyncio.Queue()
        self.posted: dict[str, float] = {}
        """When the last webhook of a call was posted (unix s)."""
        self.expected: Counter[Expected] = Counter()
        self.shown: Counter[Expected] = Counter()
        self.played = self.problems = 0
        self.reports: set[asyncio.Task[None]] = set()
        """The phones that show a ring and have not reported it yet."""

    async def run(self) -> int:
        """Start everything, play the script, compare, and keep running; returns the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop)
        try:
            await self._run()
        except (RuntimeError, aiohttp.ClientError, RedisError):
            # Ctrl-C in a terminal also ends the web process, the worker and Redis, possibly before they are needed.
            if not self.stop.is_set():
                raise
        if self.played < len(self.steps):
            pushes = sum(count for (_, what, _), count in self.shown.items() if what != RANG)
            done = f"{pushes} pushes of {self.played} of {len(self.steps)} webhooks arrived"
            click.echo(f"Stopped before all calls were played: {done}. Run it again to see them all.", err=True)
            return STOPPED
        return 1 if self.problems else 0

    def _stop(self) -> None:
        self.stop.set()
        self.news.set()

    async def _run(self) -> None:
        with tempfile.TemporaryDirectory(prefix="bellhop-demo-") as folder:
            click.echo("Starting Redis, the web process, a worker, and stand-ins for Apple, Google and a mail server …")
            # Bellhop must not report a missed call itself before Stream's call.missed is posted.
            settings = {"MISSED_GRACE_S": "60", "CONSOLE_PASSWORD": CONSOLE_PASSWORD, "RECEIPT_SECRET": RECEIPT_SECRET}
            async with Installation(Path(folder), settings, on_arrival=self.arrivals.put_nowait) as here:
                showing = asyncio.create_task(self._show(here))
                for phone in (*PHONES.values(), OLD_PHONE):
                    await here.register(*phone)
                here.apple.script(OLD_PHONE.token, AppleReply(410, "Unregistered"))
                for step in self.steps:
                    await self._play(here, step)
                if self.played == len(self.steps):
                    await asyncio.sleep(QUIET_S)
                    self._compare()
                    await self._explain(here)
                if not self.once and not self.stop.is_set():
                    self._invite(here)
                    await self.stop.wait()
                for task in (showing, *self.reports):
                    task.cancel()
                click.echo("\nStopping everything.")

    async def _play(self, here: Installation, step: Step) -> None:
        """Post a step's webhook and wait for its pushes."""
        if self.stop.is_set():
            return
        event = step.event()
        for what in (step.type, RANG) if step.type == "call.ring" else (step.type,):
            self.expected.update((PHONES[phone].token, what, event["call_cid"]) for phone in step.phones)
        self.posted[event["call_cid"]] = time.time()
        posted = click.style(f"Stream posts {event['type']}", bold=True)
        click.echo(f"\n{_clock(Seconds(time.time()))}  {posted}: {step.text}")
        reply = await here.stream.post(event)
        if reply.status != 200:
            self._problem(f"The web process answered {reply.status}: {reply.body}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.arrival_timeout_s):
                while self.expected - self.shown and not self.stop.is_set():
                    self.news.clear()
                    await self.news.wait()
        if not self.stop.is_set():
            await asyncio.sleep(QUIET_S / 2)
            self.played += 1

    async def _show(self, here: Installation) -> None:
        """Print each push when it arrives. The phone that rings reports it."""
        phones = DemoPhones(here.url, here.http)
        while True:
            arrival = await self.arrivals.get()
            provider = "Apple" if arrival.provider is Provider.APNS else "Google"
            await self._seen(here, arrival, arrival.type, SHOWN_AS[arrival.type], f"by {provider}", arrival.at)
            if arrival.type == "call.ring":
                self.reports.add(task := asyncio.create_task(self._report(here, phones, arrival)))
                task.add_done_callback(self.reports.discard)

    async def _report(self, here: Installation, phones: DemoPhones, arrival: Arrival) -> None:
        if await phones.ring(arrival):
            await self._seen(here, arrival, RANG, "says that it rings", "to Bellhop", Seconds(time.time()))

    async def _seen(self, here: Installation, arrival: Arrival, kind: str, what: str, way: str, at: Seconds) -> None:
        """Print what happened on a phone, and count it."""
        phone, after = NAME_OF.get(arrival.token, "another phone"), await self._after(here, arrival, at)
        click.echo(f"{_clock(at)}    {phone:18}  {what:19}  {way:10}  {after}")
        self.shown[arrival.token, kind, arrival.cid] += 1
        self.news.set()

    async def _after(self, here: Installation, arrival: Arrival, at: Seconds) -> str:
        posted = self.posted.get(arrival.cid)
        if posted is None and arrival.type == "call.missed":
            return "because nobody answered"  # no webhook caused it, so there is no time to measure
        posted = posted or await _received(here, arrival.cid)
        return f"{(at - posted) * 1000:6.1f} ms after the webhook"

    def _compare(self) -> None:
        """Check that every expected push arrived once, and no other push."""
        for token, kind, _ in (self.expected - self.shown).elements():
            self._problem(f"Never arrived: {kind} on {NAME_OF[token]}")
        for token, kind, _ in (self.shown - self.expected).elements():
            self._problem(f"Was not expected: {kind} on {NAME_OF[token]}")
        if not self.problems:
            rings = sum(count for (_, what, _), count in self.expected.items() if what == RANG)
            pushes = self.expected.total() - rings
            done = f"All {pushes} expected pushes arrived, and no other. All {rings} rings were reported."
            click.secho(f"\n{done}", fg="green", bold=True)

    async def _explain(self, here: Installation) -> None:
        """Print why a phone did not ring, and the command that explains the call."""
        for cid in self.posted:
            explanation = explain(cid, await _trail(here, cid), OLD_PHONE.user_id)
            deliveries = [delivery for round_ in explanation.rounds for delivery in round_.people[0].deliveries]
            for sentence in {delivery.sentence for delivery in deliveries if delivery.tone is Tone.BAD}:
                click.echo(f"\n{click.style('One phone did not ring', bold=True)}: {sentence}")
                command = f"BELLHOP_REDIS_URL={here.redis.url} {BELLHOP} explain {cid} {OLD_PHONE.user_id}"
                if not self.once:
                    click.echo(f"To read what happened, run this in another terminal:\n\n  {command}")

    def _problem(self, text: str) -> None:
        self.problems += 1
        click.secho(text, fg="red", err=True)

    def _invite(self, here: Installation) -> None:
        click.echo(f"""
Everything keeps running until you press Ctrl-C. To ring Ben's iPhone yourself, run this in another terminal:

  BODY='{{"type":"call.ring","created_at":"'$(date -u +%FT%TZ)'","call_cid":"default:mine",\
"session_id":"'$(date +%s)'","user":{{"id":"you","name":"You"}},"members":[{{"user_id":"ben-osei"}}]}}'
  curl {here.url}/webhooks/stream -d "$BODY" -H 'X-API-KEY: {API_KEY}' \\
    -H "X-SIGNATURE: $(printf %s "$BODY" | openssl dgst -sha256 -hmac {SECRET} | sed 's/.*= //')"

Nobody answers this call, so 90 seconds later the phone shows a missed call.

  console   {here.url}/console
  password  {CONSOLE_PASSWORD}
  health    {here.url}/readyz
  Redis     {here.redis.url}
  logs      {here.folder}

The command of this demo is {BELLHOP}; after `. {BELLHOP.parent}/activate` it is `bellhop`.""")


async def _trail(here: Installation, cid: str) -> list[Milestone]:
    return read_trail(await here.store.call("LRANGE", trail_key("default", cid), 0, -1))


async def _received(here: Installation, cid: str) -> Seconds:
    """Return when the last webhook of a call was received (unix s), from its trail."""
    return seconds(max(milestone.at for milestone in await _trail(here, cid) if isinstance(milestone, WebhookReceived)))


def _clock(at: Seconds) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at * 1000) % 1000:03}"
