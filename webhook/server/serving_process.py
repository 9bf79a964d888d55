"""The module that each serving process of granian loads by name (serve.py): its `app` is the ASGI application.

A serving process ends when its parent ends. Otherwise it would continue to answer on the port, with old settings and
code.
"""

import gc
import multiprocessing
import os
import signal
import threading
import time

# granian installs its own handler for SIGTERM only at the end of the start. Until then, the process would have its
# parent's handler, which ignores SIGTERM, and could not be stopped. So this handler ends it.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

# Imported after the handler is set, because these imports take most of the start.
from bellhop.clock import Seconds  # noqa: E402
from webhook.intake.signature import MAX_BODY  # noqa: E402
from webhook.server.asgi_front import front  # noqa: E402
from webhook.server.bodies import Bodies, BodyLimits  # noqa: E402
from webhook.wsgi import app as wsgi_app  # noqa: E402

CHECK_PARENT_S = 0.5
"""How often a process checks whether its parent still runs."""
STOP_GRACE_S = 5.0
"""How long a process without a parent may take to stop by itself."""
LIMITS = BodyLimits(
    body_bytes=MAX_BODY,
    body_s=Seconds(5.0),  # Stream gives up on an attempt after six
    arriving=1024,
    total_bytes=64 * 1024 * 1024,
)

app = front(wsgi_app, wsgi_app.extensions["context"].settings.web_threads, Bodies(LIMITS))


def _parent_pid() -> int:
    """Return the process that started this one, also if it has ended since: then getppid() names another."""
    parent = multiprocessing.parent_process()
    return parent.pid if parent is not None and parent.pid else os.getppid()


def _stop_when_parent_ends(parent_pid: int) -> None:
    """Wait until the parent has ended, then stop this process."""
    while os.getppid() == parent_pid:
        time.sleep(CHECK_PARENT_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_GRACE_S)
    os._exit(1)


threading.Thread(target=_stop_when_parent_ends, args=[_parent_pid()], daemon=True, name="end-with-parent").start()

# The objects that exist now are never freed, so the garbage collector need not look at them. Without this, each full
# collection would delay every webhook by about 70 ms.
gc.freeze()
