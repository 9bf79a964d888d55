"""`bellhop demo`: a whole Bellhop on this machine, played to by a stand-in for Stream, with what arrives shown live."""

import asyncio
import contextlib
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from bellhop.clock import Seconds, seconds
from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import API_KEY, SECRET, Arrival, Installation
from bellhop.sandbox.redis_server import NoRedisError
from bellhop.sandbox.stream_webhooks import Event, SampleCall
from bellhop.store.keys import trail_key
from bellhop.trail import WebhookReceived, read_trail

ARRIVE_S = 10.0
"""How long the pushes of one step may take before the demo goes on without them."""
QUIET_S = 1.0
"""How long nothing more may arrive at the end."""

CONSOLE_PASSWORD = "see why it rang"  # noqa: S105 - of a demo on this machine

PHONES = {
    "Ben's iPhone, VoIP": ("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32, "Ben's iPhone"),
    "Ben's iPhone": ("ben-osei", Provider.APNS, Kind.ALERT, "b2" * 32, "Ben's iPhone"),
    "Jane's Pixel": ("jane-morel", Provider.FCM, Kind.ALERT, "dGhlLXBpeGVs:APA91b-of-the-demo", "Jane's Pixel"),
    "Jane's iPad, VoIP": ("jane-morel", Provider.APNS, Kind.VOIP, "c3" * 32, "Jane's iPad"),
    "Jane's iPad": ("jane-morel", Provider.APNS, Kind.ALERT, "d4" * 32, "Jane's iPad"),
}
NAME_OF = {token: name for *_, token, name in PHONES.values()}
SAYS = {"call.ring": "rings", "call.notification": "shows an invitation", "call.missed": "shows a missed call"}
RINGS = ("Ben's iPhone, VoIP", "Jane's Pixel", "Jane's iPad, VoIP")
SHOWS = ("Ben's iPhone", "Jane's Pixel", "Jane's iPad")

Expected = tuple[str, str, str]
"""A push: token, type, call."""


@dataclass(frozen=True)
class Step:
    """One webhook, and the phones that it must reach."""

    says: str
    event: Callable[[], Event]
    """Makes the event, so that it is stamped when it is posted."""
    phones: tuple[str, ...] = ()
    type: str = ""
    """What they get."""


def script() -> list[Step]:
    """Two calls: one that nobody answers, one that the caller gives up after Jane declined."""
    first, second = SampleCall(name="Design review"), SampleCall(name="")
    cancel = "Sara hangs up: Ben is told, Jane, who declined, is not"
    return [
        Step("Sara calls Ben and Jane", first.ring, RINGS, "call.ring"),
        Step("neither of them answered", first.missed, SHOWS, "call.missed"),
        Step("Sara invites both to another call", second.notification, SHOWS, "call.notification"),
        Step("Sara calls them there", second.ring, RINGS, "call.ring"),
        Step("Jane declines: nobody is told", lambda: second.rejected("jane-morel", "decline")),
        Step(cancel, lambda: second.rejected("sara-lind", "cancel"), ("Ben's iPhone",), "call.missed"),
    ]


def play(*, once: bool) -> int:
    """Run the demo; returns the exit status."""
    try:
        return asyncio.run(Demo(once).run())
    except NoRedisError as error:
        click.echo(str(error), err=True)
        return 1


class Demo:
    """One run of the demo."""

    def __init__(self, once: bool) -> None:
        self.once = once
        self.stop, self.news = asyncio.Event(), asyncio.Event()
        self.arrivals: asyncio.Queue[Arrival] = asyncio.Queue()
        self.posted: dict[str, float] = {}
        """When the last webhook of a call was posted (unix s)."""
        self.expected: Counter[Expected] = Counter()
        self.shown: Counter[Expected] = Counter()
        self.problems = 0

    async def run(self) -> int:
        """Start everything, play, compare, and stay for visitors; returns the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.stop.set)
        with tempfile.TemporaryDirectory(prefix="bellhop-demo-") as folder:
            click.echo("Starting Redis, web, worker, and stand-ins for Apple, Google and a mail server …")
            # Stream's call.missed comes before Bellhop would derive one itself, so that each step has one cause.
            settings = {"MISSED_GRACE_S": "60", "CONSOLE_PASSWORD": CONSOLE_PASSWORD}
            async with Installation(Path(folder), settings, on_arrival=self.arrivals.put_nowait) as here:
                showing = asyncio.create_task(self._show(here))
                for phone in PHONES.values():
                    await here.register(*phone)
                for step in script():
                    await self._play(here, step)
                await asyncio.sleep(QUIET_S)
                self._compare()
                if not self.once and not self.stop.is_set():
                    self._invite(here)
                    await self.stop.wait()
                showing.cancel()
                click.echo("\nStopping everything.")
        return 1 if self.problems else 0

    async def _play(self, here: Installation, step: Step) -> None:
        """Post a step's webhook and wait for its pushes."""
        if self.stop.is_set():
            return
        event = step.event()
        self.expected.update((PHONES[phone][3], step.type, event["call_cid"]) for phone in step.phones)
        self.posted[event["call_cid"]] = time.time()
        click.echo(
            f"\n{_clock(Seconds(time.time()))}  {click.style('Stream posts ' + event['type'], bold=True)}: {step.says}"
        )
        reply = await here.stream.post(event)
        if reply.status != 200:
            self._problem(f"The web process answered {reply.status}: {reply.body}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ARRIVE_S):
                while self.expected - self.shown:
                    self.news.clear()
                    await self.news.wait()
        await asyncio.sleep(QUIET_S / 2)

    async def _show(self, here: Installation) -> None:
        """Say what arrives, as it arrives."""
        while True:
            arrival = await self.arrivals.get()
            provider = "Apple" if arrival.provider is Provider.APNS else "Google"
            phone, says = NAME_OF.get(arrival.token, "another phone"), SAYS[arrival.type]
            after = await self._after(here, arrival)
            click.echo(f"{_clock(arrival.at)}    {phone:12}  {says:19}  by {provider:6}  {after}")
            self.shown[arrival.token, arrival.type, arrival.cid] += 1
            self.news.set()

    async def _after(self, here: Installation, arrival: Arrival) -> str:
        posted = self.posted.get(arrival.cid)
        if posted is None and arrival.type == "call.missed":
            return "since nobody answered"  # found out by waiting, so there is no webhook to count from
        posted = posted or await _received(here, arrival.cid)
        return f"{(arrival.at - posted) * 1000:6.1f} ms after the webhook"

    def _compare(self) -> None:
        """Every expected push arrived once, and no other."""
        for token, kind, _ in (self.expected - self.shown).elements():
            self._problem(f"Never arrived: {kind} on {NAME_OF[token]}")
        for token, kind, _ in (self.shown - self.expected).elements():
            self._problem(f"Was not expected: {kind} on {NAME_OF[token]}")
        if not self.problems:
            done = f"All {self.expected.total()} expected pushes arrived, and no other."
            click.secho(f"\n{done}", fg="green", bold=True)

    def _problem(self, text: str) -> None:
        self.problems += 1
        click.secho(text, fg="red", err=True)

    def _invite(self, here: Installation) -> None:
        click.echo(f"""
Now you: everything stays up until Ctrl-C. In another terminal, ring Ben's iPhone yourself:

  BODY='{{"type":"call.ring","created_at":"'$(date -u +%FT%TZ)'","call_cid":"default:mine",\
"session_id":"'$(date +%s)'","user":{{"id":"you","name":"You"}},"members":[{{"user_id":"ben-osei"}}]}}'
  curl {here.url}/webhooks/stream -d "$BODY" -H 'X-API-KEY: {API_KEY}' \\
    -H "X-SIGNATURE: $(printf %s "$BODY" | openssl dgst -sha256 -hmac {SECRET} | sed 's/.*= //')"

Nobody will answer: 90 seconds later it shows a missed call.

  web      {here.url}
  console  {here.url}/console (password: {CONSOLE_PASSWORD})
  Redis    {here.redis.url}
  logs     {here.folder}""")


async def _received(here: Installation, cid: str) -> Seconds:
    """When the last webhook of a call came in (unix s), from its trail."""
    lines = read_trail(await here.store.call("LRANGE", trail_key("default", cid), 0, -1))
    return seconds(max(milestone.at for milestone in lines if isinstance(milestone, WebhookReceived)))


def _clock(at: Seconds) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at * 1000) % 1000:03}"
