import signal

import pytest
import redis

from worker.sandbox.redis import RedisServer


def test_a_killed_redis_comes_back_on_the_same_port_with_its_data(tmp_path):
    with RedisServer(tmp_path, "--appendfsync", "always") as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", "yes")
        server.stop(signal.SIGKILL)
        with redis.Redis.from_url(server.url, retry=None) as client, pytest.raises(redis.exceptions.ConnectionError):
            client.ping()
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("kept") == b"yes"
