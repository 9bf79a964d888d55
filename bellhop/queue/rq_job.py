"""A job as RQ stores it: its name and payload, its timeout, and why it failed. Pure.

RQ imports the function that a job names. Bellhop never does: a job's name only selects a handler.
"""

import traceback
import zlib
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from bellhop.clock import Seconds
from bellhop.queue.job_payloads import UnknownVersion

MAX_DATA_BYTES = 8 * 1024 * 1024
"""Limit of a job's inflated data."""


class JobError(Exception):
    """Raised by a handler: the job failed. The message says why, and is shown and logged."""


class PermanentError(JobError):
    """The job failed, and another try cannot help: it fails at once, even if it has retries left."""


class ForeignJobError(PermanentError):
    """Another application's job is in our queue: it has no name of ours, or data that we never write."""


def inflated(data: bytes) -> bytes:
    """Inflate data that RQ has deflated. Raises ValueError if it is invalid, or larger than MAX_DATA_BYTES."""
    inflater = zlib.decompressobj()
    try:
        whole = inflater.decompress(data, MAX_DATA_BYTES)
    except zlib.error:
        raise ValueError("the data is not deflated") from None
    if inflater.unconsumed_tail:
        raise ValueError("the data is too large")
    return whole


def as_json(data: bytes) -> bytes:
    """Return RQ's job data as JSON: it may be deflated. Raises ValueError as `inflated` does."""
    return data if data.startswith(b"[") else inflated(data)


def read_job_data(data: bytes) -> tuple[str, dict[str, Any]]:
    """Read RQ's job data, JSON [function name, null, [payload], {}], deflated or not; returns name and payload.

    Raises ForeignJobError if the data is anything else.
    """
    try:
        name, instance, (payload,), kwargs = from_json(as_json(data))
    except (ValueError, TypeError) as error:
        raise ForeignJobError(
            "the job's data cannot be read: it must be a function call in the form of RQ's JSON serializer"
        ) from error
    if not isinstance(name, str) or not isinstance(payload, dict) or instance is not None or kwargs:
        raise ForeignJobError("the job's data must be the call of a named function with one JSON object")
    return name, payload


def reason_of(error: BaseException) -> str:
    """Return why a job failed, in one line for logs. It contains no value of the job's payload.

    The message of an unexpected exception may contain anything, so only its type and where it was raised are returned.
    """
    if isinstance(error, JobError | UnknownVersion):
        return " ".join(str(error).split())[:500]
    if isinstance(error, ValidationError):
        details = error.errors(include_input=False, include_url=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['type']}" for detail in details)[:500]
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return f"{type(error).__name__}{where}"


def timeout_s(text: bytes) -> Seconds | None:
    """Read RQ's timeout: an integer of seconds, -1 for none, 180 if there is none."""
    try:
        seconds = int(text or b"180")
    except ValueError:
        seconds = 180
    return Seconds(seconds) if seconds > 0 else None
