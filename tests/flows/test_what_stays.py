"""After all the flows: what they have left in Redis leaves by itself. (Files run in the order of their names.)"""

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")

LASTING = (
    b"bellhop:devices:",
    b"bellhop:token:",
    b"bellhop:agenda",
    b"bellhop:workers",
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
    client = flow.installation.store.client
    keys = [key async for key in client.scan_iter(count=1000)]
    assert {b"bellhop:call", b"bellhop:round", b"bellhop:trail"} <= {b":".join(key.split(b":")[:2]) for key in keys}
    # A notice of a test before this one may wait for its next try: its job is not left, it is to be run.
    later = b"rq:scheduled:bellhop-notices"
    waiting = {later, *(b"rq:job:" + job for job in await client.zrange(later, 0, -1))}
    lasting = [key for key in keys if await client.ttl(key) == -1 and key not in waiting]
    # What an event said about a user stays with the user, in tests before this one.
    lasting = [key for key in lasting if not key.startswith(b"bellhop:person:") or ben.user.encode() in key]
    assert [key for key in lasting if not key.startswith(LASTING + JOBS_BY_TIME)] == []
    seconds, _ = await client.time()
    for key in lasting:
        if key.startswith(JOBS_BY_TIME):
            assert all(score > seconds - 60 for _, score in await client.zrange(key, 0, -1, withscores=True)), key
