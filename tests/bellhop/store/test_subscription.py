"""A connection that is subscribed to channels: what it confirms, and that a loss is noticed."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from bellhop.store.async_client import Store
from bellhop.store.redis_internals import new_connection
from bellhop.store.subscription import Subscription
from tests.waiting import come_true


class Notes:
    """What a subscription reports, in order."""

    def __init__(self):
        self.notes = []

    def subscribed(self, channel):
        self.notes.append(channel)

    def received(self, channel, message):
        self.notes.append((channel, message))


@asynccontextmanager
async def subscribing(url):
    store, notes = Store.from_url(url), Notes()
    subscription = Subscription(notes)
    try:
        await subscription.open(new_connection(store.client))
        yield subscription, notes.notes
    finally:
        await subscription.close()
        await store.close()


async def test_a_channel_is_confirmed_before_its_messages(redis_url, redis_client):
    async with subscribing(redis_url) as (subscription, notes):
        subscription.subscribe("a", "é")
        await come_true(lambda: len(notes) == 2)
        redis_client.publish("é", "one")
        await come_true(lambda: len(notes) == 3)
        assert notes == ["a", "é", ("é", b"one")]


async def test_a_channel_that_was_left_and_joined_is_confirmed_once(redis_url, redis_client):
    """The first confirmation comes before the channel is left: what is published in between does not arrive."""
    async with subscribing(redis_url) as (subscription, notes):
        subscription.subscribe("a")
        subscription.unsubscribe("a")
        subscription.subscribe("a")
        subscription.subscribe("b")
        await come_true(lambda: "b" in notes)
        assert notes == ["a", "b"]


async def test_a_lost_connection_is_reported(redis_url, redis_client):
    async with subscribing(redis_url) as (subscription, notes):
        subscription.subscribe("a")
        await come_true(lambda: notes)
        redis_client.client_kill_filter(_type="pubsub")
        assert isinstance(await asyncio.wait_for(subscription.lost, 20), RedisConnectionError)
        subscription.subscribe("b")  # does nothing


async def test_a_refused_channel_ends_the_connection(redis_server, redis_client):
    redis_client.execute_command("ACL", "SETUSER", "deaf", "on", ">pass", "~*", "+@all", "resetchannels")
    try:
        async with subscribing(f"redis://deaf:pass@127.0.0.1:{redis_server.port}/0") as (subscription, _):
            subscription.subscribe("a")
            assert isinstance(await asyncio.wait_for(subscription.lost, 20), NoPermissionError)
    finally:
        redis_client.execute_command("ACL", "DELUSER", "deaf")


async def test_an_address_without_redis_raises():
    with pytest.raises(RedisConnectionError):
        async with subscribing("redis://127.0.0.1:1/0"):
            pass
