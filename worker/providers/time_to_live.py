"""How long a provider may keep a push for a device that is away."""

import time

from bellhop.clock import seconds
from bellhop.domain.push import Push


def time_to_live_s(push: Push) -> int:
    """Return the seconds until the push is useless, at least 1.

    They count from this attempt, not from the plan: a phone that comes back to the network must not ring for an old
    call. With 0, a phone that is away for a second would not ring at all. The fence knows how much is left, although
    this machine's clock may differ from Stream's.
    """
    left_s = seconds(push.deadline) - time.time() if push.ends_s is None else push.ends_s - time.monotonic()
    return max(1, int(left_s))
