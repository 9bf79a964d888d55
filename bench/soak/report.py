"""The table of a soak, and the calls to look at."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

from bellhop.explain.explanation import explain
from bench.soak.evidence import BY_REDIS, FAILURES, Evidence
from bench.soak.part import PartResult

CALM_BEFORE_S, CALM_AFTER_S = 1.0, 0.25
"""A ring is outside of faults if there was none from so long before its post until so long after it."""
SHOWN = 5
COLUMNS = (
    *("taken", "not taken", "expected", "rung", "lost", "untold", "told wrongly", "told: not known", "twice"),
    *("doubling told", "doubling untold", "after the end", "notice", "notice missing", "wrong notice"),
    *("notice doubled", "notice doubled, replaced", BY_REDIS),
)


def counted(result: PartResult) -> Counter[str]:
    """Count the words of all rings."""
    return Counter(word for evidence in result.evidence for word in evidence.words)


def latencies(evidence: Sequence[Evidence], *, calm: bool = True) -> list[float]:
    """Seconds from the first post to the phone, of rings without a fault near them."""
    return [one.rings[0].at - one.record.posted for one in evidence if one.rings and not (calm and _near_fault(one))]


def _near_fault(evidence: Evidence) -> bool:
    first, last = evidence.record.posted - CALM_BEFORE_S, evidence.record.posted + CALM_AFTER_S
    return any(began < last and ended > first for began, ended in evidence.faults)


def percentile(seconds: Sequence[float], share: int) -> str:
    """Format one percentile, in ms."""
    if len(seconds) < 2:
        return "-"
    return f"{statistics.quantiles(seconds, n=100, method='inclusive')[share - 1] * 1e3:.0f}"


HEAD = ("part", "s", "faults", "rings/s", *COLUMNS, f"other {BY_REDIS}", "p50 ms", "p99 ms", "CPU busy %")


def row(result: PartResult) -> list[str]:
    """Return the cells of one part."""
    words, times = counted(result), latencies(result.evidence)
    others = sum(count for word, count in words.items() if word.endswith(f", {BY_REDIS}"))
    rate = len(result.evidence) / max(result.lasted_s, 1)
    first = [result.plan.name, f"{result.lasted_s:.0f}", str(len(result.faults)), f"{rate:.0f}"]
    counts = [str(words[column]) for column in COLUMNS]
    return [*first, *counts, str(others), percentile(times, 50), percentile(times, 99), f"{result.busy * 100:.0f}"]


def table(results: Sequence[PartResult]) -> str:
    """Write all parts and their sum: one line for each figure, one column for each part."""
    rows = [row(result) for result in results]
    total = ["total"] + [_sum([cells[n] for cells in rows]) for n in range(1, len(HEAD) - 3)] + [""] * 3
    total[HEAD.index("rings/s")] = ""
    return markdown(list(zip(HEAD, *rows, total, strict=True)))


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Write a table whose first line is its head."""
    rule = ["---"] * len(lines[0])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [lines[0], rule, *lines[1:]])


def _sum(cells: Sequence[str]) -> str:
    return str(sum(map(int, cells)))


def failures(result: PartResult) -> int:
    """Count what must not happen."""
    words = counted(result)
    return sum(words[word] for word in FAILURES)


def to_look_at(result: PartResult) -> Iterator[str]:
    """Write the trails of the first failing rings of each kind."""
    for word in (*FAILURES, "notice doubled", "wrong notice", "notice missing"):
        found = [evidence for evidence in result.evidence if word in evidence.words]
        for evidence in found[:SHOWN]:
            yield f"\n{result.plan.name}: {word}: {told(result, evidence)}"


def told(result: PartResult, evidence: Evidence) -> str:
    """Write one call: its times, what arrived, what Bellhop tells of it, and its trail."""
    record = evidence.record
    arrived = ", ".join(f"{push.at - record.posted:+.3f} s" for push in evidence.rings) or "none"
    notices = ", ".join(f"{push.at - record.posted:+.3f} s" for push in evidence.notices) or "none"
    explanation = explain(record.cid, result.trails[record.cid])
    return "\n".join(
        [
            f"{record.cid} {evidence.user} posted {record.posted:.3f}, taken {record.taken - record.posted:+.3f} s,"
            f" end {record.end or 'none'} {record.end_posted - record.posted if record.end else 0:+.3f} s",
            f"  rings: {arrived}; notices: {notices}; faults: {_faults_near(result, evidence)}",
            *(f"  {person.verdict}" for round_ in explanation.rounds for person in round_.people),
            *(f"    {line.at / 1e6 - record.posted:+.3f} {line}" for line in result.trails[record.cid]),
        ]
    )


def _faults_near(result: PartResult, evidence: Evidence) -> str:
    posted = evidence.record.posted
    near = [(began, ended) for began, ended in sorted(result.faults) if began < posted + 40 and ended > posted - 2]
    return ", ".join(f"{began - posted:+.2f}…{ended - posted:+.2f}" for began, ended in near[:12])
