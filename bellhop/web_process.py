"""What each of granian's processes loads: the application, and an end that comes with its parent's.

A serving process whose parent was killed would go on answering on the same port, with settings and code of old.
"""

import os
import signal
import threading
import time

from webhook.wsgi import app

__all__ = ["app"]

LOOK_S = 0.5
GRACE_S = 5.0


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)


threading.Thread(target=_end_with, args=[os.getppid()], daemon=True, name="end-with-parent").start()
