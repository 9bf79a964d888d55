"""After all the flows: what they have left in Redis leaves by itself. (Files run in the order of their names.)"""

import asyncio
import re

import pytest

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
JOBS_BY_TIME = (b"rq:finished:", b"rq:failed:")
"""Sorted by the time at which each entry leaves, and swept by the workers."""


async def test_everything_a_call_leaves_in_redis_expires(flow):
    ben = await flow.android("ben")
    call = flow.call(ben)
    await flow.post(call.ring(), call.ended())
    await flow.quiet()
    keys = {untagged(key) for client in flow.servers for key in client.scan_iter(count=1000)}
    assert {b"bellhop:call", b"bellhop:round", b"bellhop:trail"} <= {b":".join(key.split(b":")[:2]) for key in keys}
    for client in flow.servers:
        await asyncio.to_thread(check_what_lasts, client, ben.user.encode())


def check_what_lasts(client, user):
    # A notice of a test before this one may wait for its next try: its job is not left, it is to be run.
    later = list(client.scan_iter(b"rq:*scheduled:bellhop-notices", count=1000))
    jobs = [
        key.replace(b"scheduled:bellhop-notices", b"job:" + job) for key in later for job in client.zrange(key, 0, -1)
    ]
    lasting = [key for key in client.scan_iter(count=1000) if client.ttl(key) == -1 and key not in [*later, *jobs]]
    # What an event said about a user stays with the user, in tests before this one.
    lasting = [key for key in lasting if not untagged(key).startswith(b"bellhop:person:") or user in key]
    assert [key for key in lasting if not untagged(key).startswith(LASTING + JOBS_BY_TIME)] == []
    seconds, _ = client.time()
    for key in lasting:
        if untagged(key).startswith(JOBS_BY_TIME):
            assert all(score > seconds - 60 for _, score in client.zrange(key, 0, -1, withscores=True)), key


def untagged(key):
    """The name of a key without the tag of its partition."""
    return re.sub(rb":\{[^}]+\}:", b":", key, count=1)
