"""A request to Stream carries a token and an API key, so a redirect is an error and is not followed."""

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bellhop.stream_api import StreamApi, StreamRefused


async def test_no_redirect_takes_a_token_elsewhere():
    asked = []

    async def redirect(request):
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_get("/{path:.*}", redirect)
    async with TestServer(app, host="127.0.0.1") as server, aiohttp.ClientSession() as session:
        with pytest.raises(StreamRefused, match="status 307"):
            await StreamApi(session, str(server.make_url("/")), "key", "secret").devices("ben")
    assert asked == ["/api/v2/devices"]
