"""RFC 3550 §5.1 headers over batches."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from numpy.typing import NDArray

from media.rtp.packet import contributing_sources, is_rtcp, is_rtp, octets_at, parse_headers


def rtp(
    *,
    sequence: int = 1,
    timestamp: int = 160,
    ssrc: int = 0x11223344,
    payload_type: int = 0,
    marker: bool = False,
    csrc: int = 0,
    extension: bytes | None = None,
    padding: int = 0,
    payload: bytes = b"\xff" * 4,
) -> bytes:
    first = 0x80 | csrc | (0x10 if extension is not None else 0) | (0x20 if padding else 0)
    out = (
        struct.pack(">BBHII", first, payload_type | (marker << 7), sequence, timestamp, ssrc)
        + b"\x01\x02\x03\x04" * csrc
    )
    if extension is not None:
        out += struct.pack(">HH", 0xBEDE, len(extension) // 4) + extension
    out += payload
    if padding:
        out += bytes(padding - 1) + bytes([padding])
    return out


def parse(*packets: bytes) -> NDArray[np.void]:
    lengths = np.array([len(packet) for packet in packets], np.int64)
    data = np.frombuffer(b"".join(packets), np.uint8)
    return parse_headers(data, np.cumsum(lengths) - lengths, lengths)


def test_every_field_is_read_in_network_order() -> None:
    header = parse(rtp(sequence=0x0102, timestamp=0xA0B0C0D0, ssrc=0xDEADBEEF, payload_type=101, marker=True))[0]
    assert bool(header["valid"])
    assert bool(header["marker"])
    assert int(header["payload_type"]) == 101
    assert int(header["sequence_number"]) == 0x0102
    assert int(header["rtp_timestamp"]) == 0xA0B0C0D0
    assert int(header["ssrc"]) == 0xDEADBEEF
    assert (int(header["payload_start"]), int(header["payload_length"])) == (12, 4)


def test_csrc_extension_and_padding_are_not_payload() -> None:
    plain = rtp()
    header = parse(plain, rtp(csrc=2, extension=b"\x10\xaa\x00\x00", padding=3, payload=b"abcde"))[1]
    assert bool(header["valid"])
    assert int(header["payload_start"]) == len(plain) + 12 + 8 + 8
    assert int(header["payload_length"]) == 5


def test_packets_that_contradict_themselves_are_invalid_and_have_no_payload() -> None:
    short_extension = rtp(extension=b"\x00" * 8)[:-8]
    endless_padding = rtp(padding=1)[:-1] + b"\xff"
    no_padding = rtp(padding=1)[:-1] + b"\x00"
    missing_csrc = rtp(csrc=3)[:20]
    version_one = bytes([0x40]) + rtp()[1:]
    headers = parse(short_extension, endless_padding, no_padding, missing_csrc, version_one, b"\x80", b"", rtp())
    assert headers["valid"].tolist() == [False] * 7 + [True]
    assert headers["payload_length"].tolist() == [0] * 7 + [4]


def test_the_entries_of_csrc_lists_are_returned_packet_by_packet() -> None:
    packets = [rtp(), rtp(csrc=2), rtp(), rtp(csrc=1), rtp(csrc=15)]
    lengths = np.array([len(packet) for packet in packets], np.int64)
    data = np.frombuffer(b"".join(packets), np.uint8)
    entries, csrcs = contributing_sources(data, np.cumsum(lengths) - lengths)
    assert entries.tolist() == [1, 1, 3, *[4] * 15]
    assert csrcs.tolist() == [0x01020304] * 18


def test_without_csrc_lists_there_are_no_entries() -> None:
    entries, csrcs = contributing_sources(np.frombuffer(rtp(), np.uint8), np.zeros(1, np.int64))
    assert (len(entries), len(csrcs)) == (0, 0)


def test_an_empty_payload_is_valid() -> None:
    header = parse(rtp(payload=b""))[0]
    assert (bool(header["valid"]), int(header["payload_length"])) == (True, 0)


def test_an_empty_batch_has_no_headers() -> None:
    assert len(parse()) == 0


def test_octets_are_taken_from_anywhere_up_to_the_last_one() -> None:
    data = np.arange(20, dtype=np.uint8)
    data.flags.writeable = False
    assert octets_at(data, np.array([17, 0, 5, 5]), 3).tolist() == [[17, 18, 19], [0, 1, 2], [5, 6, 7], [5, 6, 7]]
    assert octets_at(data, np.array([18]), 1).tolist() == [[18]]
    assert octets_at(data[:2], np.zeros(0, np.int64), 3).shape == (0, 3)
    with pytest.raises(IndexError):
        octets_at(data, np.array([18]), 3)


def test_is_rtp_wants_version_two_and_room_for_what_the_first_octet_promises() -> None:
    first = np.array([0x80, 0x80, 0x8F, 0x8F, 0x90, 0x90, 0x00, 0xC0], np.uint8)
    lengths = np.array([12, 11, 72, 71, 16, 15, 172, 172])
    assert is_rtp(first, lengths).tolist() == [True, False, True, False, True, False, False, False]


def test_is_rtcp_is_the_region_192_to_223() -> None:
    second = np.array([191, 192, 200, 223, 224, 200, 200], np.uint8)
    first = np.array([0x80, 0x80, 0x81, 0x80, 0x80, 0x40, 0x80], np.uint8)
    lengths = np.array([8, 8, 28, 8, 8, 8, 7])
    assert is_rtcp(first, second, lengths).tolist() == [False, True, True, True, False, False, False]
