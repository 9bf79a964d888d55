"""Calls with many members or rounds, for the rows of bench.growth: events as Stream posts them, and their settling."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import redis

from bellhop.clock import Micros, Seconds
from bellhop.sandbox.stream_webhooks import Event, SampleCall
from bellhop.store.async_client import Store
from bellhop.store.blocking_client import run_script
from webhook.intake.apply import apply
from webhook.intake.effects import EffectRules, effects
from webhook.intake.parsing import parse
from worker.settle import settle_call

RULES = EffectRules("default", Seconds(30), Seconds(5))
GRACE_US = Micros(5_000_000)
BETWEEN_RINGS_S = 18
RING_MS = 30_000
Answer = Callable[..., Event]


class BusyCall:
    """One call, in a Redis of its own."""

    def __init__(self, store: Store, client: redis.Redis, call: SampleCall) -> None:
        self.store, self.call = store, call
        self._client, self._posted = client, 0

    def post(self, event: Event) -> None:
        """Take an event in, at the time of its stamp."""
        value = parse(json.dumps(event).encode())
        assert value.at is not None
        self._posted += 1
        applied = effects(value, value.at, RULES)
        apply(partial(run_script, self._client), "default", f"{self._posted}", value, applied, value.at)

    async def settle(self) -> None:
        """Settle the call, as a worker does after a rejection."""
        await settle_call(self.store, "default", self.call.cid, GRACE_US)

    async def answer_one_by_one(self, answer: Answer) -> None:
        """Ring, and let each member answer. A worker settles the call after each, as it does after a rejection."""
        began_s = time.time() - 20
        self.post(self.call.ring(at=Seconds(began_s)))
        for number, member in enumerate(self.call.members):
            self.post(answer(self.call, member, at=Seconds(began_s + number / 1000)))
            if answer is SampleCall.rejected:
                await self.settle()
        await self.settle()

    async def ring_again_and_again(self, rings: int) -> None:
        """Ring in one session; of the two members, ben declines and jane misses the call."""
        for number in range(rings):
            began_s = time.time() - BETWEEN_RINGS_S * (rings - number)
            self.post(self.call.ring(at=Seconds(began_s)))
            self.post(self.call.rejected("ben", at=Seconds(began_s + 3)))
            self.post(self.call.missed("jane", at=Seconds(began_s + 10)))
            await self.settle()


@contextmanager
def busy_call(store: Store, url: str, members: int = 2) -> Iterator[BusyCall]:
    """Make a call with so many members: ben, jane, and others."""
    names = ("ben", "jane", *(f"user-{number}" for number in range(members - 2)))[:members]
    with redis.Redis.from_url(url) as client:
        yield BusyCall(store, client, SampleCall(members=names, ring_ms=RING_MS))
