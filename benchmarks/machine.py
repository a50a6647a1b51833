"""What machine a figure was measured on; printed above every result."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine_facts() -> str:
    """Return one line: processor, cores, kernel, Python, load before the measurement."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    load = os.getloadavg()[0]
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()},"
        f" load {load:.2f} before"
    )


def processor_time() -> tuple[int, int]:
    """Return how long the machine's processors have worked, and have been there, since its start: in ticks, proc(5)."""
    ticks = [int(one) for one in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)
