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

from media.container.layout import RECORD, BlockType, RecordFlag
from media.rtp.packet import is_rtp
from media.writer.arena import Datagrams
from media.writer.batch import Batch
from media.writer.kernel import CONTROL_TIME, MSG_TRUNC, source_keys
from media.writer.packing import pack
from media.writer.sifting import RTCP_FIRST, RTCP_TYPES, Sifter
from media.writer.sources import SwitchPolicy
from media.writer.stream import LiveSession, LiveStream
from media.writer.table import FLAG_SHIFT, PortTable

_NANOSECONDS: Final = 1_000_000_000


class Intake:
    """Takes batches of datagrams for the sessions of one writer.

    Args:
        table: columns by port row.
        sessions: open sessions by slot; grows and changes outside.
        streams: open streams by port row; None for a row without one.
        told_drops: drop counters already told, shape (rows, 2).
        policy: silences of the source lock.
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
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._table = table
        self._sessions = sessions
        self._wall_ns = wall_ns
        self.sifter = Sifter(table, sessions, streams, told_drops=told_drops, policy=policy, wall_ns=wall_ns)
        self.packets = 0
        """RTP packets appended since start."""

    @property
    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped at our sockets since start."""
        return self.sifter.kernel_drops

    def take_rtp(
        self, datagrams: Datagrams, rows: NDArray[np.int64], counts: NDArray[np.int64], *, recovered: bool = False
    ) -> None:
        """Append what came on RTP sockets.

        Args:
            datagrams: in the order of receipt, socket by socket.
            rows: port row of each socket; sockets of one session are neighbours.
            counts: datagrams of each socket.
            recovered: saved from a dead predecessor.

        """
        batch = self._batch(datagrams, np.repeat(rows, counts), recovered=recovered)
        chosen: NDArray[np.int64] | None = None
        if not self._ordinary(batch).all():
            chosen, rtcp = self.sifter.sift(batch)
            self._append(BlockType.RTCP, batch, rtcp)
        self._append(BlockType.PACKETS, batch, chosen)

    def take_rtcp(
        self, datagrams: Datagrams, rows: NDArray[np.int64], counts: NDArray[np.int64], *, recovered: bool = False
    ) -> None:
        """Append what came on RTCP sockets; arguments as for `take_rtp`."""
        batch = self._batch(datagrams, np.repeat(rows, counts), recovered=recovered)
        self._append(BlockType.RTCP, batch, self.sifter.sift_rtcp(batch))

    def _batch(self, datagrams: Datagrams, rows: NDArray[np.int64], *, recovered: bool) -> Batch:
        messages, controls = datagrams.messages, datagrams.controls
        marks = self._table.mark[rows]
        if recovered:
            marks |= int(RecordFlag.RECOVERED) << FLAG_SHIFT
        return Batch(
            datagrams=datagrams,
            rows=rows,
            lengths=messages["length"].astype(np.int64),
            keys=source_keys(datagrams.names, messages["name_length"]),
            ssrcs=datagrams.heads.view(np.uint32)[:, 2],
            # One cmsghdr of two words, then a timespec.
            arrival_ns=controls[:, 2] * _NANOSECONDS + controls[:, 3],
            marks=marks,
        )

    def _ordinary(self, batch: Batch) -> NDArray[np.bool_]:
        table, messages = self._table, batch.datagrams.messages
        ordinary = is_rtp(batch.datagrams.heads[:, 0], batch.lengths)
        ordinary &= (batch.datagrams.heads[:, 1] - RTCP_FIRST) >= RTCP_TYPES
        ordinary &= batch.keys == table.source_key[batch.rows]
        ordinary &= batch.ssrcs == table.ssrc[batch.rows]
        ordinary &= messages["control_length"] == CONTROL_TIME
        ordinary &= (messages["flags"] & MSG_TRUNC) == 0
        return ordinary

    def _append(self, kind: BlockType, batch: Batch, chosen: NDArray[np.int64] | None) -> None:
        if chosen is not None and chosen.size == 0:
            return
        rows, lengths, arrival_ns, marks = batch.rows, batch.lengths, batch.arrival_ns, batch.marks
        if chosen is not None:
            rows, lengths, arrival_ns, marks = rows[chosen], lengths[chosen], arrival_ns[chosen], marks[chosen]
        packed = pack(batch.datagrams, chosen, lengths, arrival_ns, marks)
        runs = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
        if kind is BlockType.PACKETS:
            self._count(rows[runs], runs, lengths, arrival_ns)
        slots = self._table.session[rows[runs]]
        first = np.concatenate(([True], slots[1:] != slots[:-1]))
        starts = runs[first]
        stops = np.concatenate((starts[1:], [len(rows)]))
        written_ns = self._wall_ns()
        size = RECORD.itemsize
        records, data = packed.records, packed.data
        for slot, start, stop, left, right in zip(
            slots[first].tolist(),
            starts.tolist(),
            stops.tolist(),
            packed.edges[starts].tolist(),
            packed.edges[stops].tolist(),
            strict=True,
        ):
            session = self._sessions[slot]
            if session is not None:
                session.file.append(
                    kind, records[start * size : stop * size], data[left:right], stop - start, written_ns
                )

    def _count(
        self,
        rows: NDArray[np.int64],
        runs: NDArray[np.int64],
        lengths: NDArray[np.int64],
        arrival_ns: NDArray[np.int64],
    ) -> None:
        """Add a batch to the counters; a row has one run in it, as each socket has one turn."""
        table = self._table
        stops = np.concatenate((runs[1:], [len(lengths)]))
        table.packets[rows] += stops - runs
        table.octets[rows] += np.add.reduceat(lengths, runs)
        table.last_arrival_ns[rows] = arrival_ns[stops - 1]
        fresh = table.first_arrival_ns[rows] == 0
        if fresh.any():
            table.first_arrival_ns[rows[fresh]] = arrival_ns[runs[fresh]]
        self.packets += len(lengths)
