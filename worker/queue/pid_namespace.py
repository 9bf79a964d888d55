"""Which processes can see each other's pids, and whether one of them lives."""

import os
from functools import cache
from pathlib import Path


@cache
def pid_namespace() -> str:
    """Name one boot of one machine and one pid namespace of it: there, a pid means the same process to all.

    Empty if it cannot be found out (no Linux).
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Whether a process of this pid namespace lives. True if that cannot be found out."""
    if pid <= 0:  # to os.kill, these name groups of processes
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # a process of another user
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:  # hidden, or just ended: the next check finds it out
        return True
    return state not in {"Z", "X"}  # dead, but its parent has not collected it yet
