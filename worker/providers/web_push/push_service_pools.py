"""The HTTP/2 connections to push services, and which services speak only HTTP/1.1."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from bellhop.clock import Seconds
from worker.providers.http2.http2_pool import Http2Pool

MOST_HOSTS = 100
"""Hosts that are remembered. Some push services have hundreds, and a user's app chooses the endpoint."""
HTTP1_FOR_S = Seconds(3600.0)
"""A host that speaks no HTTP/2 is tried again after this time."""


class PushServicePools:
    """One pool for each host, made when it is first needed. The host that was not used for longest is forgotten."""

    def __init__(self, make_pool: Callable[[str], Http2Pool]) -> None:
        """`make_pool` gets the URL of a host."""
        self._make_pool = make_pool
        self._hosts: OrderedDict[str, Http2Pool | Seconds] = OrderedDict()
        """A pool, or the loop time until which HTTP/1.1 is used for the host."""

    def of(self, host: str) -> Http2Pool | None:
        """Return the pool for a host; None if the host speaks only HTTP/1.1."""
        known = self._hosts.get(host)
        if isinstance(known, Http2Pool):
            self._hosts.move_to_end(host)
            return known
        if known is not None and asyncio.get_running_loop().time() < known:
            return None
        pool = self._make_pool(f"https://{host}")
        self._remember(host, pool)
        return pool

    def speaks_http1(self, host: str) -> None:
        """Note that a host speaks only HTTP/1.1."""
        if isinstance(pool := self._hosts.get(host), Http2Pool):
            pool.retire()
        self._remember(host, Seconds(asyncio.get_running_loop().time() + HTTP1_FOR_S))

    def _remember(self, host: str, known: Http2Pool | Seconds) -> None:
        self._hosts[host] = known
        self._hosts.move_to_end(host)
        if len(self._hosts) > MOST_HOSTS:
            _, oldest = self._hosts.popitem(last=False)
            if isinstance(oldest, Http2Pool):
                oldest.retire()

    async def close(self) -> None:
        """Close the connections. Nothing may be in flight."""
        await asyncio.gather(*(pool.close() for pool in self._hosts.values() if isinstance(pool, Http2Pool)))
