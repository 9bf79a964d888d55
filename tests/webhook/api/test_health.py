"""What /readyz says about queues without a worker."""

from collections import Counter

import pytest

from bellhop.queue.names import EVENTS, MAIL, NOTICES, QUEUES, RINGS, STREAM
from bellhop.queue.worker_status import InstallationState
from webhook.api.health import missing_parts, unserved_queues


def state(*served, queued=""):
    workers = {queue: ["w-1"] if queue in served else [] for queue in QUEUES}
    return InstallationState(Counter({(queued, "queued"): 1}), workers, {})


@pytest.mark.parametrize(
    ("served", "queued", "missing", "warnings"),
    [
        ((RINGS, NOTICES), "", 0, 0),
        ((RINGS,), "", 1, 0),
        ((RINGS, NOTICES), MAIL, 1, 0),
        ((RINGS, NOTICES), STREAM, 0, 1),
        ((RINGS, NOTICES), EVENTS, 0, 1),
        ((RINGS, NOTICES, STREAM), STREAM, 0, 0),
    ],
)
def test_a_queue_that_no_ring_needs_is_only_a_warning(served, queued, missing, warnings):
    installation = state(*served, queued=queued)
    assert (len(list(missing_parts(installation, ""))), len(list(unserved_queues(installation)))) == (missing, warnings)
