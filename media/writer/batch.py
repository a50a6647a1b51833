"""One batch of received datagrams as columns. Data only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media.writer.arena import Datagrams


@dataclass(slots=True, eq=False)
class Batch:
    """Datagrams of one filling of the arena; every column has one entry per datagram."""

    datagrams: Datagrams
    rows: NDArray[np.int64]
    """Port row; datagrams of one row are neighbours, in the order of receipt."""
    lengths: NDArray[np.int64]
    """Bytes received."""
    keys: NDArray[np.uint64]
    """Source, see `kernel.source_keys`."""
    ssrcs: NDArray[np.uint32]
    """Third word as it lies in memory; the SSRC where the datagram is RTP."""
    arrival_ns: NDArray[np.int64]
    """Wall clock of the kernel."""
    marks: NDArray[np.int64]
    """Stream, source and flags as in the upper 48 bits of a record's second word."""

    def __len__(self) -> int:
        return len(self.rows)
