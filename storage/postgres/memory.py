"""How much memory an embedded PostgreSQL takes for its buffers: searches look at pages of many months."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_MEGABYTE: Final = 1 << 20
_SHARE: Final = 16
"""The recorder and the page cache need the rest of the machine."""
_LEAST_MB, _MOST_MB = 128, 1024
_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
"""Of the container, where there is one."""


def memory_bytes() -> int:
    """Return the memory of this machine, or of this container where that has less."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no such file, or "max"
        found = min(found, int(_LIMIT.read_text()))
    return found


def shared_buffers_mb(memory: int) -> int:
    """Return megabytes for `shared_buffers`; PostgreSQL takes them as they are used. Pure."""
    return max(_LEAST_MB, min(_MOST_MB, memory // _SHARE // _MEGABYTE))
