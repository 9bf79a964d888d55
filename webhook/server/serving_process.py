"""What each of granian's processes loads: the application behind its front, and an end that comes with its parent's.

A serving process whose parent was killed would go on answering on the same port, with settings and code of old.
"""

import gc
import os
import signal
import threading
import time

# Until granian listens for it, at the end of the start. The handler that a process inherits belongs to its parent, and
# would swallow it: told to stop while it starts, it would never stop.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

from bellhop.clock import Seconds  # noqa: E402
from webhook.intake.signature import MAX_BODY  # noqa: E402
from webhook.server.asgi_front import front  # noqa: E402
from webhook.server.bodies import Bodies  # noqa: E402 - after the signal: these take most of the start
from webhook.wsgi import app as wsgi  # noqa: E402

LOOK_S = 0.5
GRACE_S = 5.0
BODY_WITHIN_S = Seconds(5.0)
"""Stream gives up on a try after six."""
MOST_BODIES = 1024
MOST_BYTES = 64 * 1024 * 1024
"""Of all bodies that are on their way, wait for a thread or are being answered."""

app = front(
    wsgi,
    wsgi.extensions["context"].settings.web_threads,
    Bodies(MAX_BODY, BODY_WITHIN_S, MOST_BODIES, MOST_BYTES),
)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)


threading.Thread(target=_end_with, args=[os.getppid()], daemon=True, name="end-with-parent").start()

gc.freeze()  # what is here now stays: each look through it for garbage would hold up every webhook by some 70 ms
