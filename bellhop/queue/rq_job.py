"""A job as RQ stores it: reading what it calls, and why a job failed. Pure.

A job's name only selects a handler; nothing is imported by a name that stands in Redis.
"""

import traceback
import zlib
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from bellhop.clock import Seconds
from bellhop.queue.job_payloads import UnknownVersion

MAX_DATA_BYTES = 8 * 1024 * 1024
"""As much as a job's data may inflate to."""


class JobError(Exception):
    """Raised by a handler: the job failed, and the text, which is shown and logged, says why."""


class PermanentError(JobError):
    """The same, where trying again cannot help: the job fails at once, whatever retries it has left."""


def inflated(data: bytes) -> bytes:
    """Inflate what RQ has deflated, up to MAX_DATA_BYTES. Raises ValueError for more, and for anything else."""
    inflater = zlib.decompressobj()
    try:
        whole = inflater.decompress(data, MAX_DATA_BYTES)
    except zlib.error:
        raise ValueError("it is not deflated") from None
    if inflater.unconsumed_tail:
        raise ValueError("it is too large")
    return whole


def read_call(data: bytes) -> tuple[str, dict[str, Any]]:
    """Read RQ's job data, JSON [function name, null, [payload], {}], deflated or not: the name and the payload.

    Raises PermanentError for anything else. The name only ever selects a handler; nothing is imported by it.
    """
    try:
        if not data.startswith(b"["):
            data = inflated(data)
        name, instance, (payload,), kwargs = from_json(data)
    except (ValueError, TypeError) as error:
        raise PermanentError(
            "the job's data cannot be read: it is no call as RQ's JSON serializer stores it"
        ) from error
    if not isinstance(name, str) or not isinstance(payload, dict) or instance is not None or kwargs:
        raise PermanentError("the job's data is not a call of a named function with one object")
    return name, payload


def reason_of(error: BaseException) -> str:
    """Say in one line why a job failed, without a value from its payload, fit for logs.

    The text of an unexpected exception may hold anything, so it stays out: its type and place tell a developer enough.
    """
    if isinstance(error, JobError | UnknownVersion):
        return " ".join(str(error).split())[:500]
    if isinstance(error, ValidationError):
        details = error.errors(include_input=False, include_url=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['type']}" for detail in details)[:500]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return f"{type(error).__name__}{place}"


def _timeout_s(text: bytes) -> Seconds | None:
    """Read RQ's timeout: whole seconds, -1 for none, 180 when it says nothing."""
    try:
        seconds = int(text or b"180")
    except ValueError:
        seconds = 180
    return Seconds(seconds) if seconds > 0 else None
