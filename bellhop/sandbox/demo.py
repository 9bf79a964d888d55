"""The run of `bellhop demo`: post the script's webhooks to a whole Bellhop, and show each push that arrives."""

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path

import aiohttp
import click
from redis.exceptions import RedisError

from bellhop.clock import Seconds, seconds
from bellhop.domain.device import Provider
from bellhop.domain.outcomes import Tone
from bellhop.explain.explanation import explain
from bellhop.sandbox import closed_tab
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.closed_tab import ClosedTab
from bellhop.sandbox.demo_phones import DemoPhones
from bellhop.sandbox.demo_script import HEARD_AS, OLD_PHONE, PHONES, Step, first_name, script
from bellhop.sandbox.demo_view import RANG, DemoView, Happening
from bellhop.sandbox.installation import API_KEY, SECRET, Arrival, Installation
from bellhop.sandbox.redis_server import NoRedisError
from bellhop.sandbox.stream_webhooks import Event
from bellhop.store.keys import trail_key
from bellhop.trail import Milestone, PhoneRang, WebhookReceived, read_trail

ARRIVAL_TIMEOUT_S = 10.0
"""How long the demo waits for the pushes of one step."""
QUIET_S = 1.0
"""How long the demo waits at the end for pushes that should not arrive."""

CONSOLE_PASSWORD = "see-why-it-rang"  # noqa: S105 - for a demo on this machine
RECEIPT_SECRET = "signs-the-tickets-of-the-demo-only"  # noqa: S105 - likewise
SETTINGS = {
    "MISSED_GRACE_S": "60",  # Bellhop must not report a missed call itself before Stream's call.missed is posted
    "CONSOLE_PASSWORD": CONSOLE_PASSWORD,
    "RECEIPT_SECRET": RECEIPT_SECRET,
    "TELL_CALLER": "true",
    "API_PAGE": "true",
}
CALLER = "Sara's app"
STOPPED = 130
"""The exit status after Ctrl-C before the end of the script, as shells use it."""

BELLHOP = Path(sys.executable).with_name("bellhop")
"""The command, as it is called in another terminal."""

NAME_OF = {phone.token: name for name, phone in PHONES.items()}
SHOWN_AS = {
    "call.ring": "rings",
    "call.ring_over": "stops ringing",
    "call.notification": "shows an invitation",
    "call.missed": "shows a missed call",
}
SENT_BY = {Provider.APNS: "by Apple", Provider.FCM: "by Google", Provider.WEB_PUSH: "by Web Push"}
ASKED = "is asked to reject"
"""What Stream does when a phone declined by its ticket."""
POLL_S = 0.005
"""How often the demo looks at the requests to the stand-in for Stream."""


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
        self.stop, self.view = asyncio.Event(), DemoView()
        self.arrivals: asyncio.Queue[Arrival] = asyncio.Queue()
        self.posted: dict[str, tuple[float, str]] = {}
        """When the last webhook or decline of a call was sent (unix s), and which of the two it was."""
        self.cid = ""
        """The call of the script's last webhook."""
        self.script_calls: set[str] = set()
        self.played = 0
        self.tasks: set[asyncio.Task[None]] = set()

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
            done = f"{self.view.pushes()} pushes of {self.played} of {len(self.steps)} steps arrived"
            click.echo(f"Stopped before all calls were played: {done}. Run it again to see them all.", err=True)
            return STOPPED
        return 1 if self.view.problems else 0

    def _stop(self) -> None:
        self.stop.set()
        self.view.news.set()

    async def _run(self) -> None:
        # A process of the browser may still write while it ends.
        with tempfile.TemporaryDirectory(prefix="bellhop-demo-", ignore_cleanup_errors=True) as folder:
            click.echo("Starting Redis, the web process, a worker, and stand-ins for Apple, Google and a mail server …")
            installation = Installation(Path(folder), SETTINGS, on_arrival=self.arrivals.put_nowait, web_push=True)
            async with ClosedTab(installation) as leo, installation as here:
                phones = DemoPhones(here.url, here.http)
                click.echo(await leo.register())
                self._begin(self._show_pushes(here, phones, leo))
                self._begin(self._show_requests_to_stream(here))
                for phone in (*PHONES.values(), OLD_PHONE):
                    await here.register(*phone)
                here.apple.script(OLD_PHONE.token, AppleReply(410, "Unregistered"))
                for step in self.steps:
                    await self._play(here, phones, step)
                if self.played == len(self.steps):
                    await asyncio.sleep(QUIET_S)
                    self.view.compare()
                    await self._explain(here)
                if not self.once and not self.stop.is_set():
                    self._invite(here, leo)
                    await self.stop.wait()
                for task in self.tasks:
                    task.cancel()
                click.echo("\nStopping everything.")

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self.tasks.add(task := asyncio.create_task(work))
        task.add_done_callback(self.tasks.discard)

    async def _play(self, here: Installation, phones: DemoPhones, step: Step) -> None:
        """Play a step, and wait for what must follow."""
        if self.stop.is_set():
            return
        if step.event is not None:
            await self._post(here, step, step.event())
        else:
            await self._decline(phones, step)
        await self.view.wait(self.arrival_timeout_s, self.stop)
        if not self.stop.is_set():
            await asyncio.sleep(QUIET_S / 2)
            self.played += 1

    async def _post(self, here: Installation, step: Step, event: Event) -> None:
        """Post a step's webhook."""
        if step.call is not None:
            here.stream_api.add_call(step.call)
        self.cid = event["call_cid"]
        self.script_calls.add(self.cid)
        self._expect(*((phone, SHOWN_AS[step.type]) for phone in step.phones))
        if step.type == "call.ring":
            self._expect(*((phone, RANG) for phone in step.phones), *((CALLER, words) for words in step.hears()))
        self.posted[self.cid] = time.time(), "webhook"
        self.view.headline(f"Stream posts {event['type']}", step.text)
        reply = await here.stream.post(event)
        self._check(reply.status, 200)

    def _check(self, status: int, expected: int) -> None:
        if status != expected:
            self.view.problem(f"The web process answered {status}, not {expected}")

    async def _decline(self, phones: DemoPhones, step: Step) -> None:
        """Decline on a phone of the last call."""
        phone = PHONES[step.declines]
        self._expect(("Stream", ASKED))
        self.posted[self.cid] = time.time(), "decline"
        self.view.headline(f"{first_name(phone.user_id)} declines", step.text)
        self._check(await phones.report(phone.token, self.cid, "declined"), 204)

    def _expect(self, *happenings: tuple[str, str]) -> None:
        self.view.expected.update(Happening(who, what, self.cid) for who, what in happenings)

    async def _show_pushes(self, here: Installation, phones: DemoPhones, leo: ClosedTab) -> None:
        """Show each push when it arrives. The phone that rings reports it."""
        while True:
            arrival = await self.arrivals.get()
            phone = NAME_OF.get(arrival.token, "another phone")
            if arrival.provider is Provider.WEB_PUSH:
                phone = closed_tab.NAME
                await leo.site.show(arrival.payload)
            if arrival.cid not in self.script_calls:
                await self._learn(here, arrival)
            self._show(phone, SHOWN_AS[arrival.type], arrival.cid, SENT_BY[arrival.provider], arrival.at)
            if arrival.type == "call.ring" and phone == closed_tab.NAME and leo.program is not None:
                self._begin(self._wait_for_report(here, leo, arrival))
            elif arrival.type == "call.ring":
                self._begin(self._report(phones, phone, arrival))

    async def _learn(self, here: Installation, arrival: Arrival) -> None:
        """Find out when the webhook of a call came that is not the script's. No webhook causes its missed call."""
        if arrival.type == "call.missed":
            self.posted.pop(arrival.cid, None)
        else:
            self.posted[arrival.cid] = await _received(here, arrival.cid), "webhook"

    async def _report(self, phones: DemoPhones, phone: str, arrival: Arrival) -> None:
        await phones.wake(arrival)
        self._show(phone, RANG, arrival.cid, "to Bellhop")
        self._check(await phones.rang(arrival), 204)

    async def _wait_for_report(self, here: Installation, leo: ClosedTab, arrival: Arrival) -> None:
        """Show that a real browser has reported its ring by itself."""
        while True:
            trail = await _trail(here, arrival.cid)
            if any(isinstance(milestone, PhoneRang) and milestone.device == leo.device_key for milestone in trail):
                self._show(closed_tab.NAME, RANG, arrival.cid, "to Bellhop")
                return
            await asyncio.sleep(POLL_S)

    async def _show_requests_to_stream(self, here: Installation) -> None:
        """Show what Bellhop asks of Stream: to tell Sara's app something, and to reject a call for a user."""
        told = rejected = 0
        while True:
            for event in here.stream_api.events.requests[told:]:
                words = HEARD_AS[event.custom["type"]].format(first_name(event.custom["user_id"]))
                # A phone may report that it rings before the worker has noted that the push was accepted.
                counts = event.custom["type"] != "bellhop.ring.reached"
                self._show(CALLER, words, event.cid, "by Stream", event.at, counts=counts)
            for reject in here.stream_api.rejects[rejected:]:
                self._show("Stream", ASKED, reject.cid, "by Bellhop", reject.at)
            told, rejected = len(here.stream_api.events.requests), len(here.stream_api.rejects)
            await asyncio.sleep(POLL_S)

    def _show(self, who: str, what: str, cid: str, way: str, at: Seconds | None = None, *, counts: bool = True) -> None:
        at = Seconds(time.time()) if at is None else at
        since, cause = self.posted.get(cid, (None, ""))
        after = "because nobody answered" if since is None else f"{(at - since) * 1000:6.1f} ms after the {cause}"
        self.view.show(Happening(who, what, cid), at, way, after, counts=counts)

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

    def _invite(self, here: Installation, leo: ClosedTab) -> None:
        click.echo(f"""
Everything keeps running until you press Ctrl-C. To ring Ben and Leo yourself, run this in another terminal:

  BODY='{{"type":"call.ring","created_at":"'$(date -u +%FT%TZ)'","call_cid":"default:mine",\
"session_id":"'$(date +%s)'","user":{{"id":"you","name":"Your shell"}},\
"members":[{{"user_id":"ben-osei"}},{{"user_id":"leo-marin"}}]}}'
  curl {here.url}/webhooks/stream -d "$BODY" -H 'X-API-KEY: {API_KEY}' \\
    -H "X-SIGNATURE: $(printf %s "$BODY" | openssl dgst -sha256 -hmac {SECRET} | sed 's/.*= //')"

Nobody answers this call, so 90 seconds later both show a missed call. Before anybody calls, this says what is
wrong with Jane's Pixel:

  BELLHOP_REDIS_URL={here.redis.url} {BELLHOP} reachability jane-morel

  Leo       {leo.site.url}
  console   {here.url}/console
  password  {CONSOLE_PASSWORD}
  HTTP API  {here.url}/v1/docs
  health    {here.url}/readyz
  Redis     {here.redis.url}
  logs      {here.folder}

The command of this demo is {BELLHOP}; after `. {BELLHOP.parent}/activate` it is `bellhop`.""")


async def _trail(here: Installation, cid: str) -> list[Milestone]:
    return read_trail(await here.store.call("LRANGE", trail_key("default", cid), 0, -1))


async def _received(here: Installation, cid: str) -> Seconds:
    """Return when the last webhook of a call was received (unix s), from its trail."""
    return seconds(max(milestone.at for milestone in await _trail(here, cid) if isinstance(milestone, WebhookReceived)))
