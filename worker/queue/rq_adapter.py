"""The only module that uses RQ's worker class: what RQ's tools see of this worker, and how they send it commands.

What is used of rq.worker.BaseWorker, and why:
- the constructor, with `prepare_for_work=False`: it needs no connection then. It checks the queues' names.
- `serialize`: the fields of RQ's worker hash, so `rq info` and dashboards read the same as from RQ's own workers.
- `pubsub_channel_name`: the channel on which `rq` sends stop-job and shutdown.
- `connection_timeout` is overridden: RQ would raise the connection's timeout to seven minutes.
- `WorkerStatus`: RQ's words for a worker's state. `rq.utils.now`: the time in RQ's form.

Nothing of RQ's own loop, signal handlers, job execution or maintenance is used. tests/worker/queue/test_rq_contract.py
fails when RQ changes one of these.
"""

import json
import os
import re
import secrets
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import BaseWorker, WorkerStatus

from bellhop.clock import Seconds
from bellhop.store.blocking_client import blocking


class RqCommand(NamedTuple):
    """A command that was sent to this worker with `rq` or rq.command."""

    name: str
    """"stop-job", "shutdown", or another word."""
    job_id: bytes
    """Empty if the command is not about a job."""

    @classmethod
    def read(cls, data: bytes) -> "RqCommand":
        """Read a message of the worker's channel."""
        payload = json.loads(data)
        return cls(str(payload["command"]), str(payload.get("job_id", "")).encode())


class RqWorkerRecord(BaseWorker):
    """Describes one worker process as RQ's tools expect it. It does no I/O."""

    def __init__(self, redis_url: str, name: str, queues: Sequence[str]) -> None:
        # RQ requires a connection. This one is never opened.
        connection = blocking(redis_url, timeout_s=Seconds(1.0))
        super().__init__(
            list(queues), name=name, connection=connection, serializer=JSONSerializer, prepare_for_work=False
        )
        self.hostname, self.pid, self.birth_date = socket.gethostname(), os.getpid(), now()

    @property
    def connection_timeout(self) -> int:
        """Keep RQ from raising the connection's timeout to seven minutes."""
        return 1

    def fields(self, *, busy: bool, suspended: bool) -> dict[str, Any]:
        """Return the fields of RQ's worker hash as they are now."""
        self.last_heartbeat = now()
        state = WorkerStatus.BUSY if busy else WorkerStatus.IDLE
        if suspended:
            state = WorkerStatus.SUSPENDED
        return {**self.serialize(), "ip_address": "", "state": state.value}


def unique_worker_name(prefix: str = "") -> str:
    """Make a name that no other process has: `prefix`, or else the host's name, and a random part.

    It contains neither ":" nor "|", at which RQ's keys and the claims in Redis are split.
    """
    return f"{re.sub(r'[^A-Za-z0-9._-]', '-', prefix or socket.gethostname())}-{secrets.token_hex(4)}"
