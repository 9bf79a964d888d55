"""The soak in short: every kind of fault in turn, one every two seconds, while phones ring."""

import pytest

from bench.soak.faults import CALM, KINDS
from bench.soak.part import REPLICATED, Plan, run
from bench.soak.report import counted, to_look_at

FAULTS = tuple(kind for kind in KINDS if kind not in REPLICATED | {CALM})
RATE, RING_MS = 12, 10_000
NEVER = ("lost", "untold", "told wrongly", "doubling untold")
"""Of any machine. A ring that arrives late after the end of its call may only say that the machine is busy."""
LONGEST_S = 240
"""A busy machine needs more than two seconds from one fault to the next."""


@pytest.mark.timeout(420)
async def test_no_ring_is_lost_untold_or_told_wrongly():
    result = await run(Plan("short", FAULTS, RATE, LONGEST_S, RING_MS, turns=len(FAULTS)))
    assert len(result.faults) >= len(FAULTS)
    assert sum(evidence.expected for evidence in result.evidence) > RATE
    words = counted(result)
    assert not [word for word in NEVER if words[word]], "\n".join(to_look_at(result))
