"""The memory of a packet ring as arrays: which frames are filled, and their return to the kernel.

Knows frames and their order; knows no stream. `packet_socket` opens the ring, Documentation/networking/packet_mmap.rst.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.errors import ResourceError
from media.writer.packet_socket import BLOCK, FRAME, FRAMES_PER_BLOCK, SOL_PACKET

STATUS_USER: Final = 1
STATUS_COPY: Final = 2
"""The whole packet is in the socket's queue; the frame holds its beginning."""
STATUS_CHECKED: Final = 0x88
"""TP_STATUS_CSUM_VALID: the interface has checked it; TP_STATUS_CSUMNOTREADY: it never left this host."""

_PACKET_STATISTICS: Final = 6
_MAX_MEGABYTES: Final = 4096
_IN_FLIGHT: Final = os.cpu_count() or 1
"""Frames that the kernel may have taken and not yet filled: one for each processor."""
_NEVER: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Filled frames that follow one another in one block."""

    first: int
    """Number of the first frame in the ring."""
    frames: NDArray[np.uint8]
    """Shape (n, FRAME): views."""

    @property
    def starts(self) -> NDArray[np.int64]:
        """Byte position of each frame in the ring's memory."""
        block, slot = divmod(self.first, FRAMES_PER_BLOCK)
        return block * BLOCK + (slot + np.arange(len(self.frames), dtype=np.int64)) * FRAME


class PacketRing:
    """One ring, mapped.

    Args:
        sock: as `packet_socket.open_rings` made it.

    Errors: `ResourceError` if it has no ring of our layout.

    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.family = socket.AF_INET if _protocol(sock) == 0x0800 else socket.AF_INET6
        self._mapping = _map(sock)
        self.memory: NDArray[np.uint8] = np.frombuffer(self._mapping, np.uint8)
        """The whole ring."""
        self._blocks = len(self.memory) // BLOCK
        self._size = self._blocks * FRAMES_PER_BLOCK
        self._frames = np.ndarray((self._blocks, FRAMES_PER_BLOCK, FRAME), np.uint8, self.memory, 0, (BLOCK, FRAME, 1))
        self._status = self._frames[:, :, :4].view(np.uint32)[:, :, 0]
        self._arrived = False
        """The kernel has counted a packet since start."""
        self._untold = 0
        self._held = 0
        """Frames given out and not released: behind them a full ring would begin again."""
        self._next = self._oldest()

    def _oldest(self) -> int:
        """Return where a successor goes on: the kernel takes frames in turn, so what waits is one run of them.

        Near its end may be holes: frames that processors have taken and are still filling.
        """
        filled = (self._status & STATUS_USER).ravel().astype(bool)
        if not filled.any():
            # An empty ring does not tell where the kernel is: the first filled frame will.
            return -1
        first = behind_the_free(filled)
        if first >= 0:
            return first
        times = np.ascontiguousarray(self._frames[:, :, 20:28]).view(np.uint32).reshape(-1, 2).astype(np.int64)
        return int(np.argmin(np.where(filled, times[:, 0] * 1_000_000_000 + times[:, 1], _NEVER)))

    def filled(self, limit: int) -> Iterator[Run]:
        """Yield what waits, oldest first, and move behind it; about `limit` frames at most. Release each later."""
        if self._next < 0:
            self._ask_statistics()
            # Looking through all frames is not for every visit of an idle ring.
            self._next = self._oldest() if self._arrived else -1
        while limit > 0 and self._next >= 0:
            block, slot = divmod(self._next, FRAMES_PER_BLOCK)
            waiting = self._status[block, slot : slot + self._size - self._held] & STATUS_USER
            count = len(waiting) if waiting.all() else int(np.argmin(waiting))
            if not count:
                return
            self._held += count
            yield Run(self._next, self._frames[block, slot : slot + count])
            self._next = (self._next + count) % self._size
            limit -= count
            if count < len(waiting):
                return

    @property
    def torn(self) -> bool:
        """Whether what waits begins with a frame that a processor is still filling, and others follow it."""
        if self._next < 0:
            return False
        places = (self._next + np.arange(_IN_FLIGHT + 1)) % self._size
        ready = self._status[places // FRAMES_PER_BLOCK, places % FRAMES_PER_BLOCK] & STATUS_USER
        return bool(ready.any() and not ready[0])

    def release(self, run: Run) -> None:
        """Give frames back to the kernel."""
        run.frames[:, :4].view(np.uint32)[:, 0] = 0
        self._held -= len(run.frames)

    def untold_drops(self) -> int:
        """Return how many packets found the ring full since the last call."""
        self._ask_statistics()
        untold, self._untold = self._untold, 0
        return untold

    def _ask_statistics(self) -> None:
        # The kernel counts from zero again after each question.
        arrived, dropped = struct.unpack("=2I", self.sock.getsockopt(SOL_PACKET, _PACKET_STATISTICS, 8))
        self._arrived |= arrived > 0
        self._untold += dropped


def behind_the_free(filled: NDArray[np.bool_]) -> int:
    """Return the first filled frame behind the free part of a ring, or -1 where nothing is free but frames in flight.

    Args:
        filled: by frame; at least one is.

    """
    firsts = np.flatnonzero(filled & ~np.roll(filled, 1))
    if not len(firsts):
        return -1
    lasts = np.flatnonzero(filled & ~np.roll(filled, -1))
    # The last filled frame before each of these, round the end of the ring.
    before = lasts[np.searchsorted(lasts, firsts) - 1]
    free = (firsts - before - 1) % len(filled)
    return int(firsts[free.argmax()]) if free.max() > _IN_FLIGHT else -1


def _protocol(sock: socket.socket) -> int:
    # getsockname gives (interface, protocol, ...).
    return int(sock.getsockname()[1])


def _map(sock: socket.socket) -> mmap.mmap:
    """Map the ring: the kernel takes its exact length only, and tells it to nobody."""
    megabytes = 1
    while megabytes <= _MAX_MEGABYTES:
        try:
            return mmap.mmap(sock.fileno(), megabytes * BLOCK)
        except OSError:
            megabytes += 1
    raise ResourceError("no packet ring on this socket")
