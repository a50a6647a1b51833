"""How a curator's memory is allocated: what one step of a rendering frees, the next one gets, without the kernel.

Renderings take and free the same megabytes again and again. The C library's defaults give such pieces back each time,
and then every page is faulted in anew: a third of the CPU time of finalising.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_LARGEST_PIECE: Final = 32 << 20
"""Bytes: the most that mallopt(3) takes; larger pieces are mapped and given back as before."""
_KEPT: Final = 128 << 20
"""Bytes that are kept for the next recording: about what one rendering needs at once."""


def keep_freed_memory() -> None:
    """Tell the C library, once, before the first array; another one than glibc keeps its own ways."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        # One arena: jobs run in threads, and arenas of their own would each keep as much.
        for parameter, value in ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, _LARGEST_PIECE), (_M_TRIM_THRESHOLD, _KEPT)):
            mallopt(parameter, value)


def settle() -> None:
    """Take what is there now out of the sight of the collector: it lasts as long as the process. Once, when started."""
    gc.collect()
    gc.freeze()
