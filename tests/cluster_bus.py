"""The bus of a Redis Cluster, on which its nodes see each other, through proxies that can cut a node off."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

SENDER = slice(40, 80)
"""Where the header of each packet has the id of the node that sends it."""


@dataclass(eq=False)
class Link:
    """A connection from one node to the bus of another."""

    sender: str
    to: int
    writers: tuple[asyncio.StreamWriter, ...]


@dataclass
class ClusterBus:
    """One proxy for each node's bus. The proxies run in a thread of their own."""

    links: list[Link] = field(default_factory=list)
    cut: dict[str, int] = field(default_factory=dict)
    """The nodes that are cut off: their ids, and the ports of their buses."""

    def __enter__(self) -> Self:
        self._loop, self._servers = asyncio.new_event_loop(), list[asyncio.Server]()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def listen(self, port: int, bus_port: int) -> None:
        """Listen on `port`, and pass on to the bus of a node."""
        self._run(self._listen(port, bus_port))

    def cut_off(self, node_id: str, bus_port: int) -> None:
        """Close the links from and to this node, and refuse new ones."""
        self._run(self._cut_off(node_id, bus_port))

    def join(self, node_id: str) -> None:
        """Let this node see the others again."""
        self._loop.call_soon_threadsafe(self.cut.pop, node_id, None)

    def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _cut_off(self, node_id: str, bus_port: int) -> None:
        self.cut[node_id] = bus_port
        for link in filter(self._is_cut, self.links):
            for writer in link.writers:
                writer.close()

    def _is_cut(self, link: Link) -> bool:
        return link.sender in self.cut or link.to in self.cut.values()

    async def _listen(self, port: int, bus_port: int) -> None:
        serve = partial(self._serve, bus_port)
        self._servers.append(await asyncio.start_server(serve, "127.0.0.1", port))

    async def _serve(self, bus_port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError), closing(writer):
            header = await reader.readexactly(SENDER.stop)
            bus_reader, bus_writer = await asyncio.open_connection("127.0.0.1", bus_port)
            self.links.append(link := Link(header[SENDER].decode(), bus_port, (writer, bus_writer)))
            try:
                if not self._is_cut(link):
                    bus_writer.write(header)
                    await asyncio.gather(_pass_on(reader, bus_writer), _pass_on(bus_reader, writer))
            finally:
                self.links.remove(link)
                bus_writer.close()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
