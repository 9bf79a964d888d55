"""RQ's worker as its documentation advises for speed: the job's modules are imported before it forks."""

import os

from redis import Redis
from rq import Worker

from bench.alternative import jobs

__all__ = ["jobs"]

if __name__ == "__main__":
    Worker(["rings"], connection=Redis.from_url(os.environ["REDIS_URL"])).work(logging_level="WARNING")
