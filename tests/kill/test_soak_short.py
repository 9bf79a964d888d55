"""The soak in short: every kind of fault in turn, one every two seconds, while phones ring."""

import pytest

from bench.soak.faults import KINDS
from bench.soak.part import REPLICATED, Plan, run
from bench.soak.report import failures, to_look_at

FAULTS = tuple(kind for kind in KINDS if kind not in REPLICATED | {"no fault"})
RATE, RING_MS = 12, 10_000
LONGEST_S = 120
"""A busy machine needs more than two seconds from one fault to the next."""


@pytest.mark.timeout(300)
async def test_no_ring_is_lost_untold_or_told_wrongly():
    result = await run(Plan("short", FAULTS, RATE, LONGEST_S, RING_MS, turns=len(FAULTS)))
    assert len(result.faults) >= len(FAULTS)
    assert sum(evidence.expected for evidence in result.evidence) > RATE
    assert not failures(result), "\n".join(to_look_at(result))
