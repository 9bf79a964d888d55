"""Every error of Apple and Google, answered to one push in a thousand and to one in a hundred, while phones ring.

Each error is tried for some seconds, one of Apple and one of Google at the same time.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

from bellhop.domain.device import Provider
from bench.soak.codes import APPLE, GOOGLE, Code
from bench.soak.evidence import Evidence
from bench.soak.faults import Site
from bench.soak.part import PartResult, person_of
from bench.soak.report import latencies, percentile

SHARES = (1000, 100)
"""One push in so many gets the error."""
FIRST = 50
"""The first to get it, if the share allows: also a short run has one."""
CODES = {Provider.APNS: APPLE, Provider.FCM: GOOGLE}
PERIODS = len(SHARES) * max(map(len, CODES.values()))

HEAD = (
    *("provider", "error", "one in", "rings", "met it", "lost of these", "slowest of these, ms"),
    *("lost of the others", "p99 of the others, ms"),
)


class Period(NamedTuple):
    """The time in which one provider answered one error to a share of its pushes."""

    provider: Provider
    code: Code
    one_in: int
    began: float
    ended: float


class Shares:
    """Goes through all errors."""

    def __init__(self) -> None:
        self.periods: list[Period] = []

    async def drive(self, site: Site, stop: float) -> None:
        """Try every error with every share, for equal times until `stop`."""
        each_s = (stop - time.time()) / PERIODS
        for one_in in SHARES:
            for number in range(PERIODS // len(SHARES)):
                began = time.time()
                codes = {provider: codes[number] for provider, codes in CODES.items() if number < len(codes)}
                site.phones.choose = {provider: one_of(code, one_in) for provider, code in codes.items()}
                await asyncio.sleep(each_s)
                self.periods += [Period(*code, one_in, began, time.time()) for code in codes.items()]
        site.phones.choose = {}

    def table(self, result: PartResult) -> str:
        """Write a line for each error and share."""
        lines = [HEAD, ("---",) * len(HEAD), *(_cells(period, result) for period in self.periods)]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def one_of(code: Code, one_in: int) -> Callable[[str], Code | None]:
    """Choose this error for one request of so many."""
    numbers = count(1)
    return lambda _: code if next(numbers) % one_in == FIRST else None


def _cells(period: Period, result: PartResult) -> tuple[str, ...]:
    rings = [one for one in result.evidence if _is_in(one, period)]
    met = [one for one in rings if _met(one, result)]
    others = [one for one in rings if one not in met]
    slowest = max(latencies(met, calm=False), default=0.0)
    first = (period.provider, period.code.name, str(period.one_in), str(len(rings)), str(len(met)))
    return (
        *first,
        str(len(_lost(met))),
        f"{slowest * 1e3:.0f}",
        str(len(_lost(others))),
        percentile(latencies(others, calm=False), 99),
    )


def _is_in(evidence: Evidence, period: Period) -> bool:
    return person_of(evidence).provider is period.provider and period.began <= evidence.record.posted < period.ended


def _met(evidence: Evidence, result: PartResult) -> bool:
    """Whether the ring's push got an error."""
    someone, (began, ended) = person_of(evidence), evidence.window
    met = result.phones.met[someone.provider]
    return any(one.token == someone.token and began <= one.at <= ended for one in met)


def _lost(evidence: Sequence[Evidence]) -> list[Evidence]:
    return [one for one in evidence if one.record.taken and one.expected and not one.rings]
