"""A phone that an operator has disabled: a worker sends it nothing, and the trail says why."""

import pytest

from bellhop.clock import Micros
from bellhop.domain.push import PushKind
from bellhop.store.disabled_phones import switch_phones
from bellhop.store.keys import trail_key
from bellhop.store.registry import register
from bellhop.store.steps import run_steps
from bellhop.trail import PushSkipped, decode_only
from tests.factories import a_queued_round
from tests.worker.delivery.test_badge import ANDROID, push_to  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("live_workers")

KINDS = (PushKind.RING, PushKind.NOTIFICATION, PushKind.MISSED)


async def test_a_worker_sends_nothing_to_a_disabled_phone(push_to, store):  # noqa: F811
    await store.script(*switch_phones("default", "ben", [ANDROID], disabled_at=Micros(1_800_000_000_000_000)))
    await run_steps(register("default", ANDROID), store)  # the app starts again
    for kind in KINDS:
        assert "android" not in await push_to(kind)
    lines = await store.call("LRANGE", trail_key("default", a_queued_round().cid), 0, -1)
    skips = [skip for skip in decode_only(PushSkipped, lines) if skip.outcome == "disabled"]
    assert [(skip.kind, skip.device) for skip in skips] == [(kind, ANDROID.key) for kind in KINDS]
    assert {skip.reason for skip in skips} == {"2027-01-15T08:00:00+00:00"}
    await store.script(*switch_phones("default", "ben", [ANDROID], disabled_at=None))
    assert "android" in await push_to(PushKind.NOTIFICATION)
