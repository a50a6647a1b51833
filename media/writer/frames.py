"""Datagrams as they lie in the frames of a packet ring: IP packets at a fixed place, read by numpy. Arrays only.

RFC 768, RFC 791 and RFC 8200 as far as a receiver needs them. `straighten` brings the rare packet with IP options into
the common form, so that everything behind it knows one place for everything.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.writer.datagrams import Columns
from media.writer.kernel import CONTROL_TIME, MSG_TRUNC, four_keys, mapped_keys, six_keys
from media.writer.packet_socket import DATA
from media.writer.ring import STATUS_CHECKED, STATUS_COPY

UDP_HEADER: Final = 8
_NANOSECONDS: Final = 1_000_000_000
_LOOKED_AT: Final = 16
"""Bytes of a datagram that are looked at."""
_UDP: Final = 17
_QUIET: Final = np.array([CONTROL_TIME, 0], np.uint64)
_WORD32: Final = np.uint64(0xFFFF_FFFF)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in a frame of one IP version, without options."""

    family: int
    udp: int
    """Byte of the frame at which the UDP header begins."""
    plain_mask: np.uint64
    plain: np.uint64
    """What the first 8 bytes of the IP header, masked, are if it has no options and the packet is no fragment."""

    @property
    def payload(self) -> int:
        """Return the byte of the frame at which the datagram begins."""
        return self.udp + UDP_HEADER

    @property
    def source(self) -> int:
        """Return the byte of the frame at which the source address begins; the destination follows."""
        return self.udp - 2 * self.address

    @property
    def address(self) -> int:
        """Return bytes of an address."""
        return 4 if self.family == socket.AF_INET else 16

    @property
    def header(self) -> int:
        """Return bytes from the beginning of the IP packet to the datagram."""
        return self.payload - DATA


LAYOUTS: Final = {
    # Version and header length; more-fragments bit and fragment offset.
    socket.AF_INET: Layout(socket.AF_INET, DATA + 20, np.uint64(0xFFBF_0000_0000_00FF), np.uint64(0x45)),
    # Version; next header.
    socket.AF_INET6: Layout(socket.AF_INET6, DATA + 40, np.uint64(0x00FF_0000_0000_00F0), np.uint64(0x60 | _UDP << 48)),
}


class Heads:
    """The beginnings of frames, copied: what is looked at of every packet, read from the ring once and in its order.

    Args:
        memory: bytes, in which frames lie.
        frames: views of it, shape (n, width of a frame) each; at least one.
        starts: where each of these frames begins in the memory.
        layout: of every one of them.
        family: address family of the ports' sockets, in whose form sources are told.

    """

    def __init__(
        self,
        memory: NDArray[np.uint8],
        frames: Sequence[NDArray[np.uint8]],
        starts: NDArray[np.int64],
        layout: Layout,
        family: int,
    ) -> None:
        width = (layout.payload + _LOOKED_AT + 7) // 8 * 8
        self._octets = np.concatenate([several[:, :width] for several in frames])
        self._memory, self._starts, self._layout, self._family = memory, starts, layout, family
        words = self._octets.view(np.uint64)
        self.copied: NDArray[np.bool_] = (words[:, 0] & np.uint64(STATUS_COPY)) != 0
        """Those whose whole packet is in the socket's queue."""
        self.plain: NDArray[np.bool_] = (words[:, DATA // 8] & layout.plain_mask) == layout.plain
        """Those without IP options that are no fragment; of the others only these two columns are right."""
        self.ports: NDArray[np.uint16] = self._octets.view(np.uint16)[:, (layout.udp + 2) // 2]
        """Destination ports as they lie in the header."""

    def datagrams(self, positions: NDArray[np.int64]) -> FrameDatagrams:
        """Return what some of the frames hold."""
        layout, place = self._layout, self._layout.udp // 2
        octets = self._octets.take(positions, axis=0)
        meta, halves = octets.view(np.uint64)[:, :3], octets.view(np.uint16)
        lengths = halves[:, place + 2].byteswap().astype(np.int64) - UDP_HEADER
        there = (meta[:, 0] >> np.uint64(32)).astype(np.int64) - layout.header
        captured = (meta[:, 1] & _WORD32).astype(np.int64) - layout.header
        cut = lengths > captured
        checked = (meta[:, 0] & np.uint64(STATUS_CHECKED)) != 0
        seconds, nanoseconds = meta[:, 2] & _WORD32, meta[:, 2] >> np.uint64(32)
        return FrameDatagrams(
            memory=self._memory,
            starts=self._starts[positions],
            layout=layout,
            family=self._family,
            bad=(lengths < 0) | (lengths > there),
            cut=cut,
            unchecked=~(checked | cut | (halves[:, place + 3] == 0)),
            lengths=np.minimum(lengths, captured),
            keys=_keys(octets, layout, self._family),
            words=octets.view(np.uint32)[:, layout.payload // 4 : layout.payload // 4 + 4].copy(),
            arrival_ns=seconds.astype(np.int64) * _NANOSECONDS + nanoseconds.astype(np.int64),
        )

    def blank(self, positions: NDArray[np.int64], width: int) -> None:
        """Overwrite some of the datagrams where they lie, in frames of `width` bytes: nothing of them is left there."""
        size = width - self._layout.payload
        places = np.ndarray((len(self._memory) - size + 1,), np.dtype((np.void, size)), self._memory, 0, (1,))
        places[self._starts[positions] + self._layout.payload] = bytes(size)


def _keys(octets: NDArray[np.uint8], layout: Layout, family: int) -> NDArray[np.uint64]:
    ports = octets.view(np.uint16)[:, layout.udp // 2]
    if layout.family == socket.AF_INET6:
        parts = octets.view(np.uint64)
        return six_keys(ports, parts[:, layout.source // 8], parts[:, layout.source // 8 + 1])
    hosts = octets.view(np.uint32)[:, layout.source // 4]
    return (four_keys if family == socket.AF_INET else mapped_keys)(ports, hosts)


@dataclass(slots=True, eq=False, kw_only=True)
class FrameDatagrams:
    """Datagrams in the frames of one memory; implements `Datagrams`. Columns have one entry per datagram."""

    memory: NDArray[np.uint8]
    """Bytes, in which frames lie."""
    starts: NDArray[np.int64]
    """Where each frame begins, in the order of the batch."""
    layout: Layout
    """Of every one of them."""
    family: int
    """Address family of the ports' sockets, in whose form sources are told."""
    bad: NDArray[np.bool_]
    """Not whole; after `verify` also what is not as its checksum says."""
    cut: NDArray[np.bool_]
    """Longer than what is there of it."""
    unchecked: NDArray[np.bool_]
    """Nobody has looked at its checksum."""
    lengths: NDArray[np.int64]
    keys: NDArray[np.uint64]
    words: NDArray[np.uint32]
    arrival_ns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def verify(self) -> None:
        """Look at the checksums that the interface has not looked at, and call datagrams bad where they are wrong."""
        if self.unchecked.any():
            doubtful = np.flatnonzero(self.unchecked & ~self.bad)
            self.bad[doubtful] = self._sums(doubtful) != 0xFFFF
            self.unchecked[:] = False

    def columns(self) -> Columns:
        """Return what is looked at of every datagram."""
        states = np.broadcast_to(_QUIET, (len(self), 2))
        if self.cut.any():
            states = states.copy()
            states[self.cut, 1] = MSG_TRUNC
        return Columns(
            lengths=self.lengths, keys=self.keys, words=self.words, states=states, arrival_ns=self.arrival_ns
        )

    def name(self, position: int) -> bytes:
        """Return one source as a packed socket address."""
        layout, start = self.layout, int(self.starts[position])
        port: bytes = self.memory[start + layout.udp :][:2].tobytes()
        host: bytes = self.memory[start + layout.source :][: layout.address].tobytes()
        if self.family == socket.AF_INET:
            return bytes((2, 0)) + port + host + bytes(8)
        mapped = bytes(10) + b"\xff\xff" if layout.family == socket.AF_INET else b""
        return bytes((10, 0)) + port + bytes(4) + mapped + host + bytes(4)

    def drop_counters(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return zeros: drops are those of the whole ring."""
        return np.zeros(len(positions), np.int64)

    def lay_out(
        self, chosen: NDArray[np.int64] | None, lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Copy chosen datagrams back to back; see `Datagrams`."""
        starts = (self.starts if chosen is None else self.starts[chosen]) + self.layout.payload
        edges = np.zeros(len(starts) + 1, np.int64)
        np.cumsum(lengths, out=edges[1:])
        if len(lengths) and (lengths == lengths[0]).all():
            return gather(self.memory, starts, int(lengths[0])), edges
        data = np.empty(int(edges[-1]), np.uint8)
        for size in np.unique(lengths).tolist():
            if size:
                members = np.flatnonzero(lengths == size)
                whole = np.dtype((np.void, size))
                places = np.ndarray((len(data) - size + 1,), whole, data, 0, (1,))
                places[edges[members]] = gather(self.memory, starts[members], size).view(whole)
        return data, edges

    def chosen(self, positions: NDArray[np.int64]) -> FrameDatagrams:
        """Return some of the datagrams."""
        return dataclasses.replace(self, **{name: getattr(self, name).take(positions, axis=0) for name in _COLUMNS})

    def copy(self) -> FrameDatagrams:
        """Return the same datagrams in memory of their own."""
        width = self.layout.payload + int(self.lengths.max(initial=0))
        frames = gather(self.memory, self.starts, width)
        starts = np.arange(len(self), dtype=np.int64) * width
        return dataclasses.replace(self, memory=frames, starts=starts)

    def _sums(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the ones' complement sums over pseudo header and datagram; 0xFFFF where they are right (RFC 768)."""
        told = self.lengths[positions] + UDP_HEADER
        width = (int(told.max(initial=0)) + 1) // 2 * 2
        udp = gather(self.memory, self.starts[positions] + self.layout.udp, width).reshape(-1, width)
        udp[np.arange(width) >= told[:, None]] = 0
        hosts = gather(self.memory, self.starts[positions] + self.layout.source, 2 * self.layout.address)
        hosts = hosts.reshape(-1, 2 * self.layout.address)
        total = udp.view(">u2").sum(axis=1, dtype=np.int64) + hosts.view(">u2").sum(axis=1, dtype=np.int64)
        total += told + _UDP
        total = (total & 0xFFFF) + (total >> 16)
        folded: NDArray[np.int64] = (total & 0xFFFF) + (total >> 16)
        return folded


_COLUMNS: Final = ("starts", "bad", "cut", "unchecked", "lengths", "keys", "words", "arrival_ns")


def gather(memory: NDArray[np.uint8], starts: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Copy `width` bytes from each start, back to back: one memory copy for each, whatever the width."""
    if not width or not len(starts):
        return np.empty(0, np.uint8)
    # Every place of the memory as the beginning of an opaque element.
    places = np.ndarray((len(memory) - width + 1,), np.dtype((np.void, width)), memory, 0, (1,))
    return places[starts].view(np.uint8)


def straighten(frames: NDArray[np.uint8]) -> None:
    """Take the IP options out of IPv4 frames.

    Args:
        frames: shape (n, width).

    """
    lengths = (frames[:, DATA] & 0x0F).astype(np.int64) * 4
    for length in np.unique(lengths[lengths > 20]).tolist():
        those = np.flatnonzero(lengths == length)
        extra = length - 20
        moved = frames[those, DATA + length :]
        frames[those[:, None], np.arange(DATA + 20, DATA + 20 + moved.shape[1])] = moved
        sizes = frames[those, 4:12].copy().view(np.uint32) - np.uint32(extra)
        frames[those, 4:12] = sizes.view(np.uint8).reshape(-1, 8)
        frames[those, DATA] = 0x45
