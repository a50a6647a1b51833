"""Starts a program of the command line: its modules are loaded here, where Ctrl-C may come already."""

from __future__ import annotations

import importlib
import os
import signal
from types import FrameType
from typing import Final

_INTERRUPTED: Final = 128 + signal.SIGINT
"""What a shell calls a program that Ctrl-C ended; typer's commands end with it as well."""


def run(module: str) -> None:
    """Load a module and run its typer `app`."""
    # Not where the caller ignores it, such as a shell for what it runs in the background.
    quiet = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if quiet:
        signal.signal(signal.SIGINT, _leave)
    app = importlib.import_module(module).app
    if quiet:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    app()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """End at once: nothing is open yet, and an import that is interrupted by an exception tells of it with a trace."""
    os._exit(_INTERRUPTED)
