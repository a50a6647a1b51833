"""Packets too long for a frame of the ring: the kernel puts them whole into the socket's queue."""

from __future__ import annotations

import ctypes
import os
import socket
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.errors import LostError
from media.writer.kernel import MESSAGE, MSG_DONTWAIT, MSG_TRUNC, TRANSIENT, last_error, receive
from media.writer.packet_socket import DATA, SOL_PACKET

_PACKET_AUXDATA: Final = 8
_SO_TIMESTAMPNS: Final = 35
_PER_CALL: Final = 64
_LONGEST: Final = 2048 + 60
"""Bytes of an IP packet that are taken: the longest datagram that a socket takes, with headers."""
_WIDTH: Final = (DATA + _LONGEST + 7) // 8 * 8
_CONTROL: Final = 128
_STATUS_WORD: Final = 12
"""32-bit word of the control data with the status: behind the timestamp (32 bytes) and one cmsghdr (16)."""


class LongPackets:
    """Reads the queue of one ring's socket."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(SOL_PACKET, _PACKET_AUXDATA, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._sock = sock
        self._frames = np.zeros((_PER_CALL, _WIDTH), np.uint8)
        self._controls = np.zeros((_PER_CALL, _CONTROL // 8), np.int64)
        self._vectors = np.zeros((_PER_CALL, 2), np.uint64)
        self._messages = np.zeros(_PER_CALL, MESSAGE)
        slot = np.arange(_PER_CALL, dtype=np.uint64)
        self._vectors[:, 0] = np.uint64(self._frames.ctypes.data + DATA) + slot * np.uint64(_WIDTH)
        self._vectors[:, 1] = _LONGEST
        self._messages["vectors"] = np.uint64(self._vectors.ctypes.data) + slot * np.uint64(16)
        self._messages["vector_count"] = 1
        self._messages["control"] = np.uint64(self._controls.ctypes.data) + slot * np.uint64(_CONTROL)
        self._pointer = ctypes.c_void_p(self._messages.ctypes.data)

    def take(self) -> NDArray[np.uint8] | None:
        """Return packets in the form of frames, wider ones, valid until the next call; None when there is none.

        Errors: `LostError` if the socket is broken.

        """
        self._messages["control_length"] = _CONTROL
        got = receive(self._sock.fileno(), self._pointer, _PER_CALL, MSG_DONTWAIT, None)
        if got <= 0:
            if got < 0 and last_error() not in TRANSIENT:
                raise LostError(f"receiving from the packet ring: {os.strerror(last_error())}")
            return None
        frames = self._frames[:got]
        words, meta = self._controls[:got].view(np.uint32), frames[:, :32].view(np.uint32)
        meta[:, 0] = words[:, _STATUS_WORD]
        # The kernel tells no length for these: what came, or more than that.
        received = self._messages["length"][:got]
        meta[:, 1] = np.where(self._messages["flags"][:got] & MSG_TRUNC, 0xFFFF, received)
        meta[:, 2] = received
        meta[:, 4] = self._controls[:got, 2]
        meta[:, 5] = self._controls[:got, 3]
        return frames
