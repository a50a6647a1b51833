"""Opens the packets of protected streams between receipt and acceptance: one library call a packet, the rest by batch.

Packets are opened in memory of this process, never where they were received: what a crash leaves there is as it came,
so that a successor can open it again, and no clear packet lies in shared memory. RFC 3711 §3.3, RFC 4568 §6.4.1.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.container import model
from media.rtp.packet import is_rtcp, is_rtp
from media.srtp import REPLAYED, open_rtp_at
from media.writer.batch import Batch
from media.writer.keyring import Index, Keyring
from media.writer.opened import Opened
from media.writer.protocol import Protection
from media.writer.stream import LiveSession, LiveStream
from media.writer.table import PortTable

RTCP_FIRST: Final = np.uint8(192)
RTCP_TYPES: Final = np.uint8(32)
_TRIED: Final = 4
"""Packets of one stream and batch for which other keys and counters are tried; a flood costs one call a packet."""
_TELL_NS: Final = 5_000_000_000
_NOTED_SOURCES: Final = 4

INDICES: Final = np.dtype([("ssrc", "<u4"), ("rollovers", "<u4"), ("sequence", "<u4"), ("mark", "<u4")])
"""Packet index of one source and the mark of its key; `mark` 0 is an empty place. Nothing of it is secret."""


class Decryption:
    """Opens what protected streams receive.

    Args:
        table: columns by port row.
        sessions: open sessions by slot.
        streams: open streams by port row.
        room: bytes, shape (rows, `PORT_ROOM`); outlives the process where a successor shall go on.

    """

    def __init__(
        self,
        table: PortTable,
        sessions: Sequence[LiveSession | None],
        streams: Sequence[LiveStream | None],
        room: NDArray[np.uint8],
    ) -> None:
        self._table = table
        self._sessions = sessions
        self._streams = streams
        self._indices = room.view(INDICES)
        self._protected = 0
        self._lengths = np.empty(0, np.int32)
        self._sizes: list[ctypes.c_void_p] = []

    # Streams

    def enter(self, stream: LiveStream, now_ns: int, *, adopt: bool) -> None:
        """Begin with the keys of a stream; `adopt` goes on with the packet indices that a predecessor noted."""
        noted = self._indices[stream.row]
        if not adopt:
            noted[:] = 0
        self._set(stream, stream.spec.protection, now_ns)

    def change(self, stream: LiveStream, now_ns: int) -> None:
        """Put the keys of a changed specification in force."""
        self._set(stream, stream.spec.protection, now_ns)

    def leave(self, stream: LiveStream, now_ns: int) -> None:
        """End with a stream; what is not yet told is told."""
        self._settle(stream, now_ns)
        self._set(stream, None, now_ns)
        self._indices[stream.row] = 0

    def _set(self, stream: LiveStream, protection: Protection | None, now_ns: int) -> None:
        self._protected += (protection is not None) - (stream.keyring is not None)
        self._table.protected[stream.row] = protection is not None
        if protection is None:
            stream.keyring = None
        elif stream.keyring is None:
            noted = self._indices[stream.row]
            used = noted[noted["mark"] != 0]
            indices = [Index(ssrc, rollovers, sequence) for ssrc, rollovers, sequence, _ in used.tolist()]
            mark = int(used["mark"][0]) if len(used) else 0
            stream.keyring = Keyring(protection, now_ns, indices, indexed_mark=mark)
        else:
            stream.keyring.change(protection, now_ns)

    # Batches

    def open_rtp(self, batch: Batch) -> None:
        """Open what came on RTP sockets; the batch then holds plain packets, and says what is not authentic."""
        if not self._protected or not self._table.protected[batch.calls].any():
            return
        edges = np.concatenate(([0], np.cumsum(batch.counts))).tolist()
        octets = batch.words.view(np.uint8)
        first, second = octets[:, 0], octets[:, 1]
        rows = batch.rows()
        known = self._table.payload_known[rows, second & 0x7F]
        rtp = is_rtp(first, batch.lengths) & (((second - RTCP_FIRST) >= RTCP_TYPES) | known)
        rtcp = ~rtp & is_rtcp(first, second, batch.lengths)
        opened = self._copy(batch)
        authentic = np.ones(len(opened), np.bool_)
        smooth: list[int] = []
        for call in np.flatnonzero(self._table.protected[batch.calls] & (batch.counts > 0)).tolist():
            stream = self._streams[int(batch.calls[call])]
            if stream is None or stream.keyring is None:
                continue
            start, stop = edges[call], edges[call + 1]
            quick = stream.keyring.active if rtp[start:stop].all() else None
            if quick is None:
                doubtful: Iterable[int] = np.flatnonzero((rtp | rtcp)[start:stop]).tolist()
            else:
                # The one call a packet.
                packets = map(ctypes.c_void_p, opened.addresses[start:stop].tolist())
                statuses = list(map(open_rtp_at, repeat(quick.handle), packets, self._sizes[start:stop]))
                if not any(statuses):
                    smooth.append(call)
                    continue
                doubtful = [place for place, status in enumerate(statuses) if status]
            places = np.array(doubtful, np.int64) + start
            refused = self._open_singly(batch, opened, stream, places, rtcp)
            authentic[refused] = False
            taken = np.flatnonzero(authentic[start:stop] & rtp[start:stop])
            if taken.size:
                self._note(batch, stream, start + int(taken[-1]))
        self._note_smooth(batch, np.array(smooth, np.int64), edges)
        self._finish(batch, opened, authentic)

    def open_rtcp(self, batch: Batch) -> None:
        """Open what came on RTCP sockets, as `open_rtp`."""
        if not self._protected or not self._table.protected[batch.calls].any():
            return
        opened, rows = self._copy(batch), batch.rows()
        authentic = np.ones(len(opened), np.bool_)
        everything = np.ones(len(opened), np.bool_)
        for call in np.flatnonzero(self._table.protected[batch.calls] & (batch.counts > 0)).tolist():
            row = int(batch.calls[call])
            stream = self._streams[row]
            if stream is not None and stream.keyring is not None:
                own = np.flatnonzero(rows == row)
                authentic[self._open_singly(batch, opened, stream, own, everything)] = False
        self._finish(batch, opened, authentic)

    def _copy(self, batch: Batch) -> Opened:
        """Copy a batch into our own memory."""
        count = len(batch.lengths)
        if count > len(self._lengths):
            self._lengths = np.empty(count, np.int32)
            self._sizes = [ctypes.c_void_p(self._lengths.ctypes.data + slot * 4) for slot in range(count)]
        self._lengths[:count] = batch.lengths
        data, edges = batch.datagrams.lay_out(None, batch.lengths)
        return Opened(batch.datagrams, data, edges[:-1])

    def _finish(self, batch: Batch, opened: Opened, authentic: NDArray[np.bool_]) -> None:
        batch.datagrams = opened
        batch.lengths = self._lengths[: len(opened)].astype(np.int64)
        batch.authentic = None if authentic.all() else authentic

    def _open_singly(
        self,
        batch: Batch,
        opened: Opened,
        stream: LiveStream,
        positions: NDArray[np.int64],
        rtcp: NDArray[np.bool_],
    ) -> list[int]:
        """Open packets one by one, under any key; return the positions of those that are not to be accepted."""
        keyring, table, row = stream.keyring, self._table, stream.row
        refused: list[int] = []
        if keyring is None or not positions.size:
            return refused
        keyring.heard_ns = int(table.last_arrival_ns[row])
        data, edges = opened.sealed.lay_out(positions, batch.lengths[positions])
        failed = 0
        for number, position in enumerate(positions.tolist()):
            at_ns = int(batch.arrival_ns[position])
            packet = data[edges[number] : edges[number + 1]].tobytes()
            attempt = keyring.open_rtcp if rtcp[position] else keyring.open_rtp
            result = attempt(packet, at_ns, thorough=failed < _TRIED)
            if isinstance(result, bytes):
                opened.put(position, result)
                self._lengths[position] = len(result)
                # Of a sender report more than the first words were not readable before.
                batch.words[position] = np.frombuffer(result[:16].ljust(16, b"\0"), np.uint32)
                continue
            refused.append(position)
            if result in REPLAYED:
                table.replayed[row] += 1
                continue
            failed += 1
            table.unauthentic[row] += 1
            keyring.untold_since_ns = keyring.untold_since_ns or at_ns
            keyring.untold += 1
        latest_ns = int(batch.arrival_ns[positions[-1]])
        if keyring.untold and latest_ns - keyring.told_ns >= _TELL_NS:
            self._settle(stream, latest_ns)
        return refused

    def _note_smooth(self, batch: Batch, calls: NDArray[np.int64], edges: list[int]) -> None:
        """Note the packet indices of runs of which every packet was opened; a wrap, or another source, singly."""
        if not calls.size:
            return
        rows = batch.calls[calls]
        last = np.array(edges, np.int64)[calls + 1] - 1
        sequence = batch.words[last, 0].astype(np.uint32).byteswap() & 0xFFFF
        latest = self._indices[rows, 0]
        onward = (latest["ssrc"] == batch.ssrcs[last].byteswap()) & (latest["sequence"] <= sequence)
        onward &= latest["mark"] != 0
        self._indices["sequence"][rows[onward], 0] = sequence[onward]
        for call in np.flatnonzero(~onward).tolist():
            stream = self._streams[int(rows[call])]
            if stream is not None:
                self._note(batch, stream, int(last[call]))

    def _note(self, batch: Batch, stream: LiveStream, position: int) -> None:
        """Note the packet index of the source that was heard last, in front of those before it."""
        head = batch.words[position].tobytes()
        ssrc, sequence = int.from_bytes(head[8:12], "big"), int.from_bytes(head[2:4], "big")
        index = stream.keyring.index(ssrc, sequence) if stream.keyring else None
        if stream.keyring is None or index is None:
            return
        noted, mark = self._indices[stream.row], stream.keyring.mark
        others = noted[(noted["ssrc"] != ssrc) & (noted["mark"] == mark)][: _NOTED_SOURCES - 1].copy()
        noted[:] = 0
        noted[1 : 1 + len(others)] = others
        noted[0] = (ssrc, index.rollovers, sequence, mark)

    def _settle(self, stream: LiveStream, at_ns: int) -> None:
        """Tell what did not authenticate."""
        keyring, slot = stream.keyring, int(self._table.session[stream.row])
        session = self._sessions[slot] if slot >= 0 else None
        if keyring is None or session is None or not keyring.untold:
            return
        session.file.event(
            model.Unauthentic(
                at_ns=max(at_ns, keyring.untold_since_ns),
                stream=stream.spec.index,
                packets=keyring.untold,
                since_ns=keyring.untold_since_ns,
            )
        )
        keyring.untold = keyring.untold_since_ns = 0
        keyring.told_ns = at_ns
