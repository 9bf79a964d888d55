"""`bellhop check`: Redis and its clock."""

import asyncio
import time
from collections.abc import AsyncIterator

from redis.exceptions import NoPermissionError, RedisError

from bellhop.cli.check import redis_cluster
from bellhop.cli.check.clocks import clock_finding
from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.server_info import NO_INFO, of_a_server
from bellhop.settings import Settings
from bellhop.store import redis_clock, refusals
from bellhop.store.async_client import Store
from bellhop.store.live_rights import missing_live_rights
from bellhop.store.redis_url import parse, shown_database
from bellhop.store.without_tls import NO_TLS, answers_without_tls

ADVICE = {
    "mismatch": "the certificate is for another host name: use the name in the certificate in BELLHOP_REDIS_URL",
    "certificate verify failed": "the certificate is not trusted: check BELLHOP_REDIS_CA_FILE",
    "NO_CERTIFICATE": "the file BELLHOP_REDIS_CA_FILE contains no certificate",
    "AuthenticationError": "check the user and the password in BELLHOP_REDIS_URL",
    "gaierror": "unknown host name: check BELLHOP_REDIS_URL",
    "ConnectionRefused": "connection refused: start Redis, or check BELLHOP_REDIS_URL",
    "ConnectionReset": "connection closed: check the network, and whether BELLHOP_REDIS_URL must be rediss:// (TLS)",
    "Timeout": "no answer: check the firewall, and whether BELLHOP_REDIS_URL must be rediss:// (TLS) or redis://",
}
"""What to do, by a word in the error or in its cause. The first word that is found decides."""


async def findings(store: Store, settings: Settings) -> AsyncIterator[Finding]:
    """Check the server."""
    database = shown_database(settings.redis_url)
    try:
        began = time.monotonic()
        ahead_s = await redis_clock.ahead_s(store)
        ms = (time.monotonic() - began) * 1000
    except RedisError as error:
        if parse(settings.redis_url).nodes and not refusals.needs_other_settings(error):
            async for finding in redis_cluster.findings(settings, _no_answer(error)):
                yield finding
            return
        advice = why_no_answer(error)
        if await asyncio.to_thread(answers_without_tls, settings.redis_url):
            advice = f"does not answer: {NO_TLS}"
        yield Finding(Level.PROBLEM, "Redis", f"{advice}; it is {database}")
        return
    refused = await _refused_write(store)
    if refused is not None and refusals.needs_other_settings(refused):
        # Nothing in it can be checked: which of its keys can be read depends on its slots.
        yield Finding(Level.PROBLEM, "Redis", f"{refusals.refusal_of(refused)}; it is {database}")
        return
    if parse(settings.redis_url).nodes:
        servers = redis_cluster.findings(settings, "")
    else:
        servers = _of_one_server(store, settings, refused, f"answers in {ms:.1f} ms: {database}")
    async for finding in servers:
        yield finding
    if settings.live and (missing := await missing_live_rights(store)):
        sentence = (
            f"its user may not {' and not '.join(missing)} on the channels bellhop:live:*, so live streams are silent"
        )
        yield Finding(Level.PROBLEM, "Redis", f"{sentence}: give the user the rights in docs/redis.md")
    clock = clock_finding("clock", "this machine's clock", ahead_s)
    yield clock._replace(level=Level.PROBLEM) if clock.level is Level.WARNING else clock


async def _of_one_server(
    store: Store, settings: Settings, refused: RedisError | None, answers: str
) -> AsyncIterator[Finding]:
    yield Finding(Level.OK, "Redis", answers)
    if refused is not None:
        yield Finding(Level.PROBLEM, "Redis", why_no_answer(refused))
    try:
        info = await store.client.info()
    except NoPermissionError:
        yield Finding(Level.WARNING, "Redis", NO_INFO)
        return
    for finding in of_a_server(info, settings.redis_wait_replicas):
        yield finding


async def _refused_write(store: Store) -> RedisError | None:
    try:
        await store.together(*refusals.probes(store.partitions), in_order=False)
    except RedisError as error:
        return error
    return None


def why_no_answer(error: RedisError) -> str:
    """Say why Redis refused a command or did not answer, and what to do."""
    return refusals.refusal_of(error) or _no_answer(error)


def _no_answer(error: RedisError) -> str:
    cause: BaseException | None = error
    text = ""  # never printed: it may contain the URL with the password
    while cause is not None:
        text, cause = f"{text} {cause!r}", cause.__cause__ or cause.__context__
    fallback = "check BELLHOP_REDIS_URL, its password and the network"
    advice = next((advice for word, advice in ADVICE.items() if word in text), fallback)
    return f"does not answer: {advice} ({type(error).__name__})"
