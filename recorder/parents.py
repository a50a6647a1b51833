"""Parents and children (prctl(2)): a process ends with its parent; a parent takes orphans in."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


def end_with(parent: int, number: signal.Signals) -> None:
    """Get a signal when the parent ends; if it is not our parent any more, end now.

    Args:
        parent: its process, as known before.
        number: the signal.

    """
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        sys.exit(0)


@contextmanager
def adopting() -> Iterator[None]:
    """Become the parent of every process below us that loses its own one meanwhile."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        _prctl(_PR_SET_CHILD_SUBREAPER, 0)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
