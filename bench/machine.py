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


def ticks() -> tuple[int, int]:
    """Return how many ticks of its processors the machine was busy since its start, and how many there were."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(numbers) - numbers[3] - numbers[4], sum(numbers)


def busy(before: tuple[int, int]) -> float:
    """Return which share of the time since `before` (what `ticks` returned) the machine's processors were busy."""
    now = ticks()
    return (now[0] - before[0]) / max(1, now[1] - before[1])
