"""Many users with one phone each, a call for each of them, and the result of every ring."""

import asyncio
import os
import random
import time
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import aiohttp

from bellhop.domain.device import Kind, Provider, device_key
from bellhop.sandbox.installation import Arrival, Installation
from bellhop.sandbox.stream_webhooks import Event, SampleCall
from bellhop.store.homes import Partition, partition_with
from bellhop.store.keys import call_key, devices_key, owner_key
from tests.trails import trail_of

SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
KILLS = int(os.environ.get("KILLS", "5"))
"""How often the long tests kill. `make test-long` says 50."""
ANSWER_S = 1.5
"""How long the providers delay their answers, so that many rings are in flight at any time."""
RING_MS = 120_000
"""Longer than a busy machine needs to replace every process, one after the other."""
NO_ANSWER = {"TIMEOUT", "no answer in time"}
"""What Google's and Apple's senders say on the trail when none came."""
POSTERS = 32
"""Webhooks under way at the same time."""


def chance() -> random.Random:
    """The times of the kills; SEED=… repeats them."""
    print(f"SEED={SEED}")
    return random.Random(SEED)


@dataclass
class Ring:
    """One call that rings one phone."""

    user: str
    token: str
    provider: Provider
    call: SampleCall
    event: Event = field(init=False)
    posts: int = 0
    taken: bool = False

    def __post_init__(self) -> None:
        self.event = self.call.ring()


class Crowd:
    """The users, and the pushes that arrived at their phones, by call."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.people: list[tuple[str, str, Provider]] = []
        self.arrivals: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        installation.on_arrival = self._arrived

    def _arrived(self, arrival: Arrival) -> None:
        self.arrivals[arrival.cid, arrival.type].append(arrival.at)

    async def grow(self, size: int) -> None:
        """Register `size` people, every other one with an iPhone."""
        for n in range(size):
            user, provider = f"user-{n}", Provider.FCM if n % 2 else Provider.APNS
            token = f"{n:064x}" if provider is Provider.APNS else f"phone:{n}"
            await self.installation.register(user, provider, Kind.VOIP, token)
            self.people.append((user, token, provider))

    def calls(self, size: int | None = None) -> list[Ring]:
        """Think of a call for each of them; each is stamped when it is made."""
        return [Ring(*person, SampleCall(members=(person[0],), ring_ms=RING_MS)) for person in self.people[:size]]

    def calls_without(self, away: Set[Partition]) -> list[Ring]:
        """Think of calls among them that need none of these partitions: neither the call, its users nor the phone."""
        callers = [user for user, *_ in reversed(self.people)]
        rings = [
            Ring(*person, SampleCall(caller, (person[0],), ring_ms=RING_MS))
            for person, caller in zip(self.people, callers, strict=True)
        ]
        found = [ring for ring in rings if not self.needed_by(ring) & away]
        assert found
        return found

    def needed_by(self, ring: Ring) -> set[Partition]:
        """Find the partitions of what a ring needs."""
        users = [devices_key("default", user) for user in (ring.call.caller, ring.user)]
        keys = call_key("default", ring.call.cid), *users, owner_key("default", device_key(ring.provider, ring.token))
        return {partition_with(key, self.installation.store.partitions) for key in keys}

    def answers_take(self, seconds: float) -> None:
        """Have the providers keep their answers for so long."""
        self.installation.apple.answer_delay_s = self.installation.google.answer_delay_s = seconds

    async def post(self, rings: Sequence[Ring], over_s: float = 0.0, give_up_s: float = 60.0) -> None:
        """Post every ring as Stream does, but for longer: under the same webhook id until it is taken."""
        gate, began = asyncio.Semaphore(POSTERS), time.monotonic()

        async def one(number: int, ring: Ring) -> None:
            await asyncio.sleep(began + over_s * number / len(rings) - time.monotonic())
            async with gate:
                await self._post(ring, time.monotonic() + give_up_s)

        await asyncio.gather(*(one(*numbered) for numbered in enumerate(rings)))

    async def _post(self, ring: Ring, give_up_at: float) -> None:
        while not ring.posts or (not ring.taken and time.monotonic() < give_up_at):
            ring.posts += 1
            ring.taken = await self._try(ring.event, ring.call.id, ring.posts)

    async def _try(self, event: Event, webhook_id: str, attempt: int) -> bool:
        """Post once; a moment later than asked, when it was not taken."""
        try:
            reply = await self.installation.stream.post(event, webhook_id=webhook_id, attempt=attempt)
            assert reply.status in {200, 503}
            taken = reply.status == 200
        except (aiohttp.ClientError, TimeoutError):
            taken = False
        if not taken:
            await asyncio.sleep(0.25)
        return taken

    def rang(self, ring: Ring) -> list[float]:
        """When its phone was rung."""
        return self.arrivals[ring.call.cid, "call.ring"]

    async def all_rang(self, rings: Sequence[Ring]) -> None:
        """Wait until every phone has rung; their deadline is the limit."""
        give_up = time.monotonic() + RING_MS / 1000
        while silent := [ring for ring in rings if not self.rang(ring)]:
            if time.monotonic() > give_up:
                raise AssertionError(f"{len(silent)} phones did not ring; {await self.tell(silent)}")
            await asyncio.sleep(0.02)

    async def callers_know(self, rings: Sequence[Ring]) -> None:
        """Wait until each caller's app heard that its ring was accepted by a provider, and nothing else."""
        events, give_up = self.installation.stream_api.events, time.monotonic() + RING_MS / 1000
        while untold := [ring for ring in rings if not events.heard(ring.call.cid)]:
            assert time.monotonic() < give_up, f"{len(untold)} callers heard nothing; {await self.tell(untold)}"
            await asyncio.sleep(0.02)
        for ring in rings:
            assert set(events.heard(ring.call.cid)) == {("bellhop.ring.reached", ring.user)}

    async def tell(self, rings: Sequence[Ring]) -> str:
        """Bellhop's explanation of the first of them, for the message of a failed test."""
        trails = [await trail_of(self.installation.store, ring.call.cid) for ring in rings[:3]]
        return "\n\n".join("\n".join(map(str, lines)) for lines in trails)

    async def rang_too_often(self, rings: Sequence[Ring]) -> str:
        """What Bellhop knows of those that rang again although each push was answered; empty when there are none.

        On a busy machine a stand-in may answer too late, and who gets no answer may ring again.
        """
        found = []
        for ring in rings:
            if len(self.rang(ring)) > 1:
                lines = await trail_of(self.installation.store, ring.call.cid)
                unanswered = sum(getattr(line, "reason", None) in NO_ANSWER for line in lines)
                found += [ring] if len(self.rang(ring)) > 1 + unanswered else []
        return await self.tell(found)

    async def accepted(self, ring: Ring) -> int:
        """How many answers to its pushes Bellhop has on the trail."""
        lines = await trail_of(self.installation.store, ring.call.cid)
        return sum(line.what == "attempted" and line.outcome == "accepted" for line in lines)

    async def lost_attempts(self, ring: Ring) -> int:
        """How many attempts have no known answer on the trail: the worker died, or the answer came too late."""
        lines = await trail_of(self.installation.store, ring.call.cid)
        return sum(line.what == "attempted" and line.outcome in ("worker_died", "unknown") for line in lines)

    async def repeats(self, ring: Ring) -> int:
        """How often its phone rang again although Bellhop knows the answer to each attempt.

        An attempt may be lost before the push left the worker: then the phone did not ring for it.
        """
        again = len(self.rang(ring)) - 1
        return max(0, again - await self.lost_attempts(ring)) if again > 0 else 0

    async def story(self, ring: Ring, problem: str) -> str:
        """The problem with a ring, when it rang, and its trail."""
        lines = await trail_of(self.installation.store, ring.call.cid)
        return "\n".join([problem, f"it rang at {self.rang(ring)}", *map(str, lines)])

    async def all_answered(self, rings: Sequence[Ring]) -> None:
        """Wait until Bellhop knows of each that it rang."""
        for ring in rings:
            give_up = time.monotonic() + RING_MS / 1000
            while await self.accepted(ring) == 0:
                assert time.monotonic() < give_up, f"no accepted push on the trail of {ring.call.cid}"
                await asyncio.sleep(0.05)

    async def all_settled(self, rings: Sequence[Ring]) -> None:
        """End the calls, and see that each recipient gets one outcome."""
        self.answers_take(0)
        gate = asyncio.Semaphore(POSTERS)

        async def end(ring: Ring) -> None:
            event, tries = ring.call.ended(), 1
            async with gate:
                while not await self._try(event, f"{ring.call.id}-ended", tries):
                    tries += 1

        await asyncio.gather(*map(end, rings))
        for ring in rings:
            give_up = time.monotonic() + 20
            while not (settled := await self._settled(ring)):
                assert time.monotonic() < give_up, f"{ring.call.cid} is not settled; {await self.tell([ring])}"
                await asyncio.sleep(0.05)
            assert settled == [(ring.user, "ended")]

    async def _settled(self, ring: Ring) -> list[tuple[str, str]]:
        lines = await trail_of(self.installation.store, ring.call.cid)
        return [(line.user, line.outcome) for line in lines if line.what == "settled"]
