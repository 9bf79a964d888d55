"""A ring is rejected at Stream as one user, with a token that is valid for minutes."""

import aiohttp
import pytest

from bellhop.sandbox.stream_rest import StreamApiStandIn
from bellhop.stream_api import StreamApi, StreamRefused

SECRET = "a-secret-that-pyjwt-finds-long-enough"


async def rejected(*secrets, statuses=()):
    async with StreamApiStandIn("key", SECRET) as stream, aiohttp.ClientSession() as session:
        stream.reject_statuses = list(statuses)
        try:
            await StreamApi(session, stream.url, "key", *secrets).reject("default:a b", "jane", "busy")
        finally:
            rejected.seen = [(reject.cid, reject.user, reject.reason, reject.status) for reject in stream.rejects]


async def test_a_ring_is_rejected_as_its_user():
    await rejected(SECRET)
    assert rejected.seen == [("default:a b", "jane", "busy", 200)]


async def test_the_next_secret_is_tried_if_stream_refuses_one():
    await rejected("another-secret-that-pyjwt-finds-long-enough", SECRET)
    assert [status for *_, status in rejected.seen] == [401, 200]


@pytest.mark.parametrize(("status", "permanent"), [(403, True), (429, False), (500, False)])
async def test_what_stream_refuses_is_raised(status, permanent):
    with pytest.raises(StreamRefused) as refused:
        await rejected(SECRET, statuses=[status])
    assert (refused.value.status, refused.value.permanent) == (status, permanent)
