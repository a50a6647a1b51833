"""Datagrams as they lie in the frames of a packet ring: IP packets at a fixed place, read by numpy. Arrays only.

RFC 768, RFC 791 and RFC 8200 as far as a receiver needs them. `straighten` brings the rare packet with IP options into
the common form, so that everything behind it knows one place for everything.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.writer.datagrams import Columns
from media.writer.kernel import CONTROL_TIME, MSG_TRUNC, four_keys, mapped_keys, six_keys
from media.writer.packet_socket import DATA, FRAME
from media.writer.ring import STATUS_CHECKED

UDP_HEADER: Final = 8
_NANOSECONDS: Final = 1_000_000_000
_NETWORK: Final = 88
"""Where the part of a frame begins that holds addresses, ports and the first bytes of the payload; a multiple of 8."""
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
    def header(self) -> int:
        """Return bytes from the beginning of the IP packet to the datagram."""
        return self.payload - DATA


LAYOUTS: Final = {
    # Version and header length; more-fragments bit and fragment offset.
    socket.AF_INET: Layout(socket.AF_INET, DATA + 20, np.uint64(0xFFBF_0000_0000_00FF), np.uint64(0x45)),
    # Version; next header.
    socket.AF_INET6: Layout(socket.AF_INET6, DATA + 40, np.uint64(0x00FF_0000_0000_00F0), np.uint64(0x60 | _UDP << 48)),
}


class FrameDatagrams:
    """Chosen frames of one memory; implements `Datagrams`.

    Args:
        memory: bytes, in which frames lie.
        starts: where each frame begins, a multiple of 8; in the order of the batch.
        layout: of every one of them.
        family: address family of the ports' sockets, in whose form sources are told.

    """

    def __init__(self, memory: NDArray[np.uint8], starts: NDArray[np.int64], layout: Layout, family: int) -> None:
        self._memory = memory
        self.starts = starts
        self.layout = layout
        self._family = family
        count = len(starts)
        self._meta = gather(memory, starts, 32).view(np.uint64).reshape(count, 4)
        width = (layout.payload + 16 - _NETWORK + 7) // 8 * 8
        self._network = gather(memory, starts + _NETWORK, width).reshape(count, width)
        halves = self._network.view(np.uint16)
        place = (layout.udp - _NETWORK) // 2
        self.source_ports = halves[:, place]
        self._checksums = halves[:, place + 3]
        self._told = halves[:, place + 2].byteswap().astype(np.int64)
        """Length field of the UDP header."""
        there = (self._meta[:, 0] >> np.uint64(32)).astype(np.int64) - layout.header
        captured = (self._meta[:, 1] & _WORD32).astype(np.int64) - layout.header
        lengths = self._told - UDP_HEADER
        self.bad: NDArray[np.bool_] = (lengths < 0) | (lengths > there)
        """Not whole, or not what the checksum says."""
        self._cut = lengths > captured
        self.lengths = np.minimum(lengths, captured)
        unchecked = ((self._meta[:, 0] & np.uint64(STATUS_CHECKED)) == 0) & (self._checksums != 0) & ~self._cut
        if unchecked.any():
            doubtful = np.flatnonzero(unchecked & ~self.bad)
            self.bad[doubtful] = self._sums(doubtful) != 0xFFFF

    def __len__(self) -> int:
        return len(self.starts)

    def columns(self) -> Columns:
        """Return what is looked at of every datagram."""
        states = np.broadcast_to(_QUIET, (len(self), 2))
        if self._cut.any():
            states = states.copy()
            states[self._cut, 1] = MSG_TRUNC
        place = (self.layout.payload - _NETWORK) // 4
        seconds, nanoseconds = self._meta[:, 2] & _WORD32, self._meta[:, 2] >> np.uint64(32)
        return Columns(
            lengths=self.lengths,
            keys=self._keys(),
            words=self._network.view(np.uint32)[:, place : place + 4].copy(),
            states=states,
            arrival_ns=seconds.astype(np.int64) * _NANOSECONDS + nanoseconds.astype(np.int64),
        )

    def _keys(self) -> NDArray[np.uint64]:
        if self.layout.family == socket.AF_INET6:
            parts = self._network.view(np.uint64)
            return six_keys(self.source_ports, parts[:, 0], parts[:, 1])
        hosts = self._network.view(np.uint32)[:, 1]
        make = four_keys if self._family == socket.AF_INET else mapped_keys
        return make(self.source_ports, hosts)

    def name(self, position: int) -> bytes:
        """Return one source as a packed socket address."""
        port: bytes = self.source_ports[position].tobytes()
        six = self.layout.family == socket.AF_INET6
        host: bytes = self._network[position, slice(0, 16) if six else slice(4, 8)].tobytes()
        if self._family == socket.AF_INET:
            return bytes((2, 0)) + port + host + bytes(8)
        return bytes((10, 0)) + port + bytes(4) + (host if six else bytes(10) + b"\xff\xff" + host) + bytes(4)

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
            return gather(self._memory, starts, int(lengths[0])), edges
        data = np.empty(int(edges[-1]), np.uint8)
        for size in np.unique(lengths).tolist():
            if size:
                members = np.flatnonzero(lengths == size)
                whole = np.dtype((np.void, size))
                places = np.ndarray((len(data) - size + 1,), whole, data, 0, (1,))
                places[edges[members]] = gather(self._memory, starts[members], size).view(whole)
        return data, edges

    def chosen(self, positions: NDArray[np.int64]) -> FrameDatagrams:
        """Return some of the datagrams."""
        return FrameDatagrams(self._memory, self.starts[positions], self.layout, self._family)

    def copy(self) -> FrameDatagrams:
        """Return the same datagrams in memory of their own."""
        frames = gather(self._memory, self.starts, FRAME)
        starts = np.arange(len(self), dtype=np.int64) * FRAME
        return FrameDatagrams(frames, starts, self.layout, self._family)

    def _sums(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the ones' complement sums over pseudo header and datagram; 0xFFFF where they are right (RFC 768)."""
        told = self._told[positions]
        width = (int(told.max(initial=0)) + 1) // 2 * 2
        udp = gather(self._memory, self.starts[positions] + self.layout.udp, width).reshape(-1, width)
        udp[np.arange(width) >= told[:, None]] = 0
        source = DATA + (12 if self.layout.family == socket.AF_INET else 8)
        length = self.layout.udp - source
        hosts = gather(self._memory, self.starts[positions] + source, length).reshape(-1, length)
        total = udp.view(">u2").sum(axis=1, dtype=np.int64) + hosts.view(">u2").sum(axis=1, dtype=np.int64)
        total += told + _UDP
        total = (total & 0xFFFF) + (total >> 16)
        folded: NDArray[np.int64] = (total & 0xFFFF) + (total >> 16)
        return folded


def gather(memory: NDArray[np.uint8], starts: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Copy `width` bytes from each start, back to back: one memory copy for each, whatever the width."""
    if not width or not len(starts):
        return np.empty(0, np.uint8)
    # Every place of the memory as the beginning of an opaque element.
    places = np.ndarray((len(memory) - width + 1,), np.dtype((np.void, width)), memory, 0, (1,))
    return places[starts].view(np.uint8)


def straighten(frames: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return IPv4 frames with their IP options taken out, and which are the first part of a fragmented datagram.

    Args:
        frames: shape (n, width), copies.

    """
    fragments = (frames[:, DATA + 6] & 0x20).astype(bool)
    lengths = (frames[:, DATA] & 0x0F).astype(np.int64) * 4
    for length in np.unique(lengths[lengths > 20]).tolist():
        those = np.flatnonzero(lengths == length)
        extra = length - 20
        moved = frames[those, DATA + length :]
        frames[those[:, None], np.arange(DATA + 20, DATA + 20 + moved.shape[1])] = moved
        sizes = frames[those, 4:12].copy().view(np.uint32) - np.uint32(extra)
        frames[those, 4:12] = sizes.view(np.uint8).reshape(-1, 8)
        frames[those, DATA] = 0x45
    return frames, fragments
