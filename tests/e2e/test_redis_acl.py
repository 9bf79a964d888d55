"""Bellhop with the Redis users that docs/redis.md gives, and what else they may not do."""

import asyncio
import json

import aiohttp
import jwt
import pytest
import redis
from redis.exceptions import NoPermissionError, ResponseError

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.installation import SECRET
from bellhop.sandbox.stream_webhooks import SampleCall
from tests.e2e.restricted_installation import Guarded
from tests.waiting import come_true

METRICS = {"Authorization": "Bearer of-the-metrics-page"}


@pytest.fixture
def guarded(tmp_path):
    return Guarded(tmp_path, {"METRICS_TOKEN": "of-the-metrics-page", "LIVE": "true", "TELL_CALLER": "true"})


async def watch(installation, call, told):
    """Read the call's live stream as the caller does, until it ends: what was told, by type and user."""
    headers = {"Authorization": jwt.encode({"user_id": call.caller}, SECRET, "HS256")}
    url, patient = f"{installation.url}/v1/calls/{call.cid}/live", aiohttp.ClientTimeout()
    async with installation.http.get(url, headers=headers, timeout=patient) as response:
        async for line in response.content:
            if line.startswith(b"data: "):
                data = json.loads(line.removeprefix(b"data: "))
                documents = data.get("announcements", [data] if "data" in data else [])
                told.update((document["type"], document["data"]["user_id"]) for document in documents)
                told.update({("reconnect", data["reason"])} if "after_ms" in data else ())


async def test_the_users_of_the_docs_may_do_all_that_bellhop_does(guarded):
    async with guarded as installation:
        await installation.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
        await installation.register("jane-morel", Provider.FCM, Kind.VOIP, "phone:1")
        call = SampleCall()
        assert (await installation.stream.post(call.ring())).status == 200
        told = set()
        watching = asyncio.ensure_future(watch(installation, call, told))
        await come_true(lambda: len(installation.stream_api.events.heard(call.cid)) == 2)
        assert (await installation.stream.post(b"{}")).body["status"] == "kept"
        assert (await installation.stream.post(call.ended())).status == 200
        await come_true(lambda: any(arrival.type == "call.missed" for arrival in installation.arrivals))
        async with installation.http.get(f"{installation.url}/metrics", headers=METRICS) as response:
            assert response.status == 200
        for user in ("web", "worker"):
            installation.log_in(user)
            for arguments in (["explain", call.cid], ["replay", "--failed"], ["devices", "list", "ben-osei"]):
                assert (await installation.bellhop(*arguments)).returncode == 0
        checked = await installation.bellhop("check")
        assert "problem" not in checked.stdout, checked.stdout
        assert installation.stop("worker-1") == 0
        with redis.Redis(port=installation.redis.port, decode_responses=True) as admin:
            assert [entry["object"] for entry in admin.acl_log()] == [], "Redis refused nothing"
        installation.log_in("web")
        checked = await installation.bellhop("check")
        assert "may not run INFO" in checked.stdout, checked.stdout
        assert "does not answer" not in checked.stdout
        assert await asyncio.to_thread(installation.stop, "web") == 0
        await watching
        ring = {(f"ring.{what}", user) for what in ("reached", "ended") for user in call.members}
        assert told == ring | {("reconnect", "stopping")}


@pytest.mark.parametrize("user", ["web", "worker"])
def test_they_may_do_nothing_else(guarded, user):
    with guarded.redis, redis.Redis.from_url(guarded.url_of(user)) as client:
        client.set("bellhop:metrics", "1")
        with redis.Redis(port=guarded.redis.port) as admin:
            version = tuple(map(int, admin.info("server")["redis_version"].split(".")))
        for command in (
            "FLUSHALL", "FLUSHDB", "CONFIG GET dir", "CONFIG SET maxmemory 1", "KEYS *", "ACL LIST", "SHUTDOWN",
            "REPLICAOF NO ONE", "MONITOR", "SAVE", "CLIENT KILL TYPE normal", "SCRIPT FLUSH",
            "GET others", "SET others 1", "SWAPDB 0 1", "FUNCTION LIST", "MODULE LIST", "PUBLISH others 1",
        ):  # fmt: skip
            if command == "FUNCTION LIST" and version < (7,):
                continue  # there are none
            with pytest.raises(NoPermissionError):
                client.execute_command(*command.split())
        # Redis up to 7.0 has a sentence of its own for scripts.
        with pytest.raises(
            ResponseError, match=r"No permissions to access a key|can't access at least one of the keys"
        ):
            client.eval("return redis.call('GET', 'others')", 0)
