"""The kind of event loop that both processes run, and how Python's garbage collector delays it less."""

import asyncio
import gc
from collections.abc import Callable

YOUNG_OBJECTS = 10_000
"""After how many new objects the garbage collector runs. With Python's default of 700 it runs at every third webhook or
ring and finds nothing: their objects are freed without it."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop if it is installed: under load, rings begin sooner. None for asyncio's own."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415
    except ImportError:
        return None
    return new_event_loop


def collect_garbage_rarely() -> None:
    """Call this after all objects exist that stay until the process ends.

    The garbage collector does not look at these objects again. Otherwise each full collection would delay every webhook
    and ring by about 70 ms.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
