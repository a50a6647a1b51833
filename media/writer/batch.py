"""One batch of received datagrams as columns. Data only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media.writer.datagrams import Datagrams


@dataclass(slots=True, eq=False)
class Batch:
    """Datagrams, port by port; columns below `counts` have one entry per datagram, as in `Columns`."""

    datagrams: Datagrams
    calls: NDArray[np.int64]
    """Port row of each socket that was asked; no row twice, sockets of one session are neighbours."""
    counts: NDArray[np.int64]
    """Datagrams of each of these sockets, in the order of receipt."""
    lengths: NDArray[np.int64]
    """Bytes received."""
    keys: NDArray[np.uint64]
    """Source, see `kernel.source_keys`."""
    words: NDArray[np.uint32]
    """First 16 bytes of each datagram as they lie in memory, shape (n, 4); word 2 is the SSRC where it is RTP."""
    states: NDArray[np.uint64]
    """Length of the control data, and flags of receipt; shape (n, 2)."""
    arrival_ns: NDArray[np.int64]
    """Wall clock of the kernel."""
    marks: NDArray[np.int64]
    """Stream, source and flags as in the upper 48 bits of a record's second word."""
    authentic: NDArray[np.bool_] | None = None
    """False for what a protected stream must not accept; None: there is nothing of that kind."""

    @property
    def ssrcs(self) -> NDArray[np.uint32]:
        """SSRC of each datagram, in network order."""
        return self.words[:, 2]

    def rows(self) -> NDArray[np.int64]:
        """Return the port row of each datagram."""
        return np.repeat(self.calls, self.counts)
