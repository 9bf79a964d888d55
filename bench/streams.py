"""What open live streams cost a web process: python -m bench.streams [streams]

A real web process keeps streams of many calls open. It prints the memory and the threads of the serving process without
streams, with open ones, after announcements for all of them, and after they have ended; and its processor time while
they are quiet.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jwt

from bellhop.clock import Micros
from bellhop.domain.announcement import AnnouncementType, about_ring
from bellhop.domain.round import Round
from bellhop.sandbox.installation import SECRET, Installation
from bellhop.sandbox.stream_webhooks import SampleCall
from bellhop.store.keys import live_channel
from bench.whole import cpu_s

STREAMS = 500
OF_A_CALL = 10
ANNOUNCEMENTS = 20
QUIET_S = 30.0
TOKEN = jwt.encode({"server": True}, SECRET, "HS256")


class Usage(NamedTuple):
    """What a process uses."""

    resident_kb: int
    threads: int
    files: int
    cpu_s: float


async def main(streams: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Installation(Path(folder), {"LIVE": "true"}) as house:
            pid = serving_process(house.processes["web"].pid)
            calls = [SampleCall() for _ in range(-(-streams // OF_A_CALL))]
            for call in calls:
                await house.stream.post(call.ring())
            for client in [await watch(house, calls[0]) for _ in range(5)]:  # what is only made once is there now
                client.close()
            await asyncio.sleep(2)
            none = usage(pid)
            show("no stream", none, none, streams)
            clients = [await watch(house, calls[number % len(calls)]) for number in range(streams)]
            await asyncio.sleep(2)
            show(f"{streams} streams", opened := usage(pid), none, streams)
            await asyncio.sleep(QUIET_S)
            quiet = usage(pid)
            took_ms = (quiet.cpu_s - opened.cpu_s) * 1000 / QUIET_S
            print(f"{'':30}quiet for {QUIET_S:.0f} s: {took_ms:.1f} ms of processor time each second", flush=True)
            arrived = await announce(house, calls, clients)
            show(f"after {arrived} announcements", told := usage(pid), none, streams)
            print(f"{'':30}{(told.cpu_s - quiet.cpu_s) * 1e6 / max(arrived, 1):.0f} µs of processor time for each")
            for client in clients:
                client.close()
            await asyncio.sleep(2)
            show("no stream", usage(pid), none, streams)


class StreamClient:
    """A client that counts the announcements it reads."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.read = reader, writer, 0
        self.task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for line in self.reader:
            self.read += line.startswith(b"event: ring.")

    def close(self) -> None:
        """Leave."""
        self.task.cancel()
        self.writer.close()


async def watch(house: Installation, call: SampleCall) -> StreamClient:
    """Open a stream; returns when its snapshot is there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    head = f"GET /v1/calls/{call.cid}/live HTTP/1.1\r\nHost: x\r\nAuthorization: {TOKEN}\r\n\r\n"
    writer.write(head.encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    await reader.readuntil(b"event: snapshot")
    return StreamClient(reader, writer)


async def announce(house: Installation, calls: list[SampleCall], clients: list[StreamClient]) -> int:
    """Publish announcements about each call; returns how many the clients have read."""
    now = Micros(time.time_ns() // 1_000)
    for number in range(ANNOUNCEMENTS):
        for call in calls:
            round_ = Round(
                tenant="default", cid=call.cid, session_id="s", started_at=now, deadline=now, caller_id=call.caller,
                caller_name="",
            )  # fmt: skip
            document = about_ring(AnnouncementType.RINGING, round_, f"user-{number}", now).document()
            await house.store.call("PUBLISH", live_channel("default", call.cid), document)
    await wait_until(lambda: all(client.read >= ANNOUNCEMENTS for client in clients))
    return sum(client.read for client in clients)


async def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not condition() and time.monotonic() < give_up:
        await asyncio.sleep(0.05)


def serving_process(parent: int) -> int:
    """Return the process that serves: the only child of `bellhop web`."""
    (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(child)


def usage(pid: int) -> Usage:
    """Read what a process uses."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Usage(int(status["VmRSS"].split()[0]), int(status["Threads"]), files, cpu_s(pid))


def show(name: str, now: Usage, before: Usage, streams: int) -> None:
    each = (now.resident_kb - before.resident_kb) / streams
    print(
        f"{name:30}{now.resident_kb / 1024:7.1f} MiB {now.threads:4} threads {now.files:5} files"
        f"{each:8.1f} KiB for each stream",
        flush=True,
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else STREAMS))
