"""The keys of jobs and outboxes that a script writes.

They go to the end of the script's KEYS. Each job or outbox has the position of its first key, where lib/enqueue.lua and
lib/announcing.lua read it. So no script builds the key of a job that its caller knows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bellhop.store.keys import (
    RQ_QUEUES,
    draining_key,
    outbox_key,
    rq_job_key,
    rq_queue_key,
    rq_registry_key,
    tenant_queue_key,
    turns_key,
)

JobFields = Mapping[str, str]
"""A job as `bellhop.queue.job_payloads.job` describes it."""


def of_tenant(tenant: str, *, in_turn: bool) -> JobFields:
    """Return the field of a job that waits for its tenant's turn; no field if tenants take no turns."""
    return {"tenant": tenant} if in_turn and tenant else {}


def add_new_job(keys: list[str], job: JobFields) -> JobFields:
    """Add the keys of a job that a web process queues, without RQ's set of all queues; returns the job for the script.

    Each worker writes that set when it registers (lua/lib/enqueue.lua).
    """
    if "tenant" in job:
        return add_job(keys, job)
    first_key = str(len(keys) + 1)
    keys += (rq_job_key(job["id"]), rq_queue_key(job["queue"]))
    return {**job, "first_key": first_key}


def add_job(keys: list[str], job: JobFields) -> JobFields:
    """Add the keys of a job that is queued or scheduled; returns the job for the script."""
    queue, first_key = job["queue"], str(len(keys) + 1)
    keys += (rq_job_key(job["id"]), rq_queue_key(queue), rq_registry_key("scheduled", queue), RQ_QUEUES)
    if "tenant" in job:
        keys += (tenant_queue_key(queue, job["tenant"]), turns_key(queue))
    return {**job, "first_key": first_key}


def add_outbox(keys: list[str], outbox: Mapping[str, Any]) -> dict[str, Any]:
    """Add the keys of an outbox and of the job that drains it (`bellhop.audience.outbox_of`); returns the outbox."""
    name = (outbox["destination"], outbox["tenant"], outbox["subject"])
    first_key = str(len(keys) + 1)
    keys += (outbox_key(*name), draining_key(*name), rq_job_key(""))
    return {"first_key": first_key, "keep_s": outbox["keep_s"], "job": add_job(keys, outbox["job"])}


def add_outboxes_of(keys: list[str], item: Mapping[str, Any]) -> dict[str, Any]:
    """Add the keys of all outboxes that an announcement is put into; returns the announcement for the script."""
    return {**item, "outboxes": add_outboxes(keys, item["outboxes"])}


def add_outboxes(keys: list[str], outboxes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add the keys of these outboxes; returns the outboxes for the script."""
    return [add_outbox(keys, outbox) for outbox in outboxes]
