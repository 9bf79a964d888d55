"""What to say if no worker is alive.

Perhaps the workers use another database of our Redis: their BELLHOP_REDIS_URL ends with another number than ours.
"""

from collections.abc import Mapping

from redis import Redis
from redis.exceptions import RedisError

from bellhop.clock import Seconds
from bellhop.queue.worker_status import read_installation_state
from bellhop.store.blocking_client import blocking
from bellhop.store.redis_url import number_of_database, parse, shown_database

DATABASES = 16
"""How many databases are looked into: as many as Redis has by default."""
TIMEOUT_S = Seconds(1.0)


def workers_elsewhere(url: str) -> dict[int, int]:
    """Return the number of live workers by database, for all databases of the server but our own.

    A database that cannot be read counts as empty: Redis has fewer, or does not answer. A cluster has one database.
    """
    if parse(url).nodes:
        return {}
    ours, found = number_of_database(url), {}
    with blocking(url, timeout_s=TIMEOUT_S, connections=1) as redis:
        for number in range(DATABASES):
            if number != ours and (live := _live_workers(redis, number)):
                found[number] = live
    return found


def no_worker(url: str, elsewhere: Mapping[int, int]) -> str:
    """Say that no worker is alive in our database, and in which others workers are."""
    database = shown_database(url)
    sentence = f"no worker is alive in {database if parse(url).nodes else f'Redis {database}'}"
    if not elsewhere:
        return f"{sentence}: start `bellhop worker`. If one runs, its first log line names the Redis that it uses"
    others = " and ".join(f"{_count(live)} in database {number}" for number, live in elsewhere.items())
    return f"{sentence}, but {others} of the same server: set the same BELLHOP_REDIS_URL for all processes"


def no_former_worker(where: str) -> str:
    """Say that no worker is alive in the former Redis, while the installation moves."""
    advice = "correct BELLHOP_REDIS_FORMER_URL, or remove it if the former workers have ended"
    return f"no worker of Bellhop works {where}: {advice}"


def _live_workers(redis: Redis, number: int) -> int:
    try:
        redis.execute_command("SELECT", number)  # type: ignore[no-untyped-call]
        return len(read_installation_state(redis).live())
    except RedisError:
        return 0


def _count(workers: int) -> str:
    return f"{workers} worker{' is' if workers == 1 else 's are'} alive"
