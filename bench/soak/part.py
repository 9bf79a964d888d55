"""One part of the soak: one kind of fault in an installation of its own."""

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bellhop.domain.call import NOTICE_DUE
from bellhop.domain.device import Provider
from bellhop.explain.rounds import RoundLog, sorted_into_rounds
from bellhop.sandbox.installation import Installation
from bellhop.store.async_client import Store
from bellhop.store.keys import trail_key
from bellhop.trail import EmailMilestone, Milestone, UserSettled, read_trail
from bench.soak.evidence import Evidence
from bench.soak.faults import Site, inject
from bench.soak.people import person, register_all
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
    lasted_s: float = 0.0


async def run(plan: Plan) -> PartResult:
    """Run one part."""
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
            await asyncio.sleep(3)
            return await _in(installation, folder, plan)


async def _in(installation: Installation, folder: Path, plan: Plan) -> PartResult:
    site = Site(installation, Phones(installation), random.Random(f"{plan.seed}-{plan.name}"))
    watching = asyncio.create_task(site.phones.watch_lag())
    file = folder / "calls.jsonl"
    label = plan.name.replace(" ", "-")
    order = Order(installation.url, label, plan.rate, plan.seconds, plan.people, plan.ring_ms, str(file))
    command = [sys.executable, "-m", "bench.soak.poster", json.dumps(asdict(order))]
    poster = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    assert poster.stdout is not None
    start = float(await poster.stdout.readline())
    await inject(plan.kinds, site, start + plan.seconds, plan.turns)
    if site.turn == plan.turns:
        poster.terminate()
    assert await poster.wait() == 0
    records = read_records(file)
    trails = await settled(installation.store, records)
    watching.cancel()
    spent = site.phones.spent()
    evidence = [_evidence(record, trails[record.cid], site, plan, spent) for record in records]
    return PartResult(plan, evidence, site.faults, trails, site.phones, max(r.posted for r in records) - start)


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


def provider_of(evidence: Evidence) -> Provider:
    """Return the provider of a call's phone."""
    return person(evidence.record.person).provider
