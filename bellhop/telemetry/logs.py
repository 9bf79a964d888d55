"""Log lines: JSON for machines, or text for people. Code never passes secrets or personal data to a logger."""

import logging
import sys
import time
import traceback
from typing import Any

import structlog
from structlog.typing import EventDict

from bellhop.clock import from_nanoseconds, iso
from bellhop.domain.json_text import encoded

DEPTH = 12
"""Frames of a traceback that a log line shows, the innermost last."""


ECS_VERSION = "8.11.0"
ECS_NAMES = {
    "timestamp": "@timestamp",
    "level": "log.level",
    "event": "message",
    "logger": "log.logger",
    "exception": "error.type",
    "at": "error.stack_trace",
}
"""Our name of a field, and its name in the Elastic Common Schema."""
ERRORS = logging.getLogger("bellhop")
"""Gets our lines of level error. Nothing prints them there: they are printed as all other lines are."""
ERRORS.propagate = False
ERRORS.addHandler(logging.NullHandler())


class _Stderr:
    """Writes to the present sys.stderr: a serving process replaces it, but has loggers that its parent made before."""

    def write_line(self, line: str) -> None:
        sys.stderr.write(line + "\n")

    debug = info = warning = error = critical = write_line


def configure(log_format: str, log_level: str) -> None:
    """Set up structlog ("json", "ecs" or "console"). Lines from libraries get the same form."""
    level = getattr(logging, log_level.upper())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_level_and_time,
        _without_values,
    ]
    renaming: list[structlog.typing.Processor] = [_with_names_of_ecs] if log_format == "ecs" else []
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if log_format == "console" else _json
    )
    structlog.configure(
        processors=[_to_logging, *shared, *renaming, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Stderr(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _first_line, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renaming, renderer],
        )
    )
    # At info and debug, libraries log what they send: paths with tokens, headers, bodies.
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def _to_logging(_logger: Any, method: str, event: EventDict) -> EventDict:
    """Give lines of level error to Python's logging too, where tools such as Sentry look for errors."""
    if method in ("error", "critical"):
        fields = {name: value for name, value in event.items() if name not in ("event", "exc_info")}
        ERRORS.error(event["event"], exc_info=event.get("exc_info"), extra={"bellhop": fields})
    return event


def _json(_logger: Any, _method: str, event: EventDict) -> str:
    return encoded(event, repr).decode()


def _with_level_and_time(_logger: Any, method: str, event: EventDict) -> EventDict:
    """Add the level and the time, as structlog does, whose TimeStamper takes four times as long."""
    event["level"] = method
    event["timestamp"] = iso(from_nanoseconds(time.time_ns()))
    return event


def _without_values(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Keep an exception's type and traceback. Its text and its variables may hold secrets, so they are dropped."""
    given = event.pop("exc_info", None)
    if not given:
        return event
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["exception"] = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)[-DEPTH:]
        event["at"] = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
    return event


def _with_names_of_ecs(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Rename the fields to the names of the Elastic Common Schema. Fields that it does not name go below `bellhop`."""
    renamed = {name: event.pop(ours) for ours, name in ECS_NAMES.items() if ours in event}
    ours = {"bellhop": dict(event)} if event else {}
    return {"ecs.version": ECS_VERSION, **renamed, **ours}


def _first_line(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Keep only the first line of a library's message. Below it, asyncio shows variables and exceptions of a task."""
    event["event"] = str(event["event"]).partition("\n")[0]
    return event
