"""`bellhop check`: the former Redis, while the installation moves (docs/moving-redis.md)."""

import asyncio
import uuid
from collections.abc import AsyncIterator

from redis.exceptions import RedisError

from bellhop.cli.check.finding import Finding, Level
from bellhop.cli.check.reading import read_redis
from bellhop.cli.check.redis import why_no_answer
from bellhop.clock import Seconds
from bellhop.queue.other_databases import no_former_worker
from bellhop.queue.worker_status import read_installation_state
from bellhop.settings import Settings
from bellhop.store.blocking_client import blocking
from bellhop.store.keys import check_key
from bellhop.store.redis_url import shown_data

SUBJECT, SETTING, TIMEOUT_S = "Former Redis", "BELLHOP_REDIS_FORMER_URL", Seconds(2.0)


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Check whether the calls of the former Redis can end there."""
    if settings.redis_former_url is None:
        return
    probe, database = check_key(str(uuid.uuid4())), shown_data(settings.redis_former_url)
    await read_redis(settings, lambda redis: redis.set(probe, "1", ex=60))
    try:
        is_own, workers = await asyncio.to_thread(_read, settings.redis_former_url, probe)
    except RedisError as error:
        advice = why_no_answer(error).replace("BELLHOP_REDIS_URL", SETTING)
        advice = advice.replace("BELLHOP_REDIS_CA_FILE", f"ssl_ca_certs= in {SETTING}")
        yield Finding(Level.PROBLEM, SUBJECT, f"{advice}; it is {database}")
        return
    except (TypeError, UnicodeError):  # redis-py raises them before it connects
        sentence = f"{database} cannot be used, because of its name or of an option: correct {SETTING}"
        yield Finding(Level.PROBLEM, SUBJECT, sentence)
        return
    if is_own:
        yield Finding(Level.PROBLEM, SUBJECT, f"{database} is the own Redis: correct or remove {SETTING}")
    elif not workers:
        yield Finding(Level.PROBLEM, SUBJECT, no_former_worker(f"at {database}"))
    else:
        sentence = (
            f"calls that began at {database} still end there; live workers: {workers}. Remove {SETTING} ten minutes "
            "after the move: each webhook about a call asks there first"
        )
        yield Finding(Level.WARNING, SUBJECT, sentence)


def _read(url: str, probe: str) -> tuple[bool, int]:
    """Return whether this Redis has the probe that was written to the own one, and how many workers it has."""
    with blocking(url, timeout_s=TIMEOUT_S, any_count=True) as redis:
        return bool(redis.exists(probe)), len(read_installation_state(redis).live())
