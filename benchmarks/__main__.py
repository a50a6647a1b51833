"""`make bench`: the short form of every measurement, one after the other."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

_MEASUREMENTS: Final = (
    ("benchmarks.recording",),
    ("benchmarks.capture", "--short"),
    ("benchmarks.finalise",),
    ("benchmarks.signalling", "--short"),
    ("benchmarks.catalog", "--rows", "200000"),
    ("benchmarks.copies",),
)


def main() -> int:
    """Run them all; the exit code is the worst."""
    worst = 0
    for module, *arguments in _MEASUREMENTS:
        print(f"\n== python -m {' '.join((module, *arguments))}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
