"""RTCP compound packets as values: SR, RR, SDES and BYE, RFC 3550 §6.4 to §6.6 and A.2; tolerant of everything else.

Reads only; it neither composes reports nor decides when to send them.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, field
from typing import Final

NTP_UNIX_OFFSET: Final = 2_208_988_800
"""Seconds from 1900-01-01 (NTP) to 1970-01-01 (Unix)."""

_NANOSECONDS: Final = 1_000_000_000
_NTP_ERA: Final = 1 << 32
"""Seconds of one NTP era; era 0 ends in 2036."""

_MAX_PARTS: Final = 64
"""RTCP packets read from one datagram; the largest UDP datagram of useful reports holds far fewer."""

_HEADER: Final = struct.Struct("!BBH")
_SENDER_INFO: Final = struct.Struct("!IIIIII")
_REPORT_BLOCK: Final = struct.Struct("!IB3sIIII")
_WORD: Final = struct.Struct("!I")


class PacketType(enum.IntEnum):
    """RTCP packet types that are understood; others are skipped (RFC 3550 §6.1)."""

    SR = 200
    RR = 201
    SDES = 202
    BYE = 203


class SdesItem(enum.IntEnum):
    """SDES items, RFC 3550 §6.5."""

    END = 0
    CNAME = 1


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver tells of one source, RFC 3550 §6.4.1."""

    ssrc: int
    fraction_lost: int
    """Lost since the previous report, in 256ths."""
    cumulative_lost: int
    """Packets; signed, negative when duplicates outnumber losses."""
    extended_sequence_number: int
    """Highest received: cycles in the upper 16 bits."""
    interarrival_jitter: int
    """RTP timestamp units."""
    last_sr: int
    """Middle 32 bits of the NTP time of the last SR; 0 if none came."""
    delay_since_last_sr: int
    """Units of 1/65536 s."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """One clock reading of a sender, RFC 3550 §6.4.1: `rtp_timestamp` was sampled at `ntp_timestamp`."""

    ssrc: int
    ntp_timestamp: int
    """64-bit NTP time, 32.32 fixed point; 0 means that the sender has no wall clock."""
    rtp_timestamp: int
    """Wrapped, 32 bits."""
    packet_count: int
    octet_count: int
    """Payload octets sent."""
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """Reports of a participant that sends no media, RFC 3550 §6.4.2."""

    ssrc: int
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Sources that leave, RFC 3550 §6.6."""

    ssrcs: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Compound:
    """Everything understood in one datagram."""

    sender_reports: tuple[SenderReport, ...] = ()
    receiver_reports: tuple[ReceiverReport, ...] = ()
    cnames: dict[int, str] = field(default_factory=dict)
    """SSRC to canonical name."""
    goodbyes: tuple[Goodbye, ...] = ()
    complete: bool = True
    """False if the lengths do not add up; what came before the fault is kept."""


def parse_rtcp(datagram: bytes) -> Compound | None:
    """Return what an RTCP datagram says, or None if it is not RTCP.

    Unlike RFC 3550 A.2 a compound that does not start with SR or RR is accepted (RFC 5506 allows it, and a stray SDES
    still names a source). Nothing in the bytes raises: a part that is cut ends the reading with `complete` false.
    """
    if not _looks_like_rtcp(datagram):
        return None
    parts = _Parts()
    position = 0
    complete = True
    for _ in range(_MAX_PARTS):
        if position == len(datagram):
            break
        end = _part_end(datagram, position)
        if end is None or not parts.take(datagram, position, end):
            complete = False
            break
        position = end
    else:
        complete = position == len(datagram)
    return Compound(tuple(parts.senders), tuple(parts.receivers), parts.cnames, tuple(parts.goodbyes), complete)


def ntp_to_unix_ns(ntp_timestamp: int, near_ns: int) -> int:
    """Return 64-bit NTP time as nanoseconds since 1970, in the NTP era that comes nearest to `near_ns`.

    NTP seconds wrap in 2036; without a hint the era is not known.
    """
    seconds, fraction = divmod(ntp_timestamp, 1 << 32)
    unix_seconds = seconds - NTP_UNIX_OFFSET
    era = round((near_ns / _NANOSECONDS - unix_seconds) / _NTP_ERA)
    return (unix_seconds + era * _NTP_ERA) * _NANOSECONDS + (fraction * _NANOSECONDS + (1 << 31) >> 32)


def _looks_like_rtcp(datagram: bytes) -> bool:
    # RFC 5761 §4: RTCP is told from RTP by packet types 192 to 223 in the second byte.
    return len(datagram) >= _HEADER.size and datagram[0] >> 6 == 2 and 192 <= datagram[1] <= 223


def _part_end(datagram: bytes, position: int) -> int | None:
    if position + _HEADER.size > len(datagram):
        return None
    first, _, words = _HEADER.unpack_from(datagram, position)
    end = position + 4 * (int(words) + 1)
    if first >> 6 != 2 or end > len(datagram):
        return None
    return end


class _Parts:
    """Collects the parts of one compound packet."""

    def __init__(self) -> None:
        self.senders: list[SenderReport] = []
        self.receivers: list[ReceiverReport] = []
        self.cnames: dict[int, str] = {}
        self.goodbyes: list[Goodbye] = []

    def take(self, datagram: bytes, start: int, end: int) -> bool:
        """Read one RTCP packet; return False if it is too short for what its header promises."""
        first, kind, _ = _HEADER.unpack_from(datagram, start)
        count = first & 0x1F
        body = datagram[start + _HEADER.size : end]
        if first & 0x20:
            # The last octet of the padding counts it, itself included (RFC 3550 §6.4.1).
            padding = body[-1] if body else 0
            if not 0 < padding <= len(body):
                return False
            body = body[:-padding]
        if kind == PacketType.SR:
            return self._sender_report(body, count)
        if kind == PacketType.RR:
            return self._receiver_report(body, count)
        if kind == PacketType.SDES:
            return self._descriptions(body, count)
        if kind == PacketType.BYE:
            return self._goodbye(body, count)
        return True

    def _sender_report(self, body: bytes, count: int) -> bool:
        if len(body) < _SENDER_INFO.size:
            return False
        ssrc, seconds, fraction, timestamp, packets, octets = _SENDER_INFO.unpack_from(body)
        reports, whole = _report_blocks(body, _SENDER_INFO.size, count)
        self.senders.append(SenderReport(ssrc, seconds << 32 | fraction, timestamp, packets, octets, reports))
        return whole

    def _receiver_report(self, body: bytes, count: int) -> bool:
        if len(body) < _WORD.size:
            return False
        reports, whole = _report_blocks(body, _WORD.size, count)
        self.receivers.append(ReceiverReport(_WORD.unpack_from(body)[0], reports))
        return whole

    def _descriptions(self, body: bytes, count: int) -> bool:
        position = 0
        for _ in range(count):
            if position + _WORD.size > len(body):
                return False
            ssrc = _WORD.unpack_from(body, position)[0]
            items, following = _sdes_items(body, position + _WORD.size)
            if items is None:
                return False
            if SdesItem.CNAME in items:
                self.cnames[ssrc] = items[SdesItem.CNAME]
            position = following
        return True

    def _goodbye(self, body: bytes, count: int) -> bool:
        size = count * _WORD.size
        if len(body) < size:
            return False
        reason = ""
        if len(body) > size:
            reason = body[size + 1 : size + 1 + body[size]].decode("utf-8", "replace")
        self.goodbyes.append(Goodbye(struct.unpack_from(f"!{count}I", body), reason))
        return True


def _report_blocks(body: bytes, position: int, count: int) -> tuple[tuple[ReportBlock, ...], bool]:
    """Return the report blocks that are whole, and whether all `count` of them are."""
    there = min(count, (len(body) - position) // _REPORT_BLOCK.size)
    blocks = []
    for number in range(there):
        fields = _REPORT_BLOCK.unpack_from(body, position + number * _REPORT_BLOCK.size)
        ssrc, fraction, lost, highest, jitter, last_sr, delay = fields
        blocks.append(
            ReportBlock(ssrc, fraction, int.from_bytes(lost, "big", signed=True), highest, jitter, last_sr, delay)
        )
    return tuple(blocks), there == count


def _sdes_items(body: bytes, position: int) -> tuple[dict[int, str] | None, int]:
    """Return the items of one SDES chunk (None if cut) and the start of the next chunk, RFC 3550 §6.5."""
    items: dict[int, str] = {}
    while position < len(body):
        kind = body[position]
        if kind == SdesItem.END:
            # The list is ended by one or more null octets up to the next 32-bit boundary.
            return items, (position // 4 + 1) * 4
        if position + 2 > len(body) or position + 2 + body[position + 1] > len(body):
            return None, position
        length = body[position + 1]
        items.setdefault(kind, body[position + 2 : position + 2 + length].decode("utf-8", "replace"))
        position += 2 + length
    return None, position
