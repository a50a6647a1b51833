"""A disk that fails when a test says so: system calls of one process on captures return an error.

Nothing of the recorder is replaced: a library compiled here stands between it and the kernel.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final, Literal

DiskCall = Literal["writev", "fsync", "syncfs"]

_SOURCE: Final = Path(__file__).with_suffix(".c")


class FailingDisk:
    """Start processes with `environment`; their calls fail from `fail` until `heal`."""

    def __init__(self, folder: Path) -> None:
        library = folder / "failing_disk.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, _SOURCE, "-ldl"], check=True)
        self._order = folder / "failing_disk.order"
        self.environment = {"LD_PRELOAD": str(library), "FAILING_DISK": str(self._order)}

    def fail(self, pid: int, call: DiskCall, error: int) -> None:
        """Let a call of a process fail with this errno from now on."""
        draft = self._order.with_suffix(".draft")
        draft.write_text(f"{pid} {call} {error}")
        draft.replace(self._order)

    def heal(self) -> None:
        """Let every call through again."""
        self._order.unlink(missing_ok=True)
