"""Work that takes long: the clients have their turns, and only a limited amount waits."""

import asyncio
import threading

import pytest

from webhook.server.fair_thread import MAX_WAITING, FairThread, Work


class Load:
    """Adds work that ends in the order of its turns."""

    def __init__(self, max_bytes=1_000, of_client=500):
        self.thread, self.done, self.go = FairThread(max_bytes, of_client), [], threading.Event()

    def add(self, client, size=1, *, last=False):
        return self.thread.add(client, Work(size, self.go.wait, lambda: self.done.append(client)), last=last)

    async def finish(self, number):
        self.go.set()
        while len(self.done) < number:
            await asyncio.sleep(0.001)
        return "".join(self.done)


@pytest.fixture
async def load():
    load = Load()
    load.add("-")  # it runs, and all others wait
    yield load
    load.go.set()


async def test_clients_have_their_turns(load):
    for client in "aaaabbc":
        assert load.add(client)
    assert await load.finish(8) == "-abcabaa"


async def test_clients_with_failures_come_last(load):
    for client in "xxx":
        load.add(client, last=True)
    for client in "aab":
        load.add(client)
    assert await load.finish(7) == "-abaxxx"


async def test_what_waits_of_one_client_is_limited(load):
    assert [load.add("a") for _ in range(MAX_WAITING + 1)] == [True] * MAX_WAITING + [False]
    assert load.add("b"), "another client may still add"
    assert [load.add("c", size) for size in (400, 200, 50)] == [True, False, True]
    assert await load.finish(MAX_WAITING + 4)
    assert load.add("a", 500), "nothing waits any more"


async def test_what_waits_of_all_clients_is_limited(load):
    assert [load.add(client, 300) for client in "abcd"] == [True, True, True, False]
