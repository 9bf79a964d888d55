"""A whole Bellhop whose Redis speaks TLS alone, under a CA of its own, to users with passwords."""

import asyncio
import time

import pytest
import pytest_asyncio
import redis

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.redis_server import NoTlsError
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.sandbox.tls import Authority
from tests.e2e.restricted_installation import Guarded

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("redis-ca"))
    settings = {"REDIS_CA_FILE": str(authority.ca_file)}
    guarded = Guarded(tmp_path_factory.mktemp("installation"), settings, authority)
    try:
        async with guarded:
            yield guarded
    except NoTlsError as error:
        pytest.skip(str(error))


async def test_a_phone_rings(installation):
    await installation.register("ben-osei", Provider.APNS, Kind.VOIP, "a1" * 32)
    call = SampleCall(members=("ben-osei",))
    assert (await installation.stream.post(call.ring())).status == 200
    give_up = time.monotonic() + 30
    while [(arrival.token, arrival.cid) for arrival in installation.arrivals] != [("a1" * 32, call.cid)]:
        assert time.monotonic() < give_up, installation.arrivals
        await asyncio.sleep(0.05)
    with redis.Redis.from_url(installation.redis.url) as admin:
        assert {"web", "worker"} <= {client["user"] for client in admin.client_list()}


async def test_bellhop_check_finds_nothing_wrong(installation):
    installation.log_in("worker")
    checked = await installation.bellhop("check")
    assert "Redis: answers in" in checked.stdout
    assert "problem" not in checked.stdout


@pytest.mark.parametrize("ca", ["another", "the system's"])
async def test_a_ca_that_did_not_sign_its_certificate_is_named(installation, ca):
    installation.log_in("worker")
    checked = await installation.bellhop("check", REDIS_CA_FILE=installation.apple.ca_file if ca == "another" else "")
    assert checked.returncode == 1
    assert "certificate is not trusted: check BELLHOP_REDIS_CA_FILE" in checked.stdout
    assert "worker-password" not in checked.stdout + checked.stderr


async def test_a_host_that_its_certificate_does_not_name_is_named(installation):
    url = installation.url_of("worker").replace("localhost", "127.1")  # the same address, but not as it stands there
    checked = await installation.bellhop("check", REDIS_URL=url)
    assert checked.returncode == 1
    assert "the certificate is for another host name" in checked.stdout


async def test_an_address_without_tls_is_named(installation):
    url = installation.url_of("worker").replace("rediss://", "redis://")
    checked = await installation.bellhop("check", REDIS_URL=url, REDIS_CA_FILE="")
    assert checked.returncode == 1
    assert "rediss:// (TLS)" in checked.stdout
