"""`bellhop check`: Redis, and the workers that have signed in there."""

import time
from collections.abc import AsyncIterator

from redis.exceptions import RedisError

from bellhop.cli.check.finding import Finding, Level
from bellhop.store import redis_clock
from bellhop.store.async_client import Store
from bellhop.store.keys import WORKERS, lease_key

OLDEST_REDIS = (6, 2)
KNOWN = {
    "mismatch": "its certificate names another host: write it in BELLHOP_REDIS_URL as the certificate does",
    "certificate verify failed": "its certificate is not trusted: check BELLHOP_REDIS_CA_FILE",
    "NO_CERTIFICATE": "there is no certificate in BELLHOP_REDIS_CA_FILE",
    "AuthenticationError": "check the user and the password in BELLHOP_REDIS_URL",
    "gaierror": "there is no host of that name: check BELLHOP_REDIS_URL",
    "ConnectionRefused": "nothing listens there: check BELLHOP_REDIS_URL",
    "ConnectionReset": "is it rediss:// (TLS) there? Check BELLHOP_REDIS_URL and the network",
    "Timeout": "check BELLHOP_REDIS_URL, whether it is rediss:// (TLS) or redis:// there, and the firewall",
}
"""What a word in an error, or in what caused it, most often means, and what to do; the first that is found counts."""


async def findings(store: Store, wait_replicas: int) -> AsyncIterator[Finding]:
    """Ask it how it is, and who works there; `wait_replicas` is BELLHOP_REDIS_WAIT_REPLICAS."""
    try:
        began = time.monotonic()
        info = await store.client.info()
        ms = (time.monotonic() - began) * 1000
    except RedisError as error:
        yield Finding(Level.PROBLEM, "Redis", f"does not answer ({type(error).__name__}): {_advice(error)}")
        return
    version = tuple(int(part) for part in info["redis_version"].split(".")[:2])
    if version < OLDEST_REDIS:
        yield Finding(Level.PROBLEM, "Redis", f"version {info['redis_version']} is too old: 6.2 or newer is needed")
    yield Finding(Level.OK, "Redis", f"answers in {ms:.1f} ms, version {info['redis_version']}")
    if complaint := redis_clock.complaint("this machine's clock", await redis_clock.ahead_s(store)):
        yield Finding(Level.PROBLEM, "clock", complaint)
    if not info.get("aof_enabled"):
        # A Redis that is restarted with another file begins with an empty append-only file, and without its data.
        sentence = (
            "append-only persistence is off: a restart loses what is queued. "
            "First redis-cli CONFIG SET appendonly yes, then the same in redis.conf: the other way round loses all data"
        )
        yield Finding(Level.WARNING, "Redis", sentence)
    if info.get("maxmemory_policy", "noeviction") != "noeviction":
        sentence = f"maxmemory-policy is {info['maxmemory_policy']}: Redis may throw jobs away; set noeviction"
        yield Finding(Level.PROBLEM, "Redis", sentence)
    if wait_replicas > (replicas := info.get("connected_slaves", 0)):
        sentence = f"{replicas} replicas, and BELLHOP_REDIS_WAIT_REPLICAS={wait_replicas}: no webhook is answered 200"
        yield Finding(Level.PROBLEM, "Redis", sentence)
    names = [name.decode() for name in await store.call("SMEMBERS", WORKERS)]
    alive = sum([await store.call("EXISTS", lease_key(name)) for name in names])
    if alive:
        yield Finding(Level.OK, "workers", f"{alive} alive")
    else:
        yield Finding(Level.WARNING, "workers", "none is alive: start `bellhop worker`")


def _advice(error: BaseException | None) -> str:
    said = ""  # never shown: it may quote the URL
    while error is not None:
        said, error = f"{said} {error!r}", error.__cause__ or error.__context__
    fallback = "check BELLHOP_REDIS_URL, its password and the network"
    return next((advice for word, advice in KNOWN.items() if word in said), fallback)
