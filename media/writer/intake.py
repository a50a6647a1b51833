"""From received datagrams to appended blocks: the vectorised common path, and the sorting out of everything else.

A batch in which every datagram is RTP from the accepted source with the SSRC of before costs a few numpy operations.
Only datagrams that differ are looked at more closely, by groups, never one by one. RFC 3550 A.1 and §8.2, RFC 5761 §4.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.container.layout import BLOCK, RECORD, BlockType, RecordFlag
from media.rtp.packet import FIXED_HEADER
from media.writer.batch import Batch
from media.writer.datagrams import Received
from media.writer.decryption import Decryption
from media.writer.kernel import CONTROL_TIME
from media.writer.masking import Masking
from media.writer.packing import Packed, pack
from media.writer.reporter import Reporter
from media.writer.sifting import RTCP_FIRST, RTCP_TYPES, Sifter
from media.writer.sources import SwitchPolicy
from media.writer.standstill import Standstill
from media.writer.stream import LiveSession, LiveStream
from media.writer.table import FLAG_SHIFT, PortTable

_QUIET: Final = np.array([CONTROL_TIME, 0], np.uint64)
"""State of a datagram that came with its time, whole, at a socket that has never dropped one."""
_NEVER: Final = 1 << 32


def _shortest() -> NDArray[np.int64]:
    """Return how long a datagram must be at least to be ordinary RTP, by its first two octets (RFC 3550 A.1)."""
    octets = np.arange(1 << 16)
    first, second = octets & 0xFF, octets >> 8
    needed = FIXED_HEADER + 4 * (first & 0x0F) + ((first & 0x10) >> 2)
    in_region = (second >= int(RTCP_FIRST)) & (second < int(RTCP_FIRST) + int(RTCP_TYPES))
    needed[((first & 0xC0) != 0x80) | in_region] = _NEVER
    return needed


_SHORTEST: Final = _shortest()


class Intake:
    """Takes batches of datagrams for the sessions of one writer.

    Args:
        table: columns by port row.
        sessions: open sessions by slot; grows and changes outside.
        streams: open streams by port row; None for a row without one.
        told_drops: drop counters already told, shape (rows, 2).
        policy: silences of the source lock.
        decryption: opens what protected streams receive; None where there are none.
        masking: takes keyed digits out; None where that is nobody's policy.
        reporter: looks at what is appended while it has reports to make; None where none are sent.
        standstill: while its decision is waited for, what was being read when it came is kept back; None: never.
        wall_ns: wall clock.

    Errors: `CaptureLost` when a capture cannot be written.

    """

    def __init__(
        self,
        table: PortTable,
        sessions: Sequence[LiveSession | None],
        streams: Sequence[LiveStream | None],
        *,
        told_drops: NDArray[np.uint32],
        policy: SwitchPolicy,
        decryption: Decryption | None = None,
        masking: Masking | None = None,
        reporter: Reporter | None = None,
        standstill: Standstill | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._table = table
        self._sessions = sessions
        self._wall_ns = wall_ns
        self._decryption = decryption
        self._masking = masking
        self._reporter = reporter
        self._streams = streams
        self._standstill = standstill
        self._withheld: list[tuple[bool, Received, NDArray[np.int64], NDArray[np.int64]]] = []
        """Whether it is RTP, and the arguments of `take_rtp` or `take_rtcp`; at most what one visit brings."""
        self.sifter = Sifter(
            table,
            sessions,
            streams,
            told_drops=told_drops,
            policy=policy,
            statistics=reporter.statistics if reporter else None,
            wall_ns=wall_ns,
        )
        self.packets = 0
        """RTP packets appended since start."""

    @property
    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped at our sockets since start."""
        return self.sifter.kernel_drops

    def take_rtp(
        self, datagrams: Received, rows: NDArray[np.int64], counts: NDArray[np.int64], *, recovered: bool = False
    ) -> None:
        """Append what came on RTP sockets.

        Args:
            datagrams: port by port, those of one port in the order of receipt.
            rows: these ports, none twice; ports of one session are neighbours.
            counts: datagrams of each port.
            recovered: saved from a dead predecessor.

        """
        if not len(datagrams) or self._withhold(datagrams, rows, counts, rtp=True):
            return
        batch = self._batch(datagrams, rows, counts, recovered=recovered)
        if self._decryption:
            self._decryption.open_rtp(batch)
        if self._masking:
            self._masking.mask(batch)
        if self._ordinary(batch):
            self._append(BlockType.PACKETS, batch)
        else:
            rtp, rtcp = self.sifter.sift(batch)
            self._append_chosen(BlockType.RTCP, batch, rtcp)
            self._append_chosen(BlockType.PACKETS, batch, rtp)

    def take_rtcp(
        self, datagrams: Received, rows: NDArray[np.int64], counts: NDArray[np.int64], *, recovered: bool = False
    ) -> None:
        """Append what came on RTCP sockets; arguments as for `take_rtp`."""
        if self._withhold(datagrams, rows, counts, rtp=False):
            return
        batch = self._batch(datagrams, rows, counts, recovered=recovered)
        if self._decryption:
            self._decryption.open_rtcp(batch)
        self._append_chosen(BlockType.RTCP, batch, self.sifter.sift_rtcp(batch))

    def release(self) -> None:
        """Take what was kept back, but for RTP of streams that are not recorded any more."""
        withheld, self._withheld = self._withheld, []
        for rtp, datagrams, rows, counts in withheld:
            if not rtp:
                self.take_rtcp(datagrams, rows, counts)
                continue
            streams = [self._streams[row] for row in rows.tolist()]
            kept = np.array([stream is not None and stream.spec.recording for stream in streams], np.bool_)
            self._table.paused[rows[~kept]] += counts[~kept]
            positions = np.flatnonzero(np.repeat(kept, counts))
            self.take_rtp(datagrams.chosen(positions), rows[kept], counts[kept])

    def _withhold(self, datagrams: Received, rows: NDArray[np.int64], counts: NDArray[np.int64], *, rtp: bool) -> bool:
        """Keep datagrams back if the process stood still while it read them: some of them came meanwhile."""
        if self._standstill is None or not self._standstill.look():
            return False
        self._withheld.append((rtp, datagrams.copy(), rows.copy(), counts.copy()))
        return True

    def _batch(
        self, datagrams: Received, rows: NDArray[np.int64], counts: NDArray[np.int64], *, recovered: bool
    ) -> Batch:
        columns = datagrams.columns()
        marks = np.repeat(self._table.mark[rows], counts)
        if recovered:
            marks |= int(RecordFlag.RECOVERED) << FLAG_SHIFT
        return Batch(
            datagrams=datagrams,
            calls=rows,
            counts=counts,
            lengths=columns.lengths,
            keys=columns.keys,
            words=columns.words,
            states=columns.states,
            arrival_ns=columns.arrival_ns,
            marks=marks,
        )

    def _ordinary(self, batch: Batch) -> bool:
        table, calls, counts = self._table, batch.calls, batch.counts
        return bool(
            batch.authentic is None
            and (batch.states == _QUIET).all()
            and (batch.lengths >= _SHORTEST[batch.words.view(np.uint16)[:, 0]]).all()
            and (batch.keys == np.repeat(table.source_key[calls], counts)).all()
            and (batch.ssrcs == np.repeat(table.ssrc[calls], counts)).all()
        )

    def _append(self, kind: BlockType, batch: Batch) -> None:
        """Append every datagram of a batch."""
        packed = pack(batch.datagrams, None, batch.lengths, batch.arrival_ns, batch.marks)
        some = batch.counts > 0
        rows, counts = batch.calls[some], batch.counts[some]
        if self._reporter and self._reporter.waiting:
            self._reporter.observe(batch, None, rows, counts)
        self._count(rows, counts, batch.lengths, batch.arrival_ns, batch.words[:, 0])
        self._write(kind, packed, rows, counts)

    def _append_chosen(self, kind: BlockType, batch: Batch, chosen: NDArray[np.int64]) -> None:
        """Append some datagrams of a batch, in their order."""
        if not chosen.size:
            return
        lengths, arrival_ns = batch.lengths[chosen], batch.arrival_ns[chosen]
        packed = pack(batch.datagrams, chosen, lengths, arrival_ns, batch.marks[chosen])
        spread = batch.rows()[chosen]
        starts = np.flatnonzero(np.concatenate(([True], spread[1:] != spread[:-1])))
        rows, counts = spread[starts], np.diff(starts, append=len(spread))
        if self._reporter and kind is BlockType.RTCP:
            self._reporter.statistics.sender_report(batch, chosen, spread)
        elif self._reporter and self._reporter.waiting:
            self._reporter.observe(batch, chosen, rows, counts)
        if kind is BlockType.PACKETS:
            self._count(rows, counts, lengths, arrival_ns, batch.words[chosen, 0])
        self._write(kind, packed, rows, counts)

    def _write(self, kind: BlockType, packed: Packed, rows: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Append one block to each session; `rows` are its ports, and `counts` their packets, in order."""
        slots = self._table.session[rows]
        first = np.concatenate(([True], slots[1:] != slots[:-1]))
        starts = (np.cumsum(counts) - counts)[first]
        stops = np.append(starts[1:], len(packed.edges) - 1)
        left, right = packed.edges[starts], packed.edges[stops]
        size = RECORD.itemsize
        headers = np.zeros(len(starts), BLOCK)
        headers["type"] = kind
        headers["count"] = stops - starts
        headers["length"] = (stops - starts) * size + right - left
        headers["written"] = self._wall_ns()
        sealing, records, data = headers.view(np.uint8).data, packed.records, packed.data
        width = BLOCK.itemsize
        at = 0
        for slot, start, stop, begin, end in zip(
            slots[first].tolist(),
            (starts * size).tolist(),
            (stops * size).tolist(),
            left.tolist(),
            right.tolist(),
            strict=True,
        ):
            session = self._sessions[slot]
            if session is not None:
                session.file.append(sealing[at : at + width], records[start:stop], data[begin:end])
            at += width

    def _count(
        self,
        rows: NDArray[np.int64],
        counts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        arrival_ns: NDArray[np.int64],
        first_words: NDArray[np.uint32],
    ) -> None:
        """Add packets to the counters of their ports."""
        table = self._table
        stops = np.cumsum(counts)
        starts = stops - counts
        table.packets[rows] += counts
        table.octets[rows] += np.add.reduceat(lengths, starts)
        table.last_arrival_ns[rows] = arrival_ns[stops - 1]
        table.last_word[rows] = first_words[stops - 1]
        fresh = table.first_arrival_ns[rows] == 0
        if fresh.any():
            table.first_arrival_ns[rows[fresh]] = arrival_ns[starts[fresh]]
        self.packets += len(lengths)
