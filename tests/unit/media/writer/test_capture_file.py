"""One capture on disk: order, events, and no second try."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from media.container import RECORD, BlockType, read_capture
from media.container.layout import BLOCK
from media.errors import CaptureLost
from media.writer.capture_file import CaptureFile
from tests.unit.media.container.captures import NOW, end, records, session, source


def header(kind: BlockType, index: bytes, data: bytes) -> memoryview:
    row = np.zeros(1, BLOCK)
    row["type"], row["count"] = kind, len(index) // RECORD.itemsize
    row["length"], row["written"] = len(index) + len(data), NOW
    return row.view(np.uint8).data


def append(file: CaptureFile, *packets: bytes, kind: BlockType = BlockType.PACKETS) -> None:
    index, data = records(packets), b"".join(packets)
    file.append(header(kind, index, data), memoryview(index), memoryview(data))


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    file = CaptureFile(tmp_path / "a.tcap", session())
    file.event(source())
    append(file, b"one", b"two")
    append(file, b"report", kind=BlockType.RTCP)
    file.end(end(2, 6))
    file.close()
    capture = read_capture(file.path)
    assert capture.complete
    assert capture.events == [source()]
    assert (capture.packet_count, capture.rtcp_count) == (2, 1)


def test_the_session_block_is_in_the_file_at_once(tmp_path: Path) -> None:
    file = CaptureFile(tmp_path / "a.tcap", session())
    assert read_capture(file.path).session == session()
    file.close()


def test_events_wait_for_packets_but_not_for_ever(tmp_path: Path) -> None:
    file = CaptureFile(tmp_path / "a.tcap", session())
    size = file.path.stat().st_size
    file.event(source())
    assert file.path.stat().st_size == size
    file.flush()
    file.flush()
    assert len(read_capture(file.path).events) == 1
    for _ in range(63):
        file.event(source())
    assert len(read_capture(file.path).events) == 1
    file.event(source())
    assert len(read_capture(file.path).events) == 65
    file.close()


def test_a_name_is_used_once(tmp_path: Path) -> None:
    CaptureFile(tmp_path / "a.tcap", session()).close()
    with pytest.raises(FileExistsError):
        CaptureFile(tmp_path / "a.tcap", session())


def test_a_session_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        CaptureFile(tmp_path / "a.tcap", session(descriptor={"call": object()}))
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_disk_is_told_with_its_number(tmp_path: Path) -> None:
    file = CaptureFile(tmp_path / "a.tcap", session())
    with Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), file.fd)
    with pytest.raises(CaptureLost, match="No space left") as caught:
        append(file, b"one")
    assert caught.value.errno == 28
    file.close()


def test_a_part_taken_is_a_failure_and_is_not_completed(tmp_path: Path) -> None:
    # A pipe takes what fits into it: the nearest thing to a disk that fills up in the middle of a block.
    file = CaptureFile(tmp_path / "a.tcap", session())
    reading, writing = os.pipe2(os.O_NONBLOCK)
    os.dup2(writing, file.fd)
    with pytest.raises(CaptureLost, match=r"only \d+ of \d+ bytes"):
        append(file, bytes(60_000), bytes(60_000))
    taken = len(os.read(reading, 1 << 20))
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    assert 0 < taken < 120_000
    for fd in (reading, writing):
        os.close(fd)
    file.close()
    file.close()
