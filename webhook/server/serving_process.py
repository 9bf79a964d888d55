"""The module that each of granian's processes loads: the application behind its front. granian finds it by name.

The process ends when its parent does. Otherwise it would continue to answer on the port, with old settings and code.
"""

import gc
import os
import signal
import threading
import time

# Until granian installs its own handler at the end of the start. The handler that a process inherits belongs to its
# parent and would ignore SIGTERM: a process that is stopped while it starts would never stop.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

# After the signal, because these imports take most of the start.
from bellhop.clock import Seconds  # noqa: E402
from webhook.intake.signature import MAX_BODY  # noqa: E402
from webhook.server.asgi_front import front  # noqa: E402
from webhook.server.bodies import Bodies, BodyLimits  # noqa: E402
from webhook.wsgi import app as wsgi_app  # noqa: E402

CHECK_PARENT_S = 0.5
STOP_GRACE_S = 5.0
LIMITS = BodyLimits(
    body_bytes=MAX_BODY,
    body_s=Seconds(5.0),  # Stream gives up on an attempt after six
    arriving=1024,
    total_bytes=64 * 1024 * 1024,
)

app = front(wsgi_app, wsgi_app.extensions["context"].settings.web_threads, Bodies(LIMITS))


def _stop_after(parent: int) -> None:
    """Stop this process when its parent has ended."""
    while os.getppid() == parent:
        time.sleep(CHECK_PARENT_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_GRACE_S)
    os._exit(1)


threading.Thread(target=_stop_after, args=[os.getppid()], daemon=True, name="end-with-parent").start()

# What is loaded now is never garbage. Without this, each full collection would delay every webhook by some 70 ms.
gc.freeze()
