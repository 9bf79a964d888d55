"""Who has to go when too much is on its way."""

import asyncio

import pytest

from webhook.server.bodies import Bodies, BodyLimits


class Sender:
    """A body that is sent piece by piece, as the test says."""

    def __init__(self, bodies):
        self.pieces = asyncio.Queue()
        self.read = asyncio.Event()
        self.answered = asyncio.Event()
        self.task = asyncio.create_task(self._arrive(bodies))

    async def _arrive(self, bodies):
        async with bodies.whole(self) as body:
            self.read.set()
            await self.answered.wait()
            return body

    def __aiter__(self):
        return self

    async def __anext__(self):
        piece = await self.pieces.get()
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def send(self, *pieces):
        for piece in pieces:
            self.pieces.put_nowait(piece)
        await settled()


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


def bodies(longest=100, within_s=60.0, most=10, most_bytes=1000):
    return Bodies(BodyLimits(longest, within_s, most, most_bytes))


async def test_a_body_in_pieces_is_whole():
    sender = Sender(bodies())
    await sender.send(b"one", b"two", None)
    sender.answered.set()
    assert await sender.task == b"onetwo"


async def test_a_body_that_takes_too_long_is_dropped():
    with pytest.raises(TimeoutError):
        await Sender(bodies(within_s=0.01)).task


async def test_a_too_large_body_is_read_only_a_little_beyond_the_limit():
    sender = Sender(bodies())
    await sender.send(*[b"x" * 30] * 30)
    sender.answered.set()
    assert len(await sender.task) == 120


async def test_with_too_many_on_their_way_the_first_goes():
    here = bodies(most=2)
    senders = [Sender(here) for _ in range(3)]
    await settled()
    with pytest.raises(TimeoutError):
        await senders[0].task
    for sender in senders[1:]:
        sender.answered.set()
        await sender.send(b"x", None)
        assert await sender.task == b"x"


async def test_with_too_many_bytes_the_oldest_bodies_are_dropped():
    here = bodies(most_bytes=200)
    senders = [Sender(here) for _ in range(3)]
    for sender in senders:
        await sender.send(b"x" * 80)
    with pytest.raises(TimeoutError):
        await senders[0].task
    assert not senders[1].task.done() and not senders[2].task.done()


async def test_bodies_that_are_being_answered_count_and_stay():
    here = bodies(most_bytes=200)
    answered = [Sender(here) for _ in range(2)]
    for sender in answered:
        await sender.send(b"x" * 90, None)
        assert sender.read.is_set()
    late = Sender(here)
    await late.send(b"x" * 80)
    with pytest.raises(TimeoutError):
        await late.task
    for sender in answered:
        sender.answered.set()
        assert len(await sender.task) == 90
    again = Sender(here)
    await again.send(b"x" * 80, None)
    assert again.read.is_set(), "what has been answered counts no longer"
    again.answered.set()
    await again.task
