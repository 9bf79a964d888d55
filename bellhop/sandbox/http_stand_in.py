"""What the stand-ins that speak HTTP have in common: they start, stop, and start again on the same port."""

import asyncio
from abc import ABC, abstractmethod
from typing import Self

from aiohttp import web

from bellhop.sandbox.child_process import free_port
from bellhop.sandbox.tls import Authority


class HttpStandIn(ABC):
    """Listens on one port of 127.0.0.1, with TLS if there is an `authority`.

    Use it as `async with`, or `await start()` and `await stop()`.
    """

    def __init__(self, authority: Authority | None = None, port: int = 0) -> None:
        self.port = port
        """0 until the first start, unless one is given."""
        self._authority = authority
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @abstractmethod
    def _application(self) -> web.Application:
        """Make the application that answers."""

    async def start(self) -> Self:
        """Start to listen, or listen again after `stop`."""
        self._stopping.clear()
        self.port = self.port or free_port()
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0.1, keepalive_timeout=3600)
        await self._runner.setup()
        context = self._authority.server_context() if self._authority else None
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context, backlog=1024).start()
        return self

    async def stop(self) -> None:
        """Stop, without waiting for open requests."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
