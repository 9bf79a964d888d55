"""`bellhop check`: how far other clocks are from Redis's, which decides every deadline."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
from redis.exceptions import RedisError

from bellhop.cli.check.finding import Finding, Level
from bellhop.clock import Seconds
from bellhop.settings import Settings
from bellhop.store import redis_clock
from bellhop.store.async_client import Store

TIMEOUT_S = 3.0


def clock_finding(subject: str, whose: str, ahead_s: Seconds, than: str = "Redis's") -> Finding:
    """Say how far one clock is ahead of another one, or behind it."""
    if complaint := redis_clock.complaint(whose, ahead_s, than):
        return Finding(Level.WARNING, subject, complaint)
    side = "ahead of" if ahead_s > 0 else "behind"
    return Finding(Level.OK, subject, f"{whose} is {abs(ahead_s):.1f} s {side} {than}")


async def of_providers(settings: Settings, store: Store) -> AsyncIterator[Finding]:
    """Compare the clocks of Apple and Google, if they answer a plain request with their time."""
    try:
        ahead_s = await redis_clock.ahead_s(store)
    except RedisError:
        return
    readings = {}
    if settings.apns_apps:
        readings["Apple"] = _ahead_of_here_s(settings.apns_url, settings.apns_ca_file, settings.apns_proxy)
    if settings.fcm_apps:
        readings["Google"] = _ahead_of_here_s(settings.fcm_url, settings.fcm_ca_file, settings.fcm_proxy)
    clocks = await asyncio.gather(*readings.values())
    for name, clock_s in zip(readings, clocks, strict=True):
        if clock_s is None:
            yield Finding(Level.OK, "clock", f"{name}'s answers do not tell its time, so its clock is not compared")
        else:
            yield clock_finding("clock", f"{name}'s clock", Seconds(clock_s + ahead_s))


async def _ahead_of_here_s(url: str, ca_file: Path | None, proxy: str) -> Seconds | None:
    """Return how far the server's clock is ahead of this machine's, to the second; None if it does not tell it."""
    trusted = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, ssl=trusted, proxy=proxy or None, allow_redirects=False) as answer,
        ):
            date = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return None
    return Seconds(date.timestamp() + 0.5 - time.time())
