"""How soon a caller's app is told: from a phone's receipt, and from the webhook for a user without a phone.

Real processes for the web, the worker and Redis; the stand-ins for Apple, Google and Stream in this process, where each
phone also sends its receipt; the load generator of bench.whole in another process. One person in twenty has no phone. A
receipt's time counts from the moment at which the phone begins to send it, an unreachable user's from the moment at
which the webhook was due.

    python -m bench.callers [--rate 200] [--seconds 30]
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from bellhop.domain.device import Kind
from bellhop.sandbox.call_events import CallEvent
from bellhop.sandbox.installation import Arrival, Installation
from bench.whole import PEOPLE, Load, measured, percentiles, person

SETTINGS = {"LOG_LEVEL": "warning", "TELL_CALLER": "true", "RECEIPT_SECRET": "a-secret-of-no-real-app"}
WITHOUT_PHONE = 20
"""One person in twenty has no phone."""
RINGS_AFTER_S = 0.3
"""From a push's arrival until the phone reports that it rings."""


class Phones:
    """Sends the receipts, and notes when each was sent and when Stream was told."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.here: Installation | None = None
        self.sent: dict[str, float] = {}
        self.told: dict[tuple[str, str], float] = {}
        """By call and type."""
        self._tasks: set[asyncio.Task[None]] = set()

    def arrived(self, arrival: Arrival) -> None:
        self._load.arrival(arrival)
        task = asyncio.ensure_future(self._report(arrival.cid, arrival.ticket))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _report(self, cid: str, ticket: str) -> None:
        assert self.here is not None
        await asyncio.sleep(RINGS_AFTER_S)
        self.sent[cid] = time.time()
        async with self.here.http.post(f"{self.here.url}/v1/receipts", json={"receipt": ticket}) as answer:
            assert answer.status == 204, answer.status

    def heard(self, event: CallEvent) -> None:
        kind = event.custom["type"].rpartition(".")[2]
        self.told.setdefault((event.cid, kind), event.at)
        if kind == "unreachable":  # there is no arrival to wait for
            self._load.arrived.setdefault(event.cid.partition(":")[2], event.at)

    async def all_told(self, patience_s: float = 30) -> None:
        give_up = time.time() + patience_s
        while any((cid, "ringing") not in self.told for cid in self.sent) and time.time() < give_up:
            await asyncio.sleep(0.1)


async def main(rate: float, seconds: float) -> None:
    load = Load()
    phones = Phones(load)
    with tempfile.TemporaryDirectory() as folder:
        async with Installation(Path(folder), SETTINGS, on_arrival=phones.arrived) as here:
            phones.here, here.stream_api.events.on_request = here, phones.heard
            for number in range(PEOPLE):
                if number % WITHOUT_PHONE:
                    user_id, provider, token = person(number)
                    await here.register(user_id, provider, Kind.VOIP, token)
            pids = {name: process.pid for name, process in here.processes.items()}
            await load.run(here.url, "warm", rate / 4, int(rate))
            await phones.all_told()
            phones.sent.clear()
            count = int(rate * seconds)
            times, cpu_ms = await measured(load, pids, here.url, "call", rate, count)
            await phones.all_told()
            report(phones, times, cpu_ms, rate)


def report(phones: Phones, times: list[float], cpu_ms: dict[str, float], rate: float) -> None:
    rings = [phones.told[cid, "ringing"] - at for cid, at in phones.sent.items() if (cid, "ringing") in phones.told]
    untold = len(phones.sent) - len(rings)
    nobody = [times[n] for n in range(0, len(times), WITHOUT_PHONE)]
    reached = [time_s for n, time_s in enumerate(times) if n % WITHOUT_PHONE]
    print(f"{rate:.0f} rings/s, webhook to the push's arrival: {percentiles(reached)}")
    print(f"receipt to Stream, ringing: {percentiles(rings)}; {untold} of {len(phones.sent)} not told")
    print(f"webhook to Stream, unreachable: {percentiles(nobody)}")
    costs = ", ".join(f"{part} {ms * 10:.1f}" for part, ms in cpu_ms.items())
    print(f"CPU seconds per 10,000 rings: {costs}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    given = parser.parse_args()
    asyncio.run(main(given.rate, given.seconds))
