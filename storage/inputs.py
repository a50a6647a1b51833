"""Files and folders that a person names: one error wherever they are opened, so that every command tells it alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import InputMissing


@contextmanager
def named(path: Path, remedy: str) -> Iterator[None]:
    """Turn what the operating system says about a file that was named into `InputMissing`.

    Args:
        path: as it was named.
        remedy: what to do, for the message.

    """
    try:
        yield
    except OSError as error:
        raise InputMissing(f"{path}: {error.strerror}: {remedy}") from error
