"""The bells of a Redis Cluster: how a worker learns that a job waits in one of many partitions.

A connection cannot wait for lists in several slots. So the client that queues a job also puts the partition into a
sorted set on the same node, in the same packet. Workers wait for that set. An entry wakes one worker. A bell is only a
hint: if it is lost, the worker's next look at the partition finds the job (queue/tend.lua).
"""

import re
import time

from bellhop.store.homes import Partition
from bellhop.store.keys import bell_key
from bellhop.store.scripts import AnyCommand, Command, RawCommand

_QUEUE_OF_A_PARTITION = re.compile(r"rq:\{([^{}]+)\}:queue:([^:]+)$")
_FILL_NO_QUEUE = frozenset(
    {
        *(f"queue/{name}" for name in ("take_jobs", "begin_job", "show_runs", "finish_job", "tend")),
        *("queue/enqueue_scheduled", "queue/take_back_jobs"),
    }
)
"""The scripts that get a queue, and put no job on it. Also those that rarely do: the worker that runs them looks at the
queue by itself (worker/queue/partition_worker.py)."""


def queues_filled_by(command: AnyCommand) -> list[str]:
    """Return the queues on which a script may put jobs. `command` has the names that its keys have in a partition."""
    if not isinstance(command, Command) or command.script in _FILL_NO_QUEUE:
        return []
    return [match[2] for key in command.keys if (match := _QUEUE_OF_A_PARTITION.match(key))]


def bell_command(bell_of: Partition, queue: str, partition: Partition) -> RawCommand:
    """Return the command that says that jobs wait in a partition's queue. `bell_of`: the partition that has the bell.

    A bell has each partition once at most. The partition that waits longest comes first.
    """
    return ("ZADD", bell_of.key(bell_key(queue)), "NX", time.time_ns() // 1000, partition.tag)
