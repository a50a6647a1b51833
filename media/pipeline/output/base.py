"""The port through which rendered frames leave."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8 | np.int16]
"""Interleaved frames, shape (frames, channels): G.711 codes or 16-bit samples."""


class Tags(NamedTuple):
    """What a file says of itself to whoever finds it; empty texts are left out."""

    title: str = ""
    date: str = ""
    """ISO 8601."""
    comment: str = ""
    software: str = ""


NO_TAGS = Tags()


class Sink(Protocol):
    """A file that is being written."""

    def write(self, frames: Frames) -> None:
        """Append frames; raises `OutputFailed`."""

    def close(self) -> None:
        """Finish the file; raises `OutputFailed`. Call it on every path; after an error the file is of no use."""
