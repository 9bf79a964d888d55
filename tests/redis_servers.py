"""What tests run on: one Redis, or with TEST_REDIS=cluster a cluster of three masters (`make test-cluster`)."""

import os
import re

import redis

from bellhop.sandbox.redis_server import RedisServer
from tests.redis_cluster import RedisCluster

ON_CLUSTER = os.environ.get("TEST_REDIS") == "cluster"


def new_redis(folder, *options):
    """Make a Redis, or a cluster, that is not started yet. Each server gets the options."""
    return RedisCluster(folder, options=options) if ON_CLUSTER else RedisServer(folder, *options)


def urls_of(server):
    """The URL of each server that has keys of its own: one, or the masters of a cluster."""
    return server.master_urls if isinstance(server, RedisCluster) else [server.url]


def clients_of(server):
    """A client of each of these servers. A script that is given no key may use all that its server has."""
    return [redis.Redis.from_url(url) for url in urls_of(server)]


def keys_that_begin(server, start):
    """The keys of all partitions whose names begin so; without the tags."""
    space, rest = start.split(":", 1)
    keys = [key.decode() for client in clients_of(server) for key in client.keys(f"{space}:*{rest}*")]
    names = {re.sub(r":\{[^{}]+\}:", ":", key, count=1) for key in keys}
    return {name for name in names if name.startswith(start)}


def empty(server):
    """Delete all keys."""
    for client in clients_of(server):
        with client:
            client.flushall()
