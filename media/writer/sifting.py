"""Sorts the datagrams of a batch that is not ordinary: strangers, new SSRCs, RTCP, garbage, drops, cut datagrams.

Works by groups of equal (port, source) or (port, SSRC), and looks at a bounded number of groups in each batch, so that
a flood costs no more than a few numpy operations. RFC 3550 A.1 and §8.2, RFC 5761 §4.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.container import model
from media.container.layout import RecordFlag
from media.rtp.packet import is_rtcp, is_rtp
from media.writer.batch import Batch
from media.writer.kernel import CONTROL_TIME, CONTROL_TIME_DROPS, MSG_TRUNC, Address
from media.writer.sources import Acceptance, Stranger, SwitchPolicy
from media.writer.statistics import Statistics
from media.writer.stream import MAX_TOLD, LiveSession, LiveStream
from media.writer.table import FLAG_SHIFT, SOURCE_SHIFT, PortTable, pack_mark

RTCP_FIRST: Final = np.uint8(192)
RTCP_TYPES: Final = np.uint8(32)
"""Second octets 192 to 223 are RTCP (RFC 5761 §4)."""

_MAX_GROUPS: Final = 4
"""Strangers, and new SSRCs, of one port that are looked at in one batch; more are foreign, or kept untold."""
_MAX_RTCP: Final = 16
"""RTCP packets kept per port and batch. A source sends about one in 5 s (RFC 3550 §6.2)."""
_ROW_FACTOR: Final = np.uint64(secrets.randbits(64) | 1)
_KEY_FACTOR: Final = np.uint64(secrets.randbits(64) | 1)
"""Mix a port row and a source into one number that nobody outside can make collide."""
_SOURCE_BITS: Final = pack_mark(0, 0xFFFF, int(RecordFlag.PROVISIONAL))
"""What a mark owes to the accepted source."""
_WORD32: Final = 0xFFFF_FFFF
_NOTHING: Final = np.empty(0, np.int64)


class Sifter:
    """Decides about each datagram of a batch; arguments as for `Intake`."""

    def __init__(
        self,
        table: PortTable,
        sessions: Sequence[LiveSession | None],
        streams: Sequence[LiveStream | None],
        *,
        told_drops: NDArray[np.uint32],
        policy: SwitchPolicy,
        statistics: Statistics | None = None,
        wall_ns: Callable[[], int],
    ) -> None:
        self._table = table
        self._sessions = sessions
        self._streams = streams
        self._told_drops = told_drops
        self._policy = policy
        self._statistics = statistics
        self._wall_ns = wall_ns
        self.kernel_drops = 0
        """Datagrams dropped at RTP sockets of sessions since start."""

    def sift(self, batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the positions of the RTP and of the RTCP packets to keep; counts and tells the rest."""
        table, rows = self._table, batch.rows()
        self._repair(batch, rows, kind=0)
        first, second = _octets(batch)
        in_region = (second - RTCP_FIRST) < RTCP_TYPES
        # A negotiated payload type wins over the region: marker + 72..95 is RTP there if the session says so.
        usable = True if batch.authentic is None else batch.authentic
        rtp = usable & is_rtp(first, batch.lengths) & (~in_region | table.payload_known[rows, second & 0x7F])
        rtcp = usable & ~rtp & is_rtcp(first, second, batch.lengths)
        malformed = usable & ~(rtp | rtcp)
        if malformed.any():
            table.malformed += np.bincount(rows[malformed], minlength=len(table.malformed))
        keep = rtp & (batch.keys == table.source_key[rows])
        strange = np.flatnonzero(rtp & ~keep)
        if strange.size:
            self._judge_strangers(batch, rows, strange, keep)
        self._tell_ssrcs(batch, rows, np.flatnonzero(keep & (batch.ssrcs != table.ssrc[rows])))
        batch.marks[rtcp] |= int(RecordFlag.MUXED) << FLAG_SHIFT
        return np.flatnonzero(keep), self._admit_rtcp(batch, rows, np.flatnonzero(rtcp))

    def sift_rtcp(self, batch: Batch) -> NDArray[np.int64]:
        """Return the positions of the packets to keep of a batch from RTCP sockets."""
        rows = batch.rows()
        self._repair(batch, rows, kind=1)
        usable = True if batch.authentic is None else batch.authentic
        return self._admit_rtcp(batch, rows, np.flatnonzero(usable & is_rtcp(*_octets(batch), batch.lengths)))

    def _stream(self, row: int) -> tuple[LiveSession, LiveStream] | None:
        stream, slot = self._streams[row], int(self._table.session[row])
        session = self._sessions[slot] if slot >= 0 else None
        return None if stream is None or session is None else (session, stream)

    def _repair(self, batch: Batch, rows: NDArray[np.int64], *, kind: int) -> None:
        """Fill in missing times, flag cut datagrams, and tell drops; kind 0 is RTP, 1 is RTCP."""
        control, flags = batch.states[:, 0], batch.states[:, 1]
        untimed = np.flatnonzero(control < CONTROL_TIME)
        if untimed.size:
            batch.arrival_ns[untimed] = self._wall_ns()
            batch.marks[untimed] |= int(RecordFlag.NO_TIMESTAMP) << FLAG_SHIFT
        cut = (flags & np.uint64(MSG_TRUNC)) != 0
        if cut.any():
            batch.marks[cut] |= int(RecordFlag.TRUNCATED) << FLAG_SHIFT
        dropping = np.flatnonzero(control >= CONTROL_TIME_DROPS)
        if dropping.size:
            for row, members in _groups(rows[dropping].astype(np.uint64), dropping):
                before = int(members[0]) - 1
                neighbour = before >= 0 and int(rows[before]) == row
                since = int(batch.arrival_ns[before]) if neighbour else int(self._table.last_arrival_ns[row])
                self._tell_drops(batch, row, members, kind, since)

    def _tell_drops(self, batch: Batch, row: int, members: NDArray[np.int64], kind: int, since_ns: int) -> None:
        counters = batch.datagrams.drop_counters(members)
        told = int(self._told_drops[row, kind])
        risen = (counters - told) & _WORD32
        # A counter behind the one told (a packet that waited while its successor's drops were told) looks enormous.
        risen[risen > _WORD32 >> 1] = 0
        dropped = int(risen.max())
        if not dropped:
            return
        rising = int(np.argmax(risen > 0))
        if rising:
            since_ns = int(batch.arrival_ns[members[rising - 1]])
        self.tell_drops(row, kind, dropped, since_ns, int(batch.arrival_ns[members[int(np.argmax(risen))]]))

    def tell_drops(self, row: int, kind: int, dropped: int, since_ns: int, at_ns: int) -> None:
        """Count datagrams that the kernel dropped at a socket, and tell them in the capture if they were RTP."""
        self._told_drops[row, kind] = (int(self._told_drops[row, kind]) + dropped) & _WORD32
        found = self._stream(row)
        if found is None or kind:
            return
        session, stream = found
        self._table.kernel_drops[row] += dropped
        self.kernel_drops += dropped
        session.file.event(
            model.Drops(stream=stream.spec.index, packets=dropped, since_ns=since_ns, at_ns=max(at_ns, since_ns))
        )

    def _judge_strangers(
        self, batch: Batch, rows: NDArray[np.int64], strange: NDArray[np.int64], keep: NDArray[np.bool_]
    ) -> None:
        """Decide about packets from sources other than the accepted ones; sets `keep` and `marks`."""
        identity = batch.keys[strange] * _KEY_FACTOR + rows[strange].astype(np.uint64) * _ROW_FACTOR
        for row, members in _bounded(rows, _groups(identity, strange)):
            found = self._stream(row)
            if found is not None:
                own = batch.arrival_ns[keep & (rows == row)] if found[1].lock.accepted else _NOTHING
                heard_ns = int(own.max()) if own.size else int(self._table.last_arrival_ns[row])
                accepted = self._judge(batch, members, heard_ns, *found)
                keep[accepted] = True
        refused = strange[~keep[strange]]
        self._table.foreign += np.bincount(rows[refused], minlength=len(self._table.foreign))

    def _judge(
        self, batch: Batch, members: NDArray[np.int64], heard_ns: int, session: LiveSession, stream: LiveStream
    ) -> NDArray[np.int64]:
        """Return which of one stranger's packets are accepted, marked as its own."""
        table, row = self._table, stream.row
        arrivals = batch.arrival_ns[members]
        address = Address.unpack(batch.datagrams.name(int(members[0])))
        stranger = Stranger(
            address=address,
            first_ns=int(arrivals[0]),
            last_ns=int(arrivals[-1]),
            known_payload_type=bool(table.payload_known[row, _octets(batch)[1][members] & 0x7F].any()),
            same_ssrc=bool((batch.ssrcs[members] == table.ssrc[row]).all()),
        )
        acceptance = stream.lock.judge(stranger, heard_ns, self._policy)
        if acceptance is None:
            self._tell_foreign(session, stream, address, stranger.first_ns)
            return _NOTHING
        # From a packet on, not from a time on: the wall clock may have been set back between two of them.
        accepted = members[int(np.argmax(arrivals >= acceptance.from_ns)) :]
        self._accept(session, stream, address, acceptance)
        batch.marks[accepted] = batch.marks[accepted] & ~_SOURCE_BITS | table.mark[row]
        return accepted

    def _accept(self, session: LiveSession, stream: LiveStream, address: Address, acceptance: Acceptance) -> None:
        stream.lock.accept(address, acceptance)
        number = session.source(stream, address, acceptance.cause.value, acceptance.from_ns)
        flags = int(RecordFlag.PROVISIONAL) if acceptance.provisional else 0
        self._table.source_key[stream.row] = address.key
        self._table.mark[stream.row] = pack_mark(stream.spec.index, number, flags)

    def _tell_foreign(self, session: LiveSession, stream: LiveStream, address: Address, at_ns: int) -> None:
        told = stream.told_strangers
        if address.key not in told and len(told) < MAX_TOLD:
            told.add(address.key)
            session.file.event(
                model.Foreign(stream=stream.spec.index, host=address.host, port=address.port, at_ns=at_ns)
            )

    def _tell_ssrcs(self, batch: Batch, rows: NDArray[np.int64], fresh: NDArray[np.int64]) -> None:
        if not fresh.size:
            return
        identity = batch.ssrcs[fresh].astype(np.uint64) | rows[fresh].astype(np.uint64) << np.uint64(32)
        for row, members in _bounded(rows, _groups(identity, fresh)):
            found = self._stream(row)
            if found is not None:
                self._tell_ssrc(batch, int(members[0]), *found)
            if self._statistics is not None:
                sequence = int(batch.words[members[0], 0].byteswap()) & 0xFFFF
                self._statistics.began(row, int(batch.ssrcs[members[0]]), sequence)
        # The last one of each row counts as the present one; later assignments win.
        self._table.ssrc[rows[fresh]] = batch.ssrcs[fresh]

    def _tell_ssrc(self, batch: Batch, position: int, session: LiveSession, stream: LiveStream) -> None:
        head = batch.words[position].tobytes()
        ssrc = int.from_bytes(head[8:12], "big")
        if ssrc in stream.told_ssrcs or len(stream.told_ssrcs) >= MAX_TOLD:
            return
        stream.told_ssrcs.add(ssrc)
        session.file.event(
            model.Ssrc(
                at_ns=int(batch.arrival_ns[position]),
                stream=stream.spec.index,
                ssrc=ssrc,
                source=int(batch.marks[position]) >> SOURCE_SHIFT & 0xFFFF,
                sequence_number=int.from_bytes(head[2:4], "big"),
                rtp_timestamp=int.from_bytes(head[4:8], "big"),
                payload_type=head[1] & 0x7F,
            )
        )

    def _admit_rtcp(self, batch: Batch, rows: NDArray[np.int64], rtcp: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keep RTCP from the hosts that the stream is known by, a bounded number per port."""
        admitted: list[NDArray[np.int64]] = []
        for row, members in _groups(rows[rtcp].astype(np.uint64), rtcp):
            found = self._stream(int(row))
            if found is None:
                continue
            session, stream = found
            if len(members) > _MAX_RTCP:
                session.file.event(
                    model.RtcpLimit(
                        stream=stream.spec.index,
                        packets=len(members) - _MAX_RTCP,
                        at_ns=int(batch.arrival_ns[members[_MAX_RTCP]]),
                    )
                )
            known = [one for one in members[:_MAX_RTCP].tolist() if self._own_rtcp(batch, one, session, stream)]
            admitted.append(np.array(known, np.int64))
        return np.concatenate(admitted) if admitted else _NOTHING

    def _own_rtcp(self, batch: Batch, position: int, session: LiveSession, stream: LiveStream) -> bool:
        address = Address.unpack(batch.datagrams.name(position))
        hosts = {known.host_key for known in (stream.lock.accepted, stream.lock.announced) if known}
        if hosts and address.host_key not in hosts:
            self._table.foreign[stream.row] += 1
            self._tell_foreign(session, stream, address, int(batch.arrival_ns[position]))
            return False
        stream.rtcp_from = address
        number = session.known_source(stream, address.key)
        if not number:
            number = session.source(stream, address, "rtcp", int(batch.arrival_ns[position]))
        flags = int(batch.marks[position]) >> FLAG_SHIFT & ~int(RecordFlag.PROVISIONAL)
        batch.marks[position] = pack_mark(stream.spec.index, number, flags)
        return True


def _octets(batch: Batch) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the first and the second octet of each datagram."""
    octets = batch.words.view(np.uint8)
    return octets[:, 0], octets[:, 1]


def _bounded(
    rows: NDArray[np.int64], groups: Iterable[tuple[int, NDArray[np.int64]]]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield (port row, positions) of the first few groups of each port: a flood on one takes nothing from others."""
    looked = Counter[int]()
    for _, members in groups:
        row = int(rows[members[0]])
        looked[row] += 1
        if looked[row] <= _MAX_GROUPS:
            yield row, members


def _groups(identity: NDArray[np.uint64], positions: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each distinct identity with its positions in their order, in the order of first occurrence."""
    found, first, inverse = np.unique(identity, return_index=True, return_inverse=True)
    ordered = np.argsort(inverse, kind="stable")
    edges = np.concatenate(([0], np.cumsum(np.bincount(inverse, minlength=len(found)))))
    for group in np.argsort(first, kind="stable").tolist():
        yield int(found[group]), positions[ordered[edges[group] : edges[group + 1]]]
