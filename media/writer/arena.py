"""The memory into which the kernel writes datagrams, and its rescue by a successor.

One vector of `SLOTS` messages is filled call by call (recvmmsg), looked at as a whole with numpy, and given back. Where
it lies in a file on tmpfs it outlives the process: before each call the port and the first slot are noted beside the
packets, so that a successor finds what had been read and not yet appended. Knows nothing of RTP, sessions or disk.
"""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import logging
import mmap
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.errors import LocalError, LostError
from media.writer.kernel import (
    CONTROL_ROOM,
    MESSAGE,
    MSG_DONTWAIT,
    NAME_ROOM,
    TRANSIENT,
    last_error,
    receive,
)
from media.writer.slots import HEAD, REST, Slots

_log: Final = logging.getLogger(__name__)

SLOTS: Final = 4096
PER_CALL: Final = 64
"""Slots taken from one socket before the next one has its turn."""
MAX_CALLS: Final = 4096
"""Sockets noted in one filling."""
PORT_ROOM: Final = 64
"""Bytes kept for each port row, in each of two places: see `Arena.indices` and `Arena.statistics`."""
RTCP_BIT: Final = 1 << 31
"""In the noted port: the datagrams came from the RTCP socket of that pair."""

_MAGIC: Final = b"TNDMARE3"
_HEADER: Final = struct.Struct("<8sIIIII")
"""Magic, slots, head, rest, calls, port rows: a successor of another build sees a layout that it does not know."""
_HEADER_ROOM: Final = 4096
_UNUSED: Final = 0xFFFF_FFFF


class Arena:
    """The message vector and its memory.

    Args:
        path: file on tmpfs, or None for private memory.
        port_rows: number of port pairs; for each is kept whether it is busy, and the count of kernel drops already
            told, so that a successor does not tell it twice.

    Errors: `LocalError` if another live process holds the file.

    """

    def __init__(self, path: Path | None, port_rows: int) -> None:
        self._fd = -1
        self.inherited = False
        """The memory was a predecessor's: `told_drops` go on from there."""
        sizes = _region_sizes(port_rows)
        self._memory = self._map(path, _HEADER_ROOM + sum(sizes), port_rows)
        self.recovered = dict[int, list[Slots]]()
        """Slots of a dead predecessor by noted port; copies."""
        regions = iter(_split(np.frombuffer(self._memory, np.uint8), sizes))
        heads = next(regions).reshape(SLOTS, HEAD)
        rests = next(regions).reshape(SLOTS, REST)
        messages = next(regions).view(MESSAGE)
        vectors = next(regions).view(np.uint64).reshape(SLOTS, 2, 2)
        names = next(regions).view(np.uint64).reshape(SLOTS, 4)
        controls = next(regions).view(np.int64).reshape(SLOTS, CONTROL_ROOM // 8)
        self._starts = next(regions).view(np.uint32)
        self._noted = next(regions).view(np.uint32)
        self.told_drops = next(regions).view(np.uint32)
        """Per port row and kind (RTP, RTCP), shape (rows, 2): the socket's drop counter when it was last told."""
        self.told_drops = self.told_drops.reshape(port_rows, 2)
        self.indices = next(regions).view(np.uint8).reshape(port_rows, PORT_ROOM)
        """Per port row: what else a successor goes on with; SRTP packet indices, never keys."""
        self.statistics = next(regions).view(np.uint8).reshape(port_rows, PORT_ROOM)
        """Per port row: what receiver reports have counted."""
        self.busy = next(regions)
        """Per port row: 1 while a session uses the port."""
        self.all = Slots(heads, rests, names, controls, messages)
        if self._fd >= 0:
            self._rescue()
        _wire(self.all, vectors)
        self._pointers = [ctypes.c_void_p(messages.ctypes.data + slot * MESSAGE.itemsize) for slot in range(SLOTS + 1)]
        self._notes = self._starts.data.cast("B").cast("I")
        self._noted_calls = len(self._starts)
        self.used = 0
        """Slots filled since the arena was given back."""
        self.give_back(SLOTS)

    def _map(self, path: Path | None, size: int, port_rows: int) -> mmap.mmap:
        if path is None:
            return mmap.mmap(-1, size)
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return self._map_file(size, port_rows)
        except BlockingIOError as error:
            self._forget_file()
            raise LocalError(f"{path} belongs to another running writer") from error
        except OSError as error:
            # Capturing without a safety net is better than not capturing.
            _log.warning("no shared memory; a crash will lose packets in flight", extra={"reason": str(error)})
            self._forget_file()
            return mmap.mmap(-1, size)

    def _map_file(self, size: int, port_rows: int) -> mmap.mmap:
        header = _HEADER.pack(_MAGIC, SLOTS, HEAD, REST, MAX_CALLS, port_rows)
        known = os.pread(self._fd, _HEADER.size, 0) == header and os.fstat(self._fd).st_size == size
        self.inherited = known
        if not known:
            os.ftruncate(self._fd, 0)
            # Reserve every page now: a full tmpfs met later would kill the process with SIGBUS.
            os.posix_fallocate(self._fd, 0, size)
        memory = mmap.mmap(self._fd, size)
        if not known:
            np.frombuffer(memory, np.uint8, (SLOTS * MESSAGE.itemsize), _HEADER_ROOM + SLOTS * (HEAD + REST)).view(
                MESSAGE
            )["name_length"] = NAME_ROOM
            memory[: len(header)] = header
        return memory

    def _rescue(self) -> None:
        """Copy what the noted calls of a predecessor had filled; anything inconsistent is left alone."""
        filled = self.all.messages["name_length"] != NAME_ROOM
        calls = np.flatnonzero(self._starts != _UNUSED)
        starts = [*self._starts[calls].tolist(), SLOTS]
        for call, start, following in zip(calls.tolist(), starts[:-1], starts[1:], strict=True):
            run = filled[start : min(following, start + PER_CALL)]
            if not run.size or not run[0]:
                continue
            stop = start + (len(run) if run.all() else int(np.argmin(run)))
            self.recovered.setdefault(int(self._noted[call]), []).append(self.all.take(start, stop).copy())

    @property
    def outlives(self) -> bool:
        """Say whether a successor will find this memory."""
        return self._fd >= 0

    def note(self, ports: NDArray[np.uint32]) -> None:
        """Say which sockets the next calls are for, in their order; at most `MAX_CALLS`."""
        self._noted_calls = len(ports)
        self._noted[: len(ports)] = ports

    def fill(self, sockets: Sequence[int], first: int) -> int:
        """Receive from sockets[first:], `PER_CALL` datagrams at most from each, until the arena may not hold more.

        Returns the index of the first socket that had no turn. `counts(first, that)` then tells what each one gave.
        """
        # The one loop that runs for each socket: everything it names is local.
        used, room, per_call, flags, take = self.used, SLOTS - PER_CALL, PER_CALL, MSG_DONTWAIT, receive
        notes, pointers, call = self._notes, self._pointers, first
        for call in range(first, len(sockets)):
            if used > room:
                break
            notes[call] = used
            got = take(sockets[call], pointers[used], per_call, flags, None)
            if got > 0:
                used += got
            elif got < 0 and last_error() not in TRANSIENT:
                raise LostError(f"receiving: {os.strerror(last_error())}")
        else:
            call = len(sockets)
        self.used = used
        return call

    def take_one(self, fd: int, noted: int) -> Slots | None:
        """Receive from one socket once; return copies, or None when there is nothing."""
        self.note(np.array([noted], np.uint32))
        self.fill([fd], 0)
        found = self.filled().copy() if self.used else None
        self.give_back()
        return found

    def counts(self, first: int, stop: int) -> NDArray[np.int64]:
        """Return how many datagrams each of the calls [first, stop) brought."""
        edges = np.empty(stop - first + 1, np.int64)
        edges[:-1] = self._starts[first:stop]
        edges[-1] = self.used
        counts: NDArray[np.int64] = edges[1:] - edges[:-1]
        return counts

    def filled(self) -> Slots:
        """Return views of everything received since the arena was given back."""
        return self.all.take(0, self.used)

    def give_back(self, slots: int | None = None) -> None:
        """Forget the datagrams: they are in their captures, or are not wanted."""
        used = self.used if slots is None else slots
        messages = self.all.messages
        # The marks of receipt go first: from here on a successor would find nothing.
        messages["name_length"][:used] = NAME_ROOM
        messages["control_length"][:used] = CONTROL_ROOM
        self._starts[: self._noted_calls] = _UNUSED
        self.used = 0

    def close(self) -> None:
        """Let another process have the file."""
        if self._fd >= 0:
            # The mapping holds a descriptor of its own, so the lock must be given up by name.
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            self._forget_file()

    def _forget_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _region_sizes(port_rows: int) -> list[int]:
    return [
        SLOTS * HEAD,
        SLOTS * REST,
        SLOTS * MESSAGE.itemsize,
        SLOTS * 32,
        SLOTS * NAME_ROOM,
        SLOTS * CONTROL_ROOM,
        (MAX_CALLS + 2) * 4,
        (MAX_CALLS + 2) * 4,
        port_rows * 8,
        port_rows * PORT_ROOM,
        port_rows * PORT_ROOM,
        port_rows,
    ]


def _split(memory: NDArray[np.uint8], sizes: Sequence[int]) -> list[NDArray[np.uint8]]:
    edges = _HEADER_ROOM + np.cumsum([0, *sizes])
    return [memory[start:stop] for start, stop in itertools.pairwise(edges)]


def _wire(datagrams: Slots, vectors: NDArray[np.uint64]) -> None:
    """Point every message at its slot, name and control space: addresses of this process, so anew at every start."""
    slot = np.arange(SLOTS, dtype=np.uint64)
    vectors[:, 0, 0] = datagrams.heads.ctypes.data + slot * np.uint64(HEAD)
    vectors[:, 0, 1] = HEAD
    vectors[:, 1, 0] = datagrams.rests.ctypes.data + slot * np.uint64(REST)
    vectors[:, 1, 1] = REST
    messages = datagrams.messages
    messages["name"] = datagrams.names.ctypes.data + slot * np.uint64(NAME_ROOM)
    messages["vectors"] = vectors.ctypes.data + slot * np.uint64(32)
    messages["vector_count"] = 2
    messages["control"] = datagrams.controls.ctypes.data + slot * np.uint64(CONTROL_ROOM)


class Discarder:
    """Empties sockets whose payload is not wanted: the kernel is given no memory to copy it into."""

    def __init__(self) -> None:
        self._messages = np.zeros(PER_CALL, MESSAGE)
        self._pointer = ctypes.c_void_p(self._messages.ctypes.data)

    def discard(self, fd: int, limit: int) -> int:
        """Drop what waits in a socket, `limit` datagrams at most (rounded up to a whole call); return how many."""
        dropped = 0
        while dropped < limit:
            got = receive(fd, self._pointer, PER_CALL, MSG_DONTWAIT, None)
            dropped += max(got, 0)
            if got < PER_CALL:
                break
        return dropped
