"""How far Redis's clock is ahead of Stream's, for a worker that has a time by one clock and needs it by the other."""

from bellhop.store.async_client import Store
from bellhop.store.clock_differences import read_applied
from bellhop.store.homes import partition_with
from bellhop.store.keys import call_key
from bellhop.store.redis_clock import RedisClock
from bellhop.store.retry import until_redis_answers


async def ahead_of_stream_us(store: Store, clock: RedisClock, tenant: str, cid: str) -> int:
    """Return how far Redis's clock is ahead of Stream's, where this call is kept. Waits while Redis is away.

    It is read, unless this process has read it a moment ago.
    """
    call = call_key(tenant, cid)
    server = store.server_of_key(call)
    known_us = clock.ahead_of_stream_us(tenant, server)
    if known_us is None:
        read = read_applied(tenant, partition_with(call, store.partitions))
        known_us = int(await until_redis_answers(lambda: store.call(*read)) or 0)
        clock.note_ahead_of_stream(tenant, server, known_us)
    return known_us
