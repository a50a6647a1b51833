"""Whole, torn, foreign and growing captures."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from media.container import BlockType, Damage, Drops, UnknownEvent, read_capture
from media.container.layout import BLOCK_HEADER, BLOCK_MAGIC, FILE_HEADER, FILE_MAGIC, MAX_BODY
from media.errors import CaptureUnreadable, LostError
from tests.unit.media.container.captures import NOW, Builder, end, records, session, source


def all_packets(path: Path, batch_bytes: int = 1 << 20) -> list[bytes]:
    return [
        batch.packet(position)
        for batch in read_capture(path).packets(batch_bytes)
        for position in range(len(batch.records))
    ]


def append_block(data: bytes, kind: int, body: bytes, *, sequence: int, count: int = 0) -> bytes:
    """A block with a right checksum and any content behind a capture."""
    chain, at = zlib.crc32(data[: FILE_HEADER.size]), FILE_HEADER.size
    while at < len(data):
        _, chain, _, _, _, _, length, _, _ = BLOCK_HEADER.unpack_from(data, at)
        at += BLOCK_HEADER.size + length
    header = BLOCK_HEADER.pack(BLOCK_MAGIC, 0, sequence, kind, 0, 0, len(body), count, NOW)
    checksum = zlib.crc32(header[12:] + body, chain)
    return data + header[:4] + struct.pack("<I", checksum) + header[8:] + body


def test_a_whole_capture_tells_everything(tmp_path: Path) -> None:
    built = Builder().event(source()).packets(b"one", b"three").rtcp(b"report").packets(b"5").end(end(3, 9))
    capture = read_capture(built.write(tmp_path / "a.tcap"))
    assert capture.complete
    assert (capture.damage, capture.truncated_bytes, capture.valid_bytes) == (Damage.NONE, 0, len(built.data))
    assert capture.session == session()
    assert capture.events == [source()]
    assert capture.end == end(3, 9)
    assert (capture.packet_count, capture.rtcp_count) == (3, 1)
    assert all_packets(capture.path) == [b"one", b"three", b"5"]
    assert [batch.packet(0) for batch in capture.rtcp()] == [b"report"]
    assert capture.last_written_ns == NOW + 1_000_000_000


def test_batches_join_blocks_up_to_the_wanted_size_and_never_split_one(tmp_path: Path) -> None:
    built = Builder()
    for number in range(10):
        built.packets(bytes([number]) * 84)  # 100 bytes of body
    path = built.write(tmp_path / "a.tcap")
    sizes = [len(batch.records) for batch in read_capture(path).packets(300)]
    assert sizes == [3, 3, 3, 1]
    assert [len(batch.records) for batch in read_capture(path).packets(1)] == [1] * 10
    assert all_packets(path, 250) == [bytes([number]) * 84 for number in range(10)]


def test_a_capture_without_end_is_incomplete_and_not_damaged(tmp_path: Path) -> None:
    capture = read_capture(Builder().packets(b"one").write(tmp_path / "a.tcap"))
    assert (capture.complete, capture.end, capture.damage) == (False, None, Damage.NONE)


def test_reading_is_a_snapshot_of_a_growing_file(tmp_path: Path) -> None:
    built = Builder().packets(b"one")
    path = built.write(tmp_path / "a.tcap")
    capture = read_capture(path)
    built.packets(b"two").write(path)
    assert [batch.packet(0) for batch in capture.packets()] == [b"one"]
    assert all_packets(path) == [b"one", b"two"]


@pytest.mark.parametrize(
    ("position", "value", "damage"),
    [
        (0, 0, Damage.BAD_MAGIC),
        (4, 0xAA, Damage.BAD_CHECKSUM),
        (8, 0xAA, Damage.BAD_SEQUENCE),
        (12, BlockType.EVENT, Damage.BAD_CHECKSUM),
        (19, 0xAA, Damage.BAD_LENGTH),
        (16, 0xFF, Damage.CUT_BODY),
        (20, 9, Damage.BAD_CHECKSUM),
        (24, 0xAA, Damage.BAD_CHECKSUM),
        (40, 0xAA, Damage.BAD_CHECKSUM),
    ],
)
def test_a_bad_byte_ends_reading_in_front_of_its_block(
    tmp_path: Path, position: int, value: int, damage: Damage
) -> None:
    built = Builder().packets(b"one").packets(b"two")
    start = built.edges[1]
    assert built.data[start + position] != value
    built.data[start + position] = value
    capture = read_capture(built.write(tmp_path / "a.tcap"))
    assert capture.damage is damage
    assert capture.truncated_bytes == len(built.data) - start
    assert all_packets(capture.path) == [b"one"]


def test_blocks_cannot_be_swapped_repeated_or_left_out(tmp_path: Path) -> None:
    built = Builder().packets(b"aaa").packets(b"bbb").packets(b"ccc")
    opening, one, two, three = (
        bytes(built.data[start:stop]) for start, stop in zip([0, *built.edges], built.edges, strict=False)
    )
    for blocks, kept in (
        ([opening, two, one, three], []),
        ([opening, one, one], [b"aaa"]),
        ([opening, one, three], [b"aaa"]),
        ([opening, one, two, three], [b"aaa", b"bbb", b"ccc"]),
    ):
        path = tmp_path / "a.tcap"
        path.write_bytes(b"".join(blocks))
        assert all_packets(path) == kept


def test_a_block_of_another_capture_is_not_taken_even_at_the_same_place(tmp_path: Path) -> None:
    mine, other = Builder(), Builder(session(writer="w2"))
    mine.packets(b"mine")
    other.packets(b"other")
    path = tmp_path / "a.tcap"
    path.write_bytes(mine.data[: mine.edges[0]] + other.data[other.edges[0] :])
    capture = read_capture(path)
    assert (capture.damage, capture.packet_count) == (Damage.BAD_CHECKSUM, 0)


@pytest.mark.parametrize("bad", [0, 3, 6])
def test_an_index_that_does_not_add_up_ends_reading_wherever_it_stands(tmp_path: Path, bad: int) -> None:
    data = bytes(Builder().data)
    edges = []
    for number in range(7):
        edges.append(len(data))
        body = records([b"abc"]) + (b"ab" if number == bad else b"abc")
        data = append_block(data, BlockType.PACKETS, body, sequence=number + 1, count=1)
    path = tmp_path / "a.tcap"
    path.write_bytes(data)
    capture = read_capture(path)
    assert (capture.damage, capture.valid_bytes, capture.packet_count) == (Damage.BAD_CONTENT, edges[bad], bad)
    assert all_packets(path) == [b"abc"] * bad


def test_a_capture_of_some_megabytes_is_read_whole(tmp_path: Path) -> None:
    built, expected = Builder(), []
    for number in range(60):
        packets = [bytes([number, part]) * (500 + number + part) for part in range(50)]
        built.packets(*packets)
        expected += packets
        if number % 7 == 0:
            built.rtcp(bytes([number]) * 8)
    assert len(built.data) > 3 << 20
    path = built.write(tmp_path / "a.tcap")
    capture = read_capture(path)
    assert (capture.damage, capture.packet_count, capture.rtcp_count) == (Damage.NONE, 3000, 9)
    assert capture.valid_bytes == len(built.data)
    assert all_packets(path) == expected


def test_bytes_behind_the_end_make_it_incomplete(tmp_path: Path) -> None:
    built = Builder().end(end())
    built.data += b"x"
    capture = read_capture(built.write(tmp_path / "a.tcap"))
    assert (capture.complete, capture.damage, capture.truncated_bytes) == (False, Damage.AFTER_END, 1)


def test_a_block_of_an_unknown_type_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.tcap"
    path.write_bytes(append_block(bytes(Builder().packets(b"one").data), 77, b"future", sequence=2))
    capture = read_capture(path)
    assert (capture.damage, capture.packet_count) == (Damage.NONE, 1)


def test_an_event_of_a_newer_version_is_kept_with_its_fields(tmp_path: Path) -> None:
    body = b'{"event":"weather","at_ns":5,"rain":true}'
    path = tmp_path / "a.tcap"
    path.write_bytes(append_block(bytes(Builder().data), BlockType.EVENT, body, sequence=1))
    assert read_capture(path).events == [
        UnknownEvent(event="weather", at_ns=5, fields={"event": "weather", "at_ns": 5, "rain": True})
    ]


@pytest.mark.parametrize(
    ("kind", "body", "count"),
    [
        (BlockType.EVENT, b"{", 0),
        (BlockType.EVENT, b"\xff\xfe", 0),
        (BlockType.END, b'{"cause":1}', 0),
        (BlockType.PACKETS, records([b"four"]) + b"123", 1),
        (BlockType.PACKETS, b"short", 1),
        (BlockType.SESSION, b"{}", 0),
    ],
)
def test_a_right_checksum_over_wrong_content_ends_reading(
    tmp_path: Path, kind: BlockType, body: bytes, count: int
) -> None:
    path = tmp_path / "a.tcap"
    path.write_bytes(append_block(bytes(Builder().packets(b"one").data), kind, body, sequence=2, count=count))
    capture = read_capture(path)
    assert (capture.damage, capture.packet_count, capture.end) == (Damage.BAD_CONTENT, 1, None)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (b"\x89TCAP", "5 bytes"),
        (b"RIFF" + bytes(40), "wrong magic"),
        (FILE_HEADER.pack(FILE_MAGIC, 2, 0, 0), "format 2.0"),
        (FILE_HEADER.pack(FILE_MAGIC, 1, 0, 0), "empty"),
        (bytes(Builder().data[:-1]), "cut-body"),
        (FILE_HEADER.pack(FILE_MAGIC, 1, 0, 0) + bytes(40), "bad-magic"),
    ],
)
def test_what_is_no_capture_is_an_error_with_its_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "a.tcap"
    path.write_bytes(data)
    with pytest.raises(CaptureUnreadable, match=reason):
        read_capture(path)


def test_a_newer_minor_version_is_read(tmp_path: Path) -> None:
    # The checksum chain starts at the file header, so the version is part of what is signed.
    header = FILE_HEADER.pack(FILE_MAGIC, 1, 9, 0)
    built = bytes(Builder().data)
    body = built[FILE_HEADER.size + BLOCK_HEADER.size :]
    path = tmp_path / "a.tcap"
    path.write_bytes(append_block(header, BlockType.SESSION, body, sequence=0))
    assert read_capture(path).session == session()


def test_a_length_above_the_limit_is_not_allocated(tmp_path: Path) -> None:
    built = Builder()
    at = len(built.data)
    built.data += BLOCK_HEADER.pack(BLOCK_MAGIC, 0, 1, BlockType.PACKETS, 0, 0, MAX_BODY + 1, 0, NOW)
    capture = read_capture(built.write(tmp_path / "a.tcap"))
    assert (capture.damage, capture.valid_bytes) == (Damage.BAD_LENGTH, at)


def test_a_missing_file_is_a_lost_one(tmp_path: Path) -> None:
    with pytest.raises(LostError, match="No such file"):
        read_capture(tmp_path / "none.tcap")


def test_a_file_that_shrinks_between_scan_and_reading_is_lost(tmp_path: Path) -> None:
    path = Builder().packets(b"one").write(tmp_path / "a.tcap")
    capture = read_capture(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LostError, match="shorter"):
        list(capture.packets())


def test_a_capture_that_is_kept_is_read_once(tmp_path: Path) -> None:
    built = (
        Builder().packets(b"one", b"three").rtcp(b"report").event(source()).packets(b"5").rtcp(b"last").end(end(3, 9))
    )
    path = built.write(tmp_path / "a.tcap")
    assert read_capture(path, keep_bytes=len(built.data) - 1).kept_bytes == 0
    capture = read_capture(path, keep_bytes=len(built.data))
    path.unlink()
    assert (capture.kept_bytes, capture.complete) == (len(built.data), True)
    (batch,) = capture.packets()
    assert [batch.packet(position) for position in range(3)] == [b"one", b"three", b"5"]
    assert [batch.packet(0) for batch in capture.packets(1)] == [b"one", b"5"]
    assert [batch.packet(0) for batch in capture.rtcp(1)] == [b"report", b"last"]


def test_a_directory_is_not_readable(tmp_path: Path) -> None:
    with pytest.raises(LostError):
        read_capture(tmp_path)


def test_records_keep_arrival_stream_and_source(tmp_path: Path) -> None:
    capture = read_capture(Builder().packets(b"one", arrival_ns=7, stream=3, source=9).write(tmp_path / "a.tcap"))
    (batch,) = capture.packets()
    assert batch.records.tolist() == [(7, 3, 3, 9, 0)]


def test_events_come_back_as_they_went_in(tmp_path: Path) -> None:
    drops = Drops(stream=0, packets=3, since_ns=1, at_ns=2)
    assert read_capture(Builder().event(drops).write(tmp_path / "a.tcap")).events == [drops]
