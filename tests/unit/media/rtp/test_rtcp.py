"""RTCP compound packets: exact values, and tolerance of everything else."""

from __future__ import annotations

import struct

import pytest

from media.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    ntp_to_unix_ns,
    parse_rtcp,
)

SSRC = 0x11223344


def rtcp(kind: int, count: int, body: bytes, *, padding: int = 0) -> bytes:
    if padding:
        body += bytes(padding - 1) + bytes([padding])
    assert len(body) % 4 == 0
    return struct.pack("!BBH", 0x80 | (0x20 if padding else 0) | count, kind, len(body) // 4) + body


def report_block(ssrc: int = 7, lost: int = -2) -> bytes:
    return struct.pack("!IB3sIIII", ssrc, 51, lost.to_bytes(3, "big", signed=True), 0x1FFFE, 12, 0xAAAABBBB, 65536)


SENDER = rtcp(200, 1, struct.pack("!IIIIII", SSRC, 0xE8000000, 0x80000000, 4_000_000_000, 55, 8800) + report_block())
NAMES = rtcp(202, 1, struct.pack("!I", SSRC) + b"\x01\x05a@b.c\x00\x00\x00\x00\x00")


def test_a_sender_report_with_a_report_block() -> None:
    parsed = parse_rtcp(SENDER)
    assert parsed is not None
    assert parsed.sender_reports == (
        SenderReport(
            ssrc=SSRC,
            ntp_timestamp=0xE8000000_80000000,
            rtp_timestamp=4_000_000_000,
            packet_count=55,
            octet_count=8800,
            reports=(ReportBlock(7, 51, -2, 0x1FFFE, 12, 0xAAAABBBB, 65536),),
        ),
    )
    assert parsed.complete


def test_a_compound_packet_of_several() -> None:
    goodbye = rtcp(203, 2, struct.pack("!II", SSRC, 9) + b"\x07leaving")
    parsed = parse_rtcp(SENDER + NAMES + rtcp(201, 0, struct.pack("!I", 8)) + goodbye)
    assert parsed is not None
    assert parsed.cnames == {SSRC: "a@b.c"}
    assert parsed.receiver_reports == (ReceiverReport(8),)
    assert parsed.goodbyes == (Goodbye((SSRC, 9), "leaving"),)
    assert parsed.complete


def test_several_chunks_and_items_are_told_apart() -> None:
    chunks = struct.pack("!I", 1) + b"\x02\x01n\x01\x01c\x00\x00" + struct.pack("!I", 2) + b"\x01\x02dd" + bytes(4)
    parsed = parse_rtcp(rtcp(202, 2, chunks))
    assert parsed is not None
    assert parsed.cnames == {1: "c", 2: "dd"}


def test_a_goodbye_without_reason() -> None:
    parsed = parse_rtcp(rtcp(203, 1, struct.pack("!I", SSRC)))
    assert parsed is not None
    assert parsed.goodbyes == (Goodbye((SSRC,)),)


def test_padding_of_the_last_packet_is_taken_off() -> None:
    parsed = parse_rtcp(SENDER + rtcp(203, 1, struct.pack("!I", SSRC), padding=8))
    assert parsed is not None
    assert parsed.goodbyes == (Goodbye((SSRC,)),)
    assert parsed.complete


def test_unknown_packet_types_are_skipped() -> None:
    parsed = parse_rtcp(rtcp(204, 1, bytes(12)) + NAMES)
    assert parsed is not None
    assert (parsed.cnames, parsed.complete) == ({SSRC: "a@b.c"}, True)


@pytest.mark.parametrize("datagram", [b"", b"\x80\xc8", b"\x00\xc8\x00\x00", b"\x80\x00\x00\x01" + bytes(8)])
def test_what_is_not_rtcp_is_none(datagram: bytes) -> None:
    assert parse_rtcp(datagram) is None


@pytest.mark.parametrize(
    "tail",
    [
        b"\x80\xc8\x00\x06" + bytes(8),  # longer than the datagram
        b"\x80\xc8\x00\x01" + bytes(4),  # sender report without sender info
        b"\x80\xc9\x00\x00",  # receiver report without SSRC
        b"\x81\xc9\x00\x01" + bytes(4),  # a report block promised, none there
        b"\x81\xca\x00\x00",  # chunk promised, none there
        b"\x81\xca\x00\x02" + bytes(4) + b"\x01\x09ab",  # item longer than the packet
        b"\x81\xca\x00\x02" + bytes(4) + b"\x01\x02ab",  # list of items without end
        b"\x82\xcb\x00\x01" + bytes(4),  # two leave, one named
        b"\xa0\xc9\x00\x01" + b"\x00\x00\x00\x00",  # padding of nothing
        b"\xa0\xc9\x00\x00",  # padding without room
        b"\x80\xc9",  # half a header
        b"\x40\xc9\x00\x00",  # version 1
    ],
)
def test_a_fault_ends_the_reading_and_keeps_what_came_before(tail: bytes) -> None:
    parsed = parse_rtcp(SENDER + tail)
    assert parsed is not None
    assert len(parsed.sender_reports) == 1
    assert not parsed.complete


def test_an_endless_compound_is_left_after_a_bounded_number_of_packets() -> None:
    parsed = parse_rtcp(b"\x80\xc9\x00\x01\x00\x00\x00\x01" * 80)
    assert parsed is not None
    assert len(parsed.receiver_reports) == 64
    assert not parsed.complete


def test_ntp_time_becomes_unix_time() -> None:
    assert ntp_to_unix_ns(2_208_988_800 << 32, 0) == 0
    assert ntp_to_unix_ns((2_208_988_801 << 32) | 0x80000000, 0) == 1_500_000_000


def test_ntp_time_after_2036_is_taken_in_the_nearest_era() -> None:
    in_2040 = 2_208_988_800_000_000_000
    seconds = in_2040 // 10**9 + 2_208_988_800
    assert ntp_to_unix_ns((seconds % 2**32) << 32, in_2040 - 10**12) == in_2040
