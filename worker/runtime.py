"""The concurrent RQ worker: one process, one event loop, jobs as tasks, connections that stay warm between jobs.

RQ's own workers run one job at a time, each in a new process or a new event loop. This one takes a job with BLMOVE onto
an in-flight list of its own, begins and ends it with one Lua call each (worker/rq_job.py), and keeps a lease by which
others know that it lives (worker/lease.py).
"""

import asyncio
import json
import os
import re
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import BaseWorker, WorkerStatus

from worker.lease import BEAT_S, Lease
from worker.rq_job import JobError, Ledger, PermanentError, Started, inflight_key, read_call, reason_of
from worker.store import Store

log = structlog.get_logger()

Handler = Callable[[dict[str, Any]], Awaitable[None]]

POP_S = 1.0
"""How long one pop waits for a job. Short, so that stopping and suspending need not interrupt it: a pop that is cut off
may have taken a job that nobody knows of."""
SHORT_PAUSE_S = 0.1
ANSWER_S = 2.0
MAX_LOST_WORKERS = 3
"""A job that this many workers died with is the likely reason for it, and fails."""
WIND_UP_S = 5.0
"""What cancelled jobs and the last bookkeeping get before the process ends."""


@dataclass(slots=True)
class Running:
    """A job in memory."""

    task: asyncio.Task[None]
    queue: str
    interruptible: bool = False
    """In its handler, where a cancellation does no harm; not in the bookkeeping around it."""
    stopped: bool = False
    """By `rq`'s stop-job command."""


class Worker(BaseWorker):
    """Runs the jobs of several queues, each with a concurrency of its own, by the handlers it is given.

    `handlers`: what a job calls, as RQ stores it ("worker.jobs.ring"), and the coroutine function that does it with the
    job's one argument. It may be cancelled at any await (stop-job, the job's timeout, shutdown). Returning is success;
    raise PermanentError to fail for good, anything else to fail or to be retried as RQ's Retry says.
    `background`: coroutine functions that run beside; one that raises is logged and started again.
    `name`: what the worker's name starts with. Every process gets one of its own: jobs of a name belong to one process.
    """

    def __init__(
        self,
        redis_url: str,
        queues: Mapping[str, int],
        handlers: Mapping[str, Handler],
        *,
        name: str = "",
        grace_s: float = 20.0,
        background: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        # RQ wants a connection; nothing here uses it, and making it does no I/O.
        connection = Redis.from_url(redis_url, socket_timeout=ANSWER_S, retry=Retry(NoBackoff(), 0))
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
        self.jobs: dict[bytes, Running] = {}
        self.slots = {queue: asyncio.Semaphore(limit) for queue, limit in queues.items()}
        self.stopping, self.hurry = asyncio.Event(), asyncio.Event()
        self.store = Store.from_url(redis_url, timeout_s=ANSWER_S)
        self.ledger = Ledger(self.store, self.name)
        self.lease = Lease(redis_url, self.name, list(queues), self._describe)
        self._uncertain_until = 0.0
        self._handing_back = False

    @property
    def connection_timeout(self) -> int:
        """Keep RQ from stretching the connection's timeout to seven minutes."""
        return 1

    @property
    def healthy(self) -> bool:
        """Whether no other worker can presume this one dead yet: ask before a send."""
        return self.lease.healthy

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
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await asyncio.sleep(self._uncertain_until - time.monotonic())
            await self.lease.leave()
            await self.store.close()
            log.info("worker_stopped", worker=self.name)

    def stop(self) -> None:
        """Take no more jobs, and end when those in flight have or their grace is over; called again, hand them back."""
        if self.stopping.is_set():
            self.hurry.set()
        self.stopping.set()
        for slots in self.slots.values():
            slots.release()  # wakes a taker that waits for a job to end

    async def _take_jobs(self, queue: str) -> None:
        store, slots = Store.from_url(self.redis_url, connections=1, timeout_s=POP_S + ANSWER_S), self.slots[queue]
        pop = ("BLMOVE", f"rq:queue:{queue}", inflight_key(queue, self.name), "LEFT", "RIGHT", POP_S)
        while not self.stopping.is_set():
            await slots.acquire()
            job_id = None
            if not self.lease.healthy or self.lease.suspended:
                await asyncio.sleep(SHORT_PAUSE_S)
            elif not self.stopping.is_set():
                try:
                    job_id = await store.call(*pop)
                except RedisError:
                    # Redis may still move a job onto our list, as long as it believes in that pop: _reconcile finds it.
                    self._uncertain_until = time.monotonic() + POP_S
                    await asyncio.sleep(SHORT_PAUSE_S)
            if job_id is None:
                slots.release()
            elif self.stopping.is_set():
                await self.ledger.hand_back(queue, job_id)
            else:
                self._begin(queue, job_id)
        await store.close()

    def _begin(self, queue: str, job_id: bytes) -> None:
        """Run a job from the in-flight list in the slot that was acquired for it."""
        if job_id in self.jobs:  # queued twice, or its own retry: _reconcile looks again when this run is over
            self.slots[queue].release()
            return
        task = asyncio.create_task(self._run(queue, job_id))
        self.jobs[job_id] = Running(task, queue)
        task.add_done_callback(lambda task: self._ended(queue, job_id, task))

    def _ended(self, queue: str, job_id: bytes, task: asyncio.Task[None]) -> None:
        del self.jobs[job_id]
        self.slots[queue].release()
        if not task.cancelled() and (error := task.exception()):
            log.error("bookkeeping_failed", job=_text(job_id), error=f"{type(error).__name__}: {error}")

    async def _run(self, queue: str, job_id: bytes) -> None:
        started = await self.ledger.start(queue, job_id)
        if started is None:
            return
        if self._handing_back:
            await self.ledger.hand_back(queue, job_id)
            return
        running = self.jobs[job_id]
        try:
            running.interruptible = True
            await self._call(started)
        except asyncio.CancelledError:
            if running.stopped:
                await self.ledger.fail(queue, job_id, "stopped by the stop-job command", "stopped")
            else:
                await self.ledger.hand_back(queue, job_id)
        except Exception as error:
            running.interruptible = False
            reason = reason_of(error)
            permanent = isinstance(error, PermanentError)
            status = await self.ledger.fail(queue, job_id, reason, "failed" if permanent else "retry")
            log.error("job_failed", job=_text(job_id), queue=queue, reason=reason, status=status)
        else:
            running.interruptible = False
            if not await self.ledger.finish(queue, job_id):
                log.warning("job_was_given_away", job=_text(job_id), queue=queue)

    async def _call(self, started: Started) -> None:
        if started.lost_workers >= MAX_LOST_WORKERS:
            raise PermanentError(f"{started.lost_workers} workers died while they ran this job")
        name, payload = read_call(started.data)
        if (handler := self.handlers.get(name)) is None:
            raise PermanentError(f"there is no job of the name {name[:100]!r}")
        try:
            async with asyncio.timeout(started.timeout_s) as limit:
                await handler(payload)
        except TimeoutError:
            if limit.expired():
                raise JobError(f"the job took longer than {started.timeout_s:.0f} s") from None
            raise

    async def _tend(self) -> None:
        """Beat, reap, and keep memory and the in-flight lists in step."""
        while True:
            lapsed = await self.lease.beat()
            await self.lease.reap()
            for queue in self.concurrency:
                await self._reconcile(queue, lapsed)
            await asyncio.sleep(BEAT_S)

    async def _reconcile(self, queue: str, lapsed: bool) -> None:
        """Run what a pop moved onto our list without its answer reaching us; drop what was given away in a lapse."""
        try:
            listed = set(await self.lease.store.call("LRANGE", inflight_key(queue, self.name), 0, -1))
        except RedisError:
            return
        for job_id in listed - self.jobs.keys():
            if not self.stopping.is_set() and not self.slots[queue].locked():
                await self.slots[queue].acquire()
                self._begin(queue, job_id)
        if lapsed:
            for job_id, running in list(self.jobs.items()):
                if running.queue == queue and running.interruptible and job_id not in listed:
                    log.warning("job_was_given_away", job=_text(job_id), queue=queue)
                    running.task.cancel()

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
        running = self.jobs.get(str(payload.get("job_id")).encode())
        if payload["command"] == "shutdown":
            self.stop()
        elif payload["command"] == "stop-job" and running is not None and running.interruptible:
            running.stopped = True
            running.task.cancel()

    async def _keep(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run a coroutine function until it returns; start it again when it raises."""
        while True:
            try:
                return await run()
            except Exception as error:
                log.error("background_failed", background=getattr(run, "__name__", "?"), reason=reason_of(error))
                await asyncio.sleep(1)

    async def _drain(self) -> None:
        """Give the jobs in flight their grace, then hand the rest back."""
        tasks = [running.task for running in self.jobs.values()]
        if not tasks:
            return
        log.info("draining", worker=self.name, jobs=len(tasks), grace_s=self.grace_s)
        done = asyncio.ensure_future(asyncio.wait(tasks, timeout=self.grace_s))
        hurry = asyncio.create_task(self.hurry.wait())
        await asyncio.wait([done, hurry], return_when=asyncio.FIRST_COMPLETED)
        self._handing_back = True
        for running in self.jobs.values():
            if running.interruptible:
                running.task.cancel()
        for task in (done, hurry):
            task.cancel()
        if self.jobs:
            log.warning("handing_back", worker=self.name, jobs=len(self.jobs))
            await asyncio.wait([running.task for running in self.jobs.values()], timeout=WIND_UP_S)

    def _describe(self) -> dict[str, Any]:
        """Say what RQ's registration says, for `rq info`."""
        self.last_heartbeat = now()
        state = (
            WorkerStatus.SUSPENDED if self.lease.suspended else WorkerStatus.BUSY if self.jobs else WorkerStatus.IDLE
        )
        return {**self.serialize(), "ip_address": "", "state": state.value}


def _text(job_id: bytes) -> str:
    """Make a job id fit for a log line; anything may be pushed onto a queue."""
    return job_id.decode(errors="replace")[:100]
