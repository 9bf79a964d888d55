"""Explain a call as JSON: a short trail here, and a long trail in another process, so that it delays no webhook.

A trail of 10,000 lines takes half a second. The other process has a low priority and makes one explanation: it
reads a trail from its standard input and writes the explanation.
"""

import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from bellhop.explain.explanation import Explanation, explain
from bellhop.store.stored_trail import BYTES_OF_LINE, StoredTrail
from bellhop.trail import read_trail
from webhook.api_errors import ApiError, ApiErrorKind

TIMEOUT_S = 60
"""On a busy machine a process of low priority waits long for its turn. It holds one thread of the web process."""
NICENESS = 10
COMMAND = (sys.executable, "-m", "webhook.api.explaining_process")
_running = threading.Lock()


class ExplainedCall(NamedTuple):
    """An explanation as JSON."""

    found: bool
    document: bytes


def is_long(lines: Sequence[bytes], most_lines: int) -> bool:
    """Return whether a trail is longer than `most_lines` usual lines."""
    return len(lines) > most_lines or sum(map(len, lines)) > most_lines * BYTES_OF_LINE


def explained_json(cid: str, user: str, stored: StoredTrail) -> ExplainedCall:
    """Explain a call in this process."""
    explanation = explain(cid, read_trail(stored.lines), user, stored.now, stored.told, stored.today)
    return ExplainedCall(explanation.found, _as_json(explanation) + b"\n")


def _as_json(explanation: Explanation) -> bytes:
    try:
        return _encode(explanation)
    except UnicodeEncodeError:  # an id has half of a surrogate pair, which UTF-8 cannot write
        return json.dumps(explanation.as_json(), sort_keys=True, separators=(",", ":")).encode()


_encode = msgspec.json.Encoder(order="sorted").encode


def explain_apart(cid: str, user: str, stored: StoredTrail) -> ExplainedCall:
    """Explain a call in another process, one at a time. Raises ApiError."""
    if not _running.acquire(blocking=False):
        raise ApiError(ApiErrorKind.BUSY)
    try:
        trail = b"\n".join([json.dumps([cid, user, stored.now, stored.told, {**stored.today}]).encode(), *stored.lines])
        ran = subprocess.run(COMMAND, input=trail, capture_output=True, timeout=TIMEOUT_S, check=True)
    except subprocess.TimeoutExpired:
        raise ApiError(ApiErrorKind.BUSY) from None
    finally:
        _running.release()
    return ExplainedCall(ran.stdout[:1] == b"1", ran.stdout[1:])


def main() -> None:
    """Explain the trail on standard input. Its first line has the call, the user and what else is known."""
    os.nice(NICENESS)
    gc.disable()  # the process ends with this explanation
    first, *lines = sys.stdin.buffer.read().split(b"\n")
    cid, user, now, told, today = json.loads(first)
    found, document = explained_json(cid, user, StoredTrail(lines, now, tuple(told), today))
    sys.stdout.buffer.write((b"1" if found else b"0") + document)


if __name__ == "__main__":
    main()
