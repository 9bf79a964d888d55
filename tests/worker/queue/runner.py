"""A worker process for the tests: run with a Redis URL, queues as JSON, the grace in seconds, and
other options of the worker as JSON; `marks_url`: where the marks are, if Redis is a cluster.

Its jobs leave a mark in Redis when they begin and when they end, so that a test can tell what ran how often.
"""

import asyncio
import json
import os
import secrets
import signal
import sys
from typing import Any

from pydantic import BaseModel

from bellhop.queue.rq_job import PermanentError
from bellhop.store.async_client import Store
from bellhop.telemetry import logs
from worker.queue.queue_worker import QueueWorker
from worker.queue.rq_adapter import unique_worker_name

MARK = """
if redis.call('SADD', 'test:known', ARGV[3]) == 1 then
  redis.call('RPUSH', 'test:' .. ARGV[1], ARGV[2])
  redis.call('RPUSH', 'test:order', ARGV[1] .. ' ' .. ARGV[2])
end
"""
"""A mark whose answer was lost is written again, and counts once."""


class Greeting(BaseModel):
    name: str


class AnnouncedStop(QueueWorker):
    """Says in the log that it has received a signal."""

    def stop(self) -> None:
        super().stop()
        print(json.dumps({"event": "stopping"}), flush=True)


def main(url: str, queues: str, grace_s: str, options: str) -> None:
    logs.configure("json", "info")
    more = json.loads(options)
    marks = Store.from_url(more.pop("marks_url", url))

    async def answer(*command: str | int) -> Any:
        while True:
            try:
                return await marks.call(*command)
            except Exception:  # Redis is away. The tests need every mark
                await asyncio.sleep(0.05)

    async def mark(what: str, payload: dict[str, Any]) -> None:
        await answer("EVAL", MARK, 0, what, payload.get("label", ""), secrets.token_hex(8))

    async def sleep(payload: dict[str, Any]) -> None:
        await mark("began", payload)
        await asyncio.sleep(payload.get("seconds", 0))
        await mark("ended", payload)

    async def hold(payload: dict[str, Any]) -> None:
        await mark("began", payload)
        while not await answer("EXISTS", "test:let_go"):
            await asyncio.sleep(0.05)
        await mark("ended", payload)

    async def fail(payload: dict[str, Any]) -> None:
        await mark("began", payload)
        raise RuntimeError("secret-token")

    async def refuse(payload: dict[str, Any]) -> None:
        await mark("began", payload)
        raise PermanentError("no such customer")

    async def greet(payload: dict[str, Any]) -> None:
        Greeting.model_validate(payload)

    async def die(payload: dict[str, Any]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def give_up(payload: dict[str, Any]) -> None:
        await mark("began", payload)
        raise asyncio.CancelledError

    async def cry() -> None:
        await mark("cried", {})
        raise RuntimeError("again")

    async def mishear() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(3600)  # as when a library takes the first cancellation for an error of its own

    handlers = {f"jobs.{job.__name__}": job for job in (sleep, hold, fail, refuse, greet, die, give_up)}
    AnnouncedStop(
        url,
        json.loads(queues),
        handlers,
        name=unique_worker_name("w"),
        job_names=list(handlers),
        **more,
        grace_s=float(grace_s),
        wind_up_s=1,  # the tests wait for it
        background=[cry, mishear],
    ).work()


if __name__ == "__main__":
    main(*sys.argv[1:])
