"""Posts calls as Stream does, in a process of its own, by the clock: however slow the answers are.

Some calls are answered, declined or cancelled after some seconds, the others ring until nobody has answered. One line
of JSON for each call goes to a file. Main: `python -m bench.soak.poster ORDER`, where ORDER is JSON.
"""

import asyncio
import json
import random
import signal
import sys
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp

from bellhop.sandbox.installation import API_KEY, SECRET
from bellhop.sandbox.stream_webhooks import Event, SampleCall, StreamStandIn
from bench.soak.people import person

LEAD_S = 1.0
"""From the start of this process to the first post."""
REQUEST_S, EVENT_S = 6.0, 15.0
"""How long Stream waits for one answer, and how long it tries to deliver one event."""
PAUSES_S = (0.0, 1.0, 3.0)
"""Before each of Stream's three tries. Stream does not say how long its pauses are."""
NETWORK_TRIES = 2

LAST_ENDS_S = 10.0
"""All calls end within this time after the last post."""


@dataclass(frozen=True)
class Order:
    """What to post. A call is answered, declined or cancelled between `earliest_s` and `latest_s`."""

    url: str
    label: str
    rate: float
    seconds: float
    people: int
    ring_ms: int
    file: str
    ends: dict[str, int]
    """How calls end, with weights; "" rings until nobody has answered."""
    earliest_s: float
    latest_s: float


@dataclass
class CallRecord:
    """One call, as Stream and its users know it. Times are unix seconds; 0 for what did not happen."""

    cid: str
    person: int
    due: float
    deadline: float
    posted: float = 0.0
    taken: float = 0.0
    """When the ring was answered 2xx."""
    tries: int = 0
    end: str = ""
    end_posted: float = 0.0
    end_taken: float = 0.0


def read_records(file: Path) -> list[CallRecord]:
    """Read what the poster wrote."""
    return [CallRecord(**json.loads(line)) for line in file.read_text().splitlines()]


class Poster:
    """Posts the calls of one order."""

    def __init__(self, order: Order, session: aiohttp.ClientSession) -> None:
        self.order = order
        self.records: list[CallRecord] = []
        self.stopped = False
        """Set at SIGTERM: no more calls are made."""
        self.stream = StreamStandIn(order.url, API_KEY, SECRET, session)

    def end(self) -> None:
        """Make no more calls."""
        self.stopped = True

    async def run(self) -> None:
        """Post every call at its time, and wait for the last end."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.end)
        order, start = self.order, time.time() + LEAD_S
        print(start, flush=True)
        self.stop = start + order.seconds
        tasks = []
        for number in range(int(order.rate * order.seconds)):
            if self.stopped:
                break
            due = start + number / order.rate
            await asyncio.sleep(due - time.time())
            tasks.append(asyncio.create_task(self._call(number, due)))
        await asyncio.gather(*tasks)

    async def _call(self, number: int, due: float) -> None:
        order, chance = self.order, random.Random(f"{self.order.label}-{number}")
        callee = number % order.people
        call = SampleCall(
            caller=f"caller-{callee}",
            members=(person(callee).user,),
            ring_ms=order.ring_ms,
            id=f"{order.label}-{number}",
        )
        record = CallRecord(call.cid, callee, due, 0.0, posted=time.time())
        record.deadline = record.posted + order.ring_ms / 1e3
        self.records.append(record)
        record.taken, record.tries = await self._deliver(call.ring())
        (end,) = chance.choices(list(order.ends), list(order.ends.values()))
        end_at = due + chance.uniform(order.earliest_s, order.latest_s) if end else record.deadline
        if end_at > self.stop:
            end, end_at = end or "end", min(end_at, self.stop + chance.uniform(0, LAST_ENDS_S))
        if record.taken and end:
            await asyncio.sleep(end_at - time.time())
            record.end, record.end_posted = end, time.time()
            record.end_taken, _ = await self._deliver(end_of(call, end))

    async def _deliver(self, event: Event) -> tuple[float, int]:
        """Post as Stream does; returns when the event was taken (0: never), and the number of tries."""
        webhook_id, give_up, network = str(uuid.uuid4()), time.time() + EVENT_S, 0
        for attempt, pause_s in enumerate(PAUSES_S, 1):
            await asyncio.sleep(pause_s)
            if time.time() > give_up:
                break
            try:
                status = await self._post(event, webhook_id, attempt, give_up)
            except TimeoutError:
                continue
            except (aiohttp.ClientError, OSError):
                network += 1
                if network == NETWORK_TRIES:
                    break
                continue
            if 200 <= status < 300:
                return time.time(), attempt
            if status < 500 and status not in (408, 429):
                break
        return 0.0, attempt

    async def _post(self, event: Event, webhook_id: str, attempt: int, give_up: float) -> int:
        """Post once. Where nothing listens, a load balancer would choose another web process at once."""
        while True:
            try:
                return (await self.stream.post(event, webhook_id=webhook_id, attempt=attempt)).status
            except aiohttp.ClientConnectorError:
                if time.time() > give_up:
                    raise
                await asyncio.sleep(0.05)


def end_of(call: SampleCall, end: str) -> Event:
    """Make the event that ends a call."""
    match end:
        case "accept":
            return call.accepted(call.members[0])
        case "decline":
            return call.rejected(call.members[0])
        case "cancel":
            return call.rejected(call.caller, "cancel")
        case _:
            return call.ended()


def written(records: Iterable[CallRecord]) -> str:
    """Write records as lines."""
    return "".join(json.dumps(asdict(record)) + "\n" for record in records)


async def main(order: Order) -> None:
    """Post an order, and write its file."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_S)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        poster = Poster(order, session)
        await poster.run()
    Path(order.file).write_text(written(poster.records))


if __name__ == "__main__":
    asyncio.run(main(Order(**json.loads(sys.argv[1]))))
