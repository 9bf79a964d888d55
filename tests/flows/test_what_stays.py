"""After all the flows: what they have left in Redis leaves by itself. (Files run in the order of their names.)"""

import asyncio
import re
import time

import pytest

from tests.flows.conftest import SOON_S

pytestmark = pytest.mark.asyncio(loop_scope="session")

LASTING = (
    b"bellhop:devices:",
    b"bellhop:token:",
    b"bellhop:agenda",
    b"bellhop:workers",
    b"bellhop:bell:",
    b"bellhop:count",  # the number of partitions of a cluster
    b"bellhop:metrics",
    b"bellhop:erasures",
    b"bellhop:last-webhook",
    b"rq:workers",
    b"rq:queues",
)
"""The registry, and what Bellhop and RQ keep once and not for each call."""
WITHOUT_END = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('TTL', key) == -1 then found[#found + 1] = key end
end
return found
"""
JOBS_BY_TIME = (b"rq:finished:", b"rq:failed:")
"""Sorted by the time at which each entry leaves, and swept by the workers."""


async def test_everything_a_call_leaves_in_redis_expires(flow):
    ben = await flow.android("ben")
    call = flow.call(ben)
    await flow.post(call.ring(), call.ended())
    await flow.quiet()
    keys = {untagged(key) for client in flow.servers for key in client.scan_iter(count=1000)}
    assert {b"bellhop:call", b"bellhop:round", b"bellhop:trail"} <= {b":".join(key.split(b":")[:2]) for key in keys}
    # A job that runs just now, such as a notice of an earlier test, has keys that last. They are gone a moment later.
    give_up = time.monotonic() + SOON_S
    while left := [key for client in flow.servers for key in await asyncio.to_thread(lasting, client, ben.user)]:
        assert time.monotonic() < give_up, left
        await asyncio.sleep(0.5)


def lasting(client, user):
    """The keys that stay, and should not."""
    # A notice of a test before this one may wait for its next try: its job is not left, it is to be run.
    later = list(client.scan_iter(b"rq:*scheduled:bellhop-notices", count=1000))
    jobs = [
        key.replace(b"scheduled:bellhop-notices", b"job:" + job) for key in later for job in client.zrange(key, 0, -1)
    ]
    keys = [key for key in client.eval(WITHOUT_END, 0) if key not in [*later, *jobs]]
    # What an event said about a user stays with the user, in tests before this one.
    keys = [key for key in keys if not untagged(key).startswith(b"bellhop:person:") or user.encode() in key]
    seconds, _ = client.time()
    oldest = {key: client.zrange(key, 0, 0, withscores=True) for key in keys if untagged(key).startswith(JOBS_BY_TIME)}
    swept = [key for key, first in oldest.items() if all(score > seconds - 60 for _, score in first)]
    return [key for key in keys if not untagged(key).startswith(LASTING) and key not in swept]


def untagged(key):
    """The name of a key without the tag of its partition."""
    return re.sub(rb":\{[^}]+\}:", b":", key, count=1)
