"""The machine that a figure comes from: what it is, and how steady it was."""

import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path


def told() -> str:
    """Say what machine this is."""
    cpu = Path("/proc/cpuinfo")
    model = next((line.split(":")[1].strip() for line in cpu.read_text().splitlines() if "model name" in line), "")
    python = platform.python_version()
    return f"{os.cpu_count()} cores, {model or platform.machine()}; {platform.system()}, Python {python}"


def calibrate(samples: int = 40) -> list[float]:
    """Milliseconds that a fixed piece of Python takes, again and again: how steady the machine is."""
    times = []
    for _ in range(samples):
        began = time.perf_counter()
        sum(n * n for n in range(100_000))
        times.append((time.perf_counter() - began) * 1e3)
    return times


def noise(times: Sequence[float]) -> str:
    """Sum the calibration up."""
    return (
        f"calibration loop: min {min(times):.1f}, median {statistics.median(times):.1f}, max {max(times):.1f} ms; "
        f"load average {os.getloadavg()[0]:.1f}"
    )
