"""How the garbage collector of a frontend is set: it must not walk ten thousand dialogs again and again."""

from __future__ import annotations

import gc
from typing import Final

_THRESHOLDS: Final = (10_000, 10, 100)
"""New objects until a collection; collections of them until one of those that survived; and so on. A dialog makes no
reference cycles, so there is next to nothing to find. One pass over 100,000 survivors holds the loop for some 5 ms;
the second figure keeps it at that."""


def spare_dialogs() -> None:
    """Let what is here now stay for good, and look seldom at what comes; every client would wait meanwhile."""
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
