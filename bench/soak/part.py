"""One part of the soak: one kind of fault in an installation of its own."""

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bellhop.domain.call import NOTICE_DUE
from bellhop.explain.rounds import RoundLog, sorted_into_rounds
from bellhop.sandbox.installation import Installation
from bellhop.store.async_client import Store
from bellhop.store.keys import trail_key
from bellhop.trail import EmailMilestone, Milestone, UserSettled, read_trail
from bench.machine import busy, ticks
from bench.soak.evidence import Evidence
from bench.soak.faults import Site, inject
from bench.soak.people import Person, person, register_all
from bench.soak.phones import Phones
from bench.soak.poster import CallRecord, Order, read_records
from tests.kill.sentinels import Sentinels

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {"MISSED_GRACE_S": "2", "LOG_LEVEL": "warning"}
REPLICATED = {"Redis failover"}
CAN_LOSE = {"Redis killed"}
"""Kinds of fault at which an unreplicated Redis can lose what it had acknowledged."""
SETTLING_S = 20.0
"""How long after the last ring's end Bellhop has for its outcome."""
AT_ONCE = 500


@dataclass(frozen=True)
class Plan:
    """One part."""

    name: str
    kinds: tuple[str, ...]
    """The kinds of fault, in turn."""
    rate: float
    seconds: float
    ring_ms: int = 30_000
    seed: int = 0
    ends: Mapping[str, int] = field(default_factory=lambda: {"accept": 25, "decline": 20, "cancel": 25, "": 30})
    earliest_s: float = 0.3
    latest_s: float = 12.0
    turns: int = sys.maxsize
    """After so many faults the part ends, also before its time."""

    @property
    def people(self) -> int:
        """So many that nobody is called again while the phone still rings."""
        return int(self.rate * self.ring_ms / 1000) + 100


@dataclass
class PartResult:
    """What came of a part."""

    plan: Plan
    evidence: list[Evidence]
    faults: list[tuple[float, float]]
    trails: Mapping[str, list[Milestone]]
    phones: Phones = field(repr=False)
    lasted_s: float
    busy: float
    """Which share of the time the machine's processors were busy. Other programs may have been a part of it."""


Drive = Callable[[Site, float], Coroutine[Any, Any, None]]
"""Makes the faults of a part until a given unix time."""


async def run(plan: Plan, drive: Drive | None = None) -> PartResult:
    """Run one part; `drive` replaces the faults of the plan's kinds."""
    with tempfile.TemporaryDirectory(prefix="bellhop-soak-") as name:
        folder = Path(name)
        replicated = bool(REPLICATED.intersection(plan.kinds))
        settings = SETTINGS | ({"REDIS_WAIT_REPLICAS": "1"} if replicated else {})
        installation = Installation(folder, settings, workers=2)
        if replicated:
            installation.redis = Sentinels(folder)  # type: ignore[assignment]
        async with installation:
            installation.start("web", "web-2")
            await register_all(installation, plan.people)
            site = Site(installation, Phones(installation), random.Random(f"{plan.seed}-{plan.name}"))
            await site.until_at_work("web-2")
            return await _measured(site, plan, drive or _kinds_of(plan))


def _kinds_of(plan: Plan) -> Drive:
    return lambda site, stop: inject(plan.kinds, site, stop, plan.turns)


async def _measured(site: Site, plan: Plan, drive: Drive) -> PartResult:
    file = site.installation.folder / "calls.jsonl"
    watching = asyncio.create_task(site.phones.watch_lag())
    poster, start = await _poster(site, plan, file)
    before = ticks()
    await drive(site, start + plan.seconds)
    share = busy(before)
    if site.turn == plan.turns:
        poster.terminate()
    assert await poster.wait() == 0
    records = read_records(file)
    trails = await settled(site.installation.store, records)
    watching.cancel()
    spent = site.phones.spent()
    evidence = [_evidence(record, trails[record.cid], site, plan, spent) for record in records]
    lasted_s = max(record.posted for record in records) - start
    return PartResult(plan, evidence, site.faults, trails, site.phones, lasted_s, share)


async def _poster(site: Site, plan: Plan, file: Path) -> tuple[asyncio.subprocess.Process, float]:
    """Start the poster; returns it, and the unix time of its first post."""
    order = Order(
        url=site.installation.url,
        label=plan.name.replace(" ", "-"),
        rate=plan.rate,
        seconds=plan.seconds,
        people=plan.people,
        ring_ms=plan.ring_ms,
        file=str(file),
        ends=dict(plan.ends),
        earliest_s=plan.earliest_s,
        latest_s=plan.latest_s,
    )
    command = [sys.executable, "-m", "bench.soak.poster", json.dumps(asdict(order))]
    poster = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    assert poster.stdout is not None
    return poster, float(await poster.stdout.readline())


async def settled(store: Store, records: Sequence[CallRecord]) -> dict[str, list[Milestone]]:
    """Wait until every ring that was taken has an outcome, and read the trails."""
    give_up = max(record.deadline for record in records) + SETTLING_S
    trails: dict[str, list[Milestone]] = {}
    while open_ := [record.cid for record in records if not _is_over(trails.get(record.cid)) and record.taken]:
        trails |= await read_all(store, open_)
        if time.time() > give_up:
            break
        await asyncio.sleep(1)
    return trails | await read_all(store, [record.cid for record in records])


def _is_over(trail: Sequence[Milestone] | None) -> bool:
    standings = [line.outcome for line in trail or () if isinstance(line, UserSettled)]
    notice_due = not NOTICE_DUE.isdisjoint(standings)
    return bool(standings) and (not notice_due or any(isinstance(line, EmailMilestone) for line in trail or ()))


async def read_all(store: Store, cids: Sequence[str]) -> dict[str, list[Milestone]]:
    """Read the trails of these calls."""
    trails: dict[str, list[Milestone]] = {}
    for first in range(0, len(cids), AT_ONCE):
        some = cids[first : first + AT_ONCE]
        commands = [("LRANGE", trail_key("default", cid), 0, -1) for cid in some]
        answers = await store.together(*commands)
        trails |= {cid: read_trail(lines) for cid, lines in zip(some, answers, strict=True)}
    return trails


def _evidence(
    record: CallRecord, trail: Iterable[Milestone], site: Site, plan: Plan, spent: Mapping[str, float]
) -> Evidence:
    someone, phones = person(record.person), site.phones
    logs: list[RoundLog] = [log for log in sorted_into_rounds(trail) if log.started_at]
    return Evidence(
        record,
        someone.user,
        phones.arrived.get((record.cid, "call.ring"), ()),
        phones.arrived.get((record.cid, "call.missed"), ()),
        logs[0] if logs else None,
        site.faults,
        phones.lag_at,
        spent.get(someone.token),
        bool(CAN_LOSE.intersection(plan.kinds)),
    )


def person_of(evidence: Evidence) -> Person:
    """Return who was called."""
    return person(evidence.record.person)
