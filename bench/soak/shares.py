"""Every error of Apple and Google, answered to one push in a thousand and to one in a hundred, while phones ring.

Each error is tried for some seconds, one of Apple and one of Google at the same time.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count, product
from typing import NamedTuple

from bellhop.domain.device import Provider
from bench.soak.codes import APPLE, GOOGLE, Code
from bench.soak.evidence import Evidence
from bench.soak.faults import Site
from bench.soak.part import PartResult, person_of
from bench.soak.report import latencies, markdown, percentile

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
        return markdown([HEAD, *(_cells(period, result) for period in self.periods)])

    def summary(self, result: PartResult) -> Iterator[str]:
        """Sum up each provider and share in one sentence."""
        for provider, one_in in product(CODES, SHARES):
            periods = [one for one in self.periods if one.provider is provider and one.one_in == one_in]
            rings = [one for one in result.evidence if any(_is_in(one, period) for period in periods)]
            met, others = _split(rings, result)
            at_once = [one for one in met if "Retry-After" not in _error_of(one, result)]
            p99 = percentile(latencies(others, calm=False), 99)
            yield (
                f"{provider}, {len(periods)} errors, one push in {one_in}: {len(met)} rings met one,"
                f" and {len(_lost(met))} were lost; the slowest took {_slowest(at_once)} ms,"
                f" with Retry-After {_slowest(met)} ms."
                f" Of {len(others)} others {len(_lost(others))} were lost; their p99 is {p99} ms."
            )


def one_of(code: Code, one_in: int) -> Callable[[str], Code | None]:
    """Choose this error for one request of so many."""
    numbers = count(1)
    return lambda _: code if next(numbers) % one_in == FIRST else None


def _cells(period: Period, result: PartResult) -> tuple[str, ...]:
    rings = [one for one in result.evidence if _is_in(one, period)]
    met, others = _split(rings, result)
    return (
        *(period.provider, period.code.name, str(period.one_in), str(len(rings)), str(len(met))),
        *(str(len(_lost(met))), _slowest(met), str(len(_lost(others)))),
        percentile(latencies(others, calm=False), 99),
    )


def _split(rings: Sequence[Evidence], result: PartResult) -> tuple[list[Evidence], list[Evidence]]:
    """Return the rings whose push got an error, and the others."""
    met = {one.record.cid for one in rings if _error_of(one, result)}
    return [one for one in rings if one.record.cid in met], [one for one in rings if one.record.cid not in met]


def _slowest(rings: Sequence[Evidence]) -> str:
    return f"{max(latencies(rings, calm=False), default=0.0) * 1e3:.0f}"


def _is_in(evidence: Evidence, period: Period) -> bool:
    return person_of(evidence).provider is period.provider and period.began <= evidence.record.posted < period.ended


def _error_of(evidence: Evidence, result: PartResult) -> str:
    """Name the error that the ring's push got; empty if it got none."""
    someone, (began, ended) = person_of(evidence), evidence.window
    met = result.phones.met[someone.provider]
    return next((one.code.name for one in met if one.token == someone.token and began <= one.at <= ended), "")


def _lost(evidence: Sequence[Evidence]) -> list[Evidence]:
    return [one for one in evidence if "lost" in one.words]
