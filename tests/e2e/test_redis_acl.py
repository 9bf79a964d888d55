"""Bellhop with the Redis users that docs/redis.md gives, and what else they may not do."""

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError, ResponseError

from worker.domain.device import Kind, Provider
from worker.sandbox.installation import Installation
from worker.sandbox.redis import RedisServer
from worker.sandbox.stream import Call

PAGE = Path(__file__).parents[2] / "docs" / "redis.md"
METRICS = {"Authorization": "Bearer of-the-metrics-page"}


class Guarded(Installation):
    """Each process logs in to Redis under its own name."""

    def start(self, command, name=""):
        self.settings["REDIS_URL"] = self.url_of(command)
        super().start(command, name)

    def url_of(self, user):
        return f"redis://{user}:{user}-password@127.0.0.1:{self.redis.port}/0"


@pytest.fixture
def guarded(tmp_path):
    acl = tmp_path / "users.acl"
    [rules] = re.findall(r"```acl\n(.*?)```", PAGE.read_text(), re.DOTALL)
    acl.write_text(f"user default on nopass ~* &* +@all\n{rules}")
    here = Guarded(tmp_path, {"METRICS_TOKEN": "of-the-metrics-page"})
    here.redis = RedisServer(tmp_path, "--aclfile", str(acl))
    return here


async def test_the_users_of_the_docs_may_do_all_that_bellhop_does(guarded):
    async with guarded as here:
        await here.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
        await here.register("jane-morel", Provider.FCM, Kind.VOIP, "phone:1")
        call = Call()
        assert (await here.stream.post(call.ring())).status == 200
        await come_true(lambda: len(here.arrivals) == 2)
        assert (await here.stream.post(b"{}")).body["status"] == "kept"
        assert (await here.stream.post(call.ended())).status == 200
        await come_true(lambda: any(arrival.type == "call.missed" for arrival in here.arrivals))
        async with here.http.get(f"{here.url}/metrics", headers=METRICS) as response:
            assert response.status == 200
        for user in ("web", "worker"):
            here.settings["REDIS_URL"] = here.url_of(user)
            for arguments in (["explain", call.cid], ["replay", "--failed"], ["devices", "list", "ben-osei"]):
                assert (await bellhop(here, *arguments)).returncode == 0
        checked = await bellhop(here, "check")
        assert "problem" not in checked.stdout, checked.stdout
        assert here.stop("worker-1") == 0
        with redis.Redis(port=here.redis.port, decode_responses=True) as admin:
            assert [entry["object"] for entry in admin.acl_log()] == [], "Redis refused nothing"


@pytest.mark.parametrize("user", ["web", "worker"])
def test_they_may_do_nothing_else(guarded, user):
    with guarded.redis, redis.Redis.from_url(guarded.url_of(user)) as client:
        client.set("bellhop:metrics", "1")
        for command in (
            "FLUSHALL", "FLUSHDB", "CONFIG GET dir", "CONFIG SET maxmemory 1", "KEYS *", "ACL LIST", "SHUTDOWN",
            "REPLICAOF NO ONE", "MONITOR", "SAVE", "CLIENT KILL TYPE normal", "SCRIPT FLUSH",
            "GET others", "SET others 1", "SWAPDB 0 1", "FUNCTION LIST", "MODULE LIST", "PUBLISH others 1",
        ):  # fmt: skip
            with pytest.raises(NoPermissionError):
                client.execute_command(*command.split())
        with pytest.raises(ResponseError, match="No permissions"):
            client.eval("return redis.call('GET', 'others')", 0)


async def bellhop(here, *arguments):
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "bellhop", *arguments],
        env=here.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


async def come_true(condition):
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.05)
