"""Which push services speak HTTP/2, and how long their connections are kept."""

import asyncio
import math
from functools import partial

import pytest

from bellhop.clock import Seconds
from bellhop.domain.outcomes import Outcome
from bellhop.sandbox.google_script import GoogleReply
from bellhop.sandbox.http2_push_service import Http2PushService
from bellhop.sandbox.tls import Authority
from tests.factories import PUBLIC_KEY_OF_1
from tests.waiting import come_true
from worker.providers.client_tls import client_tls
from worker.providers.http2.connection_policy import ConnectionPolicy
from worker.providers.http2.http2_pool import Http2Pool
from worker.providers.http2.http2_stream import UnsentError
from worker.providers.web_push import push_service_pools
from worker.providers.web_push.encrypted_push import EncryptedPush, header_block_of
from worker.providers.web_push.http2_posts import post_by_http2
from worker.providers.web_push.push_service_pools import MOST_HOSTS, PushServicePools


@pytest.fixture
def pools():
    return PushServicePools(lambda url: Http2Pool(url, client_tls))


async def test_a_service_without_http2_is_tried_again_later(pools, monkeypatch):
    first = pools.of("push.example.org")
    assert pools.of("push.example.org") is first
    pools.speaks_http1("push.example.org")
    assert pools.of("push.example.org") is None
    monkeypatch.setattr(push_service_pools, "HTTP1_FOR_S", Seconds(0.0))
    pools.speaks_http1("push.example.org")
    assert pools.of("push.example.org") not in (None, first)


async def test_hosts_that_apps_choose_fill_no_memory(pools):
    first, used = pools.of("0.example.org"), pools.of("1.example.org")
    for number in range(2, MOST_HOSTS + 1):
        pools.of(f"{number}.example.org")
        pools.of("1.example.org")
    with pytest.raises(UnsentError):
        await first.pick()
    assert pools.of("1.example.org") is used
    await pools.close()


@pytest.mark.parametrize("failed_before", [False, True], ids=["at once", "in the pause after a failure"])
async def test_a_push_that_waits_for_a_forgotten_host_is_repeated(failed_before):
    """The push fails as unsent. A cancelled push would cancel the whole ring."""
    pool = Http2Pool("https://127.0.0.1:1", client_tls)
    if failed_before:
        with pytest.raises(UnsentError):
            await pool.pick()
    waiting = asyncio.create_task(pool.pick())
    await asyncio.sleep(0)
    if failed_before:
        await asyncio.sleep(0)
    pool.retire()
    with pytest.raises(UnsentError):
        await waiting


@pytest.mark.parametrize("host", ["a..example.org", f"{'a' * 64}.example.org"], ids=["no label", "a long label"])
async def test_a_name_that_cannot_be_looked_up_is_unsent(host):
    """Any other exception would fail the whole ring, for all other people too."""
    with pytest.raises(UnsentError, match="cannot connect"):
        await Http2Pool(f"https://{host}", client_tls).pick()


async def test_an_unused_connection_is_closed_until_it_is_needed(tmp_path):
    authority = Authority(tmp_path)
    async with Http2PushService(authority) as service:
        policy = ConnectionPolicy(idle_s=Seconds(0.01), ping_every_s=Seconds(0.4), min_life_s=Seconds(0.0))
        tls = partial(client_tls, authority.ca_file, alpn=("h2",))
        pool = Http2Pool(f"https://{service.host}", tls, policy=policy)
        request = EncryptedPush(f"https://{service.host}/push/1", service.host, "vapid", "high", 30, "", b"body")
        for connections in (1, 2):
            stream = (await pool.pick()).request(header_block_of(request), request.body)
            assert (await stream.future).status == 410
            await come_true(lambda: not any(connection.open for connection in service.connections))
            assert len(service.connections) == connections, "it is not opened again by itself"
        await pool.close()


async def test_only_failures_in_a_row_replace_a_connection(tmp_path):
    """A push service answers 201 to a push that it takes, not 200 as Apple does."""
    authority = Authority(tmp_path)
    async with Http2PushService(authority) as service:
        browser = service.subscribe(PUBLIC_KEY_OF_1)
        service.script(browser, *(GoogleReply(status) for status in (500, 201, 500, 201, 500, 500, 201)))
        policy = ConnectionPolicy(max_failures=2, min_life_s=Seconds(0.0), avoid_s=Seconds(0.0))
        pool = Http2Pool(f"https://{service.host}", partial(client_tls, authority.ca_file, alpn=("h2",)), policy=policy)
        request = EncryptedPush(browser.endpoint, service.host, "vapid", "high", 30, "", b"body")
        results = [await post_by_http2(pool, request, Seconds(5.0), Seconds(math.inf)) for _ in range(5)]
        assert [result.outcome is Outcome.ACCEPTED for result in results] == [False, True, False, True, False]
        assert len(service.connections) == 1
        await post_by_http2(pool, request, Seconds(5.0), Seconds(math.inf))
        await come_true(lambda: not service.connections[0].open)
        await pool.close()
