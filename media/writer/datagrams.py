"""What the engine knows of received datagrams, whichever packet source they come from. Port and columns only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True, eq=False)
class Columns:
    """One entry per datagram; copies, so that they may be changed."""

    lengths: NDArray[np.int64]
    """Bytes received."""
    keys: NDArray[np.uint64]
    """Source, see `kernel.source_keys`."""
    words: NDArray[np.uint32]
    """First 16 bytes as they lie in memory, shape (n, 4); word 2 is the SSRC where it is RTP."""
    states: NDArray[np.uint64]
    """Length of the control data as recvmmsg(2) tells it, and flags of receipt; shape (n, 2)."""
    arrival_ns: NDArray[np.int64]
    """Wall clock of the kernel."""


class Datagrams(Protocol):
    """Datagrams of one batch where their source left them; valid until the source gives their memory back."""

    def __len__(self) -> int: ...

    def columns(self) -> Columns:
        """Return what is looked at of every datagram."""
        ...

    def name(self, position: int) -> bytes:
        """Return one packed source address (sockaddr_in or sockaddr_in6)."""
        ...

    def drop_counters(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the drop counter of the socket as each of these datagrams came with it, modulo 2^32."""
        ...

    def lay_out(
        self, chosen: NDArray[np.int64] | None, lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Copy the chosen datagrams (None: all) back to back; return the bytes, and the n + 1 edges between them.

        Args:
            chosen: positions, in the order wanted.
            lengths: bytes of each chosen datagram.

        """
        ...


class Received(Datagrams, Protocol):
    """Datagrams as a packet source gives them: they can be kept for later."""

    def copy(self) -> Received:
        """Return the same datagrams in memory of their own."""
        ...

    def chosen(self, positions: NDArray[np.int64]) -> Received:
        """Return some of the datagrams."""
        ...
