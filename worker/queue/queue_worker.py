"""The concurrent RQ worker: one process, one event loop, jobs as tasks, connections that stay warm between jobs.

RQ's own workers run one job at a time, each in a new process or a new event loop. This one takes a job with BLMOVE onto
an in-flight list of its own, begins and ends it with one Lua call each (rq_job.py), and keeps a lease by which others
know that it lives (lease.py).
"""

import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import BaseWorker, WorkerStatus

from bellhop.clock import Seconds
from bellhop.queue.rq_job import reason_of
from bellhop.store.async_client import Store
from bellhop.store.blocking_client import blocking
from bellhop.store.keys import inflight_key, raw_rq_job_key
from bellhop.store.retry import is_away
from worker.queue.job_store import JobStore, StartedJob, refused
from worker.queue.lease import BEAT_S, Lease
from worker.queue.running_jobs import Handler, InterruptReason, RunningJobs, text

log = structlog.get_logger()

POP_S = Seconds(1.0)
"""How long one pop waits for a job. Short, so that stopping and suspending need not interrupt it: a pop that is cut off
may have taken a job that nobody knows of."""
POPPED_AT_ONCE = 4
"""Jobs that one pop takes when there are so many: they share its price, and wait for each other for a few milliseconds.
While another worker waits in a pop of its own, there is no queue to take several from. The slots for them are held
while the pop waits."""
SHORT_PAUSE_S = 0.1
ANSWER_S = Seconds(2.0)
"""How long Redis may take to answer."""
WIND_UP_S = 5.0
"""What cancelled jobs and the last bookkeeping get before the process ends."""


class QueueWorker(BaseWorker):
    """Runs the jobs of several queues, each with a concurrency of its own, by the handlers it is given.

    `handlers`: what a job calls, as RQ stores it ("worker.jobs.ring"), and the coroutine function that does it with the
    job's one argument. It may be cancelled at any await (stop-job, the job's timeout, shutdown). Returning is success;
    raise PermanentError to fail for good, anything else to fail or to be retried as RQ's Retry says.
    `background`: coroutine functions that run beside; one that raises is logged and started again.
    `name`: what the worker's name starts with. Every process gets one of its own: jobs of a name belong to one process.

    Of RQ's features it leaves out what would import a function by a name found in Redis (callbacks), and what Bellhop
    has no use for: return values and dependencies.
    """

    def __init__(
        self,
        redis_url: str,
        queues: Mapping[str, int],
        handlers: Mapping[str, Handler],
        *,
        name: str = "",
        grace_s: Seconds = Seconds(20.0),
        background: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        # RQ wants a connection; nothing here uses it, and making it does no I/O.
        connection = blocking(redis_url, timeout_s=ANSWER_S)
        host = socket.gethostname()
        super().__init__(
            list(queues),
            name=f"{re.sub(r'[^A-Za-z0-9._-]', '-', name or host)}-{secrets.token_hex(4)}",
            connection=connection,
            serializer=JSONSerializer,
            prepare_for_work=False,
        )
        self.hostname, self.pid, self.birth_date = host, os.getpid(), now()
        self.redis_url, self.concurrency, self.handlers = redis_url, dict(queues), handlers
        self.grace_s, self.background = grace_s, background
        self.stopping, self.hurry = asyncio.Event(), asyncio.Event()
        self.store = Store.from_url(redis_url, timeout_s=ANSWER_S)
        self.ledger = JobStore(self.store, self.name)
        self.inflight = RunningJobs(self.ledger, queues, self._handler)
        self.lease = Lease(redis_url, self.name, list(queues), self._describe)
        self._uncertain_until = 0.0

    @property
    def connection_timeout(self) -> int:
        """Keep RQ from stretching the connection's timeout to seven minutes."""
        return 1

    def _handler(self, job_name: str) -> Handler | None:
        return self.handlers.get(job_name)

    def work(self, *_: Any, **__: Any) -> bool:
        """Run until SIGTERM or SIGINT; a second one hands the jobs in flight back at once."""
        asyncio.run(self.main())
        return True

    async def main(self) -> None:
        """Do `work` in the running event loop, which must be the main thread's."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stop)
        beside = [asyncio.create_task(self._keep(run)) for run in (self._tend, self._listen, *self.background)]
        log.info("worker_started", worker=self.name, queues=self.concurrency)
        try:
            await asyncio.gather(*(self._take_jobs(queue) for queue in self.concurrency))
            await self._drain()
        finally:
            self.inflight.hand_back()
            await _end([*beside, *self.inflight.tasks])
            await asyncio.sleep(self._uncertain_until - time.monotonic())
            await self.lease.leave()
            await self.store.close()
            log.info("worker_stopped", worker=self.name)

    def stop(self) -> None:
        """Take no more jobs, and end when those in flight have or their grace is over; called again, hand them back."""
        if self.stopping.is_set():
            self.hurry.set()
        self.stopping.set()
        for slots in self.inflight.slots.values():
            slots.close()

    async def _take_jobs(self, queue: str) -> None:
        slots = self.inflight.slots[queue]
        store = Store.from_url(self.redis_url, connections=1, timeout_s=Seconds(POP_S + ANSWER_S))
        while not self.stopping.is_set():
            most = await slots.acquire(POPPED_AT_ONCE)
            jobs = await self._pop(store, queue, most)
            slots.release(most - len(jobs))
            if self.stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.ledger.hand_back(queue, *jobs), WIND_UP_S)
            else:
                for job in jobs:
                    self.inflight.begin(queue, job.id, job)
        await store.close()

    async def _pop(self, store: Store, queue: str, most: int) -> list[StartedJob]:
        """Take up to `most` jobs; none, after a while, when there are none or this worker may take none."""
        if not self.lease.healthy or self.lease.suspended:
            await asyncio.sleep(SHORT_PAUSE_S)
            return []
        if self.stopping.is_set():
            return []
        adopted = self.inflight.adopted[queue]
        adopted.clear()
        try:
            popped = await self.ledger.pop(store, queue, most, POP_S)
        except RedisError as error:
            # Redis may still move jobs onto our list, as long as it believes in that pop: _tend finds them.
            self._uncertain_until = time.monotonic() + POP_S
            # When it is away, the lease says so.
            await (asyncio.sleep(SHORT_PAUSE_S) if is_away(error) else refused("popped", error))
            return []
        return [job for job in popped if job.id not in adopted]

    async def _tend(self) -> None:
        """Beat, reap, and keep memory and the in-flight lists in step."""
        lapsed = False
        while True:
            lapsed = await self.lease.beat() or lapsed
            with contextlib.suppress(RedisError):  # the next beat says so
                await self.lease.bury_neighbours()
                await self.lease.reap()
                for queue in self.concurrency:
                    listed = await self.lease.store.call("LRANGE", inflight_key(queue, self.name), 0, -1)
                    if not self.stopping.is_set():
                        self.inflight.adopt(queue, listed)
                if lapsed:
                    await self._drop_what_was_given_away()
                    lapsed = False
            await asyncio.sleep(SHORT_PAUSE_S if self.lease.silent else BEAT_S)

    async def _drop_what_was_given_away(self) -> None:
        """After a lapse, stop what is another worker's now; not what Redis has forgotten: that is nobody's."""
        for job_id in list(self.inflight.jobs):
            status, owner = await self.lease.store.call("HMGET", raw_rq_job_key(job_id), "status", "worker_name")
            if status is not None and (status, owner) != (b"started", self.name.encode()):
                log.warning("job_was_given_away", job=text(job_id))
                self.inflight.interrupt(job_id, InterruptReason.GIVEN_AWAY)

    async def _listen(self) -> None:
        """Obey `rq`'s commands: stop-job and shutdown."""
        async with self.store.client.pubsub() as channel:
            await channel.subscribe(self.pubsub_channel_name)
            while True:
                message = await channel.get_message(ignore_subscribe_messages=True, timeout=ANSWER_S)
                if message is not None:
                    self.handle_payload(message)

    def handle_payload(self, message: Mapping[str, Any]) -> None:
        """Carry out one command."""
        payload = json.loads(message["data"])
        if payload["command"] == "shutdown":
            self.stop()
        elif payload["command"] == "stop-job":
            self.inflight.interrupt(str(payload["job_id"]).encode(), InterruptReason.STOPPED)

    async def _keep(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run a coroutine function until it returns; start it again when it raises."""
        while True:
            try:
                return await run()
            except (RedisConnectionError, RedisTimeoutError):
                pass  # the lease says so
            except Exception as error:
                log.error("background_failed", background=getattr(run, "__name__", "?"), reason=reason_of(error))
            await asyncio.sleep(1)

    async def _drain(self) -> None:
        """Give the jobs in flight their grace, then hand the rest back."""
        if not self.inflight.jobs:
            return
        log.info("draining", worker=self.name, jobs=len(self.inflight.jobs), grace_s=self.grace_s)
        done = asyncio.ensure_future(asyncio.wait(self.inflight.tasks))
        hurry = asyncio.create_task(self.hurry.wait())
        await asyncio.wait([done, hurry], timeout=self.grace_s, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            log.warning("handing_back", worker=self.name, jobs=len(self.inflight.jobs))
            self.inflight.hand_back()
            await asyncio.wait([done], timeout=WIND_UP_S)
        for task in (done, hurry):
            task.cancel()

    def _describe(self) -> dict[str, Any]:
        """Say what RQ's registration says, for `rq info`."""
        self.last_heartbeat = now()
        state = WorkerStatus.BUSY if self.inflight.jobs else WorkerStatus.IDLE
        if self.lease.suspended:
            state = WorkerStatus.SUSPENDED
        return {**self.serialize(), "ip_address": "", "state": state.value}


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: a library may take one for an error of its own, as redis-py does."""
    give_up = time.monotonic() + WIND_UP_S
    while pending := [task for task in tasks if not task.done()]:
        if time.monotonic() > give_up:
            log.error("tasks_left_behind", tasks=len(pending))
            return
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=SHORT_PAUSE_S)
