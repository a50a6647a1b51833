"""Reader of whole, torn and still growing captures, docs/storage-format.md section "Recovery".

Verifies once from the front and then gives the packets in batches of bounded size. Never writes.
"""

from __future__ import annotations

import enum
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import numpy as np
from isal.isal_zlib import crc32
from numpy.typing import NDArray

from media.container import model
from media.container.layout import (
    BLOCK,
    BLOCK_HEADER,
    BLOCK_MAGIC,
    FILE_HEADER,
    FILE_MAGIC,
    MAJOR_VERSION,
    MAX_BODY,
    RECORD,
    SEAL,
    BlockType,
)
from media.errors import CaptureUnreadable, LostError

_RECORD_BYTES: Final = RECORD.itemsize
_RECORD_WORDS: Final = _RECORD_BYTES // 2
_LENGTH_WORD: Final = 4
"""Where a record has the packet's length, in words of 16 bits; hosts are little-endian as captures are."""

DEFAULT_BATCH_BYTES: Final = 1 << 20
"""Body bytes per batch: large enough for numpy, small enough for constant memory."""

_WINDOW_BYTES: Final = 1 << 20
_SESSION: Final = int(BlockType.SESSION)
_PACKETS: Final = int(BlockType.PACKETS)
"""Plain numbers: they are compared for each block."""


class Damage(enum.StrEnum):
    """Why reading stopped before the end of the file."""

    NONE = ""
    CUT_HEADER = "cut-header"
    CUT_BODY = "cut-body"
    BAD_MAGIC = "bad-magic"
    BAD_SEQUENCE = "bad-sequence"
    BAD_LENGTH = "bad-length"
    BAD_CHECKSUM = "bad-checksum"
    BAD_CONTENT = "bad-content"
    """The checksum is right and the content is not; written by a defective writer."""
    AFTER_END = "bytes-after-end"


@dataclass(frozen=True, slots=True, eq=False)
class PacketBatch:
    """Packets of one or more consecutive blocks, in file order."""

    records: NDArray[np.void]
    """dtype `RECORD`, one per packet."""
    data: NDArray[np.uint8]
    """What holds the packets: those of one block back to back."""
    offsets: NDArray[np.int64]
    """Start of each packet in `data`."""
    places: NDArray[np.int64]
    """Of each block in the file."""
    headers: NDArray[np.void]
    """dtype `BLOCK`, one per block."""

    def packet(self, position: int) -> bytes:
        """Return one packet as bytes; for tests and tools, not for bulk work."""
        start = int(self.offsets[position])
        return self.data[start : start + int(self.records["length"][position])].tobytes()


class Capture:
    """A verified capture: what it says about itself, and its packets.

    The file is a snapshot of the moment it was read: blocks appended later are not seen.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.session: model.Session
        self.events: list[model.Event | model.UnknownEvent] = []
        """In file order."""
        self.event_places: list[int] = []
        """Of each event in the file: it applies to the blocks behind it."""
        self.end: model.End | None = None
        """None while the capture is running and when it was torn."""
        self.packet_count = 0
        self.rtcp_count = 0
        self.valid_bytes = 0
        """Length of the part that may be trusted."""
        self.truncated_bytes = 0
        """Bytes behind the last valid block; kept in the file, never interpreted."""
        self.damage = Damage.NONE
        self.last_written_ns = 0
        """Wall clock of the last valid block: the capture covers the time until here."""
        self._whole: memoryview | None = None
        """The file, where it is kept in memory."""
        self._blocks: dict[int, tuple[array[int], array[int]]] = {
            _PACKETS: (array("Q"), array("L")),
            int(BlockType.RTCP): (array("Q"), array("L")),
        }

    @property
    def complete(self) -> bool:
        """True if the capture was ended on purpose and nothing is wrong with it."""
        return self.end is not None and self.damage is Damage.NONE

    @property
    def kept_bytes(self) -> int:
        """Bytes of memory that the packets are read from; 0 where the file is read again for them."""
        return 0 if self._whole is None else len(self._whole)

    def packets(self, batch_bytes: int = DEFAULT_BATCH_BYTES) -> Iterator[PacketBatch]:
        """Yield all RTP packets in file order, about `batch_bytes` at a time (at least one block)."""
        return self._batches(BlockType.PACKETS, batch_bytes)

    def rtcp(self, batch_bytes: int = DEFAULT_BATCH_BYTES) -> Iterator[PacketBatch]:
        """Yield all RTCP packets in file order."""
        return self._batches(BlockType.RTCP, batch_bytes)

    def _batches(self, kind: BlockType, batch_bytes: int) -> Iterator[PacketBatch]:
        groups = _grouped(*self._blocks[kind], batch_bytes)
        if self._whole is not None:
            for offsets, lengths in groups:
                end = offsets[-1] + BLOCK_HEADER.size + lengths[-1]
                places = np.array(offsets, np.int64)
                yield _batch(self._whole[offsets[0] : end], places - offsets[0], places)
            return
        with _open(self.path) as file:
            for offsets, lengths in groups:
                pieces = [self._read(file, offset, size) for offset, size in _spans(offsets, lengths)]
                raw = b"".join(pieces) if len(pieces) > 1 else pieces[0]
                sizes = np.array(lengths, np.int64) + BLOCK_HEADER.size
                yield _batch(memoryview(raw), np.cumsum(sizes) - sizes, np.array(offsets, np.int64))

    def _read(self, file: BinaryIO, offset: int, size: int) -> bytes:
        file.seek(offset)
        raw = file.read(size)
        if len(raw) != size:
            raise LostError(f"{self.path}: became shorter while it was read")
        return raw

    def _scan(self, file: BinaryIO, keep_bytes: int) -> None:
        size = os.fstat(file.fileno()).st_size
        if size <= keep_bytes:
            self._whole = memoryview(file.read(size))
        window = _Window(file, self._whole or memoryview(b""))
        checksum = self._scan_file_header(window.part(0, FILE_HEADER.size).tobytes())
        self.valid_bytes = FILE_HEADER.size
        sequence = 0
        while self.valid_bytes < size:
            if self.end is not None:
                self.damage = Damage.AFTER_END
                break
            run = _run(window.rest(self.valid_bytes, size - self.valid_bytes), checksum, sequence)
            if run:
                sequence, checksum = sequence + len(run.places), run.checksum
                self._take_run(run)
                continue
            taken, checksum, self.damage = self._take(window, size - self.valid_bytes, checksum, sequence)
            if self.damage is not Damage.NONE:
                break
            sequence += 1
            self.valid_bytes += taken
        self.truncated_bytes = size - self.valid_bytes
        if sequence == 0:
            raise CaptureUnreadable(str(self.path), f"no whole SESSION block ({self.damage or 'empty'})")

    def _scan_file_header(self, header: bytes) -> int:
        if len(header) < FILE_HEADER.size:
            raise CaptureUnreadable(str(self.path), f"{len(header)} bytes are no file header")
        magic, major, minor, _ = FILE_HEADER.unpack(header)
        if magic != FILE_MAGIC:
            raise CaptureUnreadable(str(self.path), "wrong magic")
        if major != MAJOR_VERSION:
            raise CaptureUnreadable(str(self.path), f"format {major}.{minor}; this reader knows {MAJOR_VERSION}.x")
        return crc32(header)

    def _take_run(self, run: _Run) -> None:
        offsets, sizes = self._blocks[_PACKETS]
        offsets.extend(self.valid_bytes + place for place in run.places)
        sizes.extend(run.lengths)
        self.packet_count += run.packets
        self.last_written_ns = run.written_ns
        self.valid_bytes += run.places[-1] + BLOCK_HEADER.size + run.lengths[-1]

    def _take(self, window: _Window, left: int, chain: int, sequence: int) -> tuple[int, int, Damage]:
        """Take the block behind those that are valid; returns its bytes, its checksum, and what is wrong with it."""
        header = window.part(self.valid_bytes, min(BLOCK_HEADER.size, left))
        if len(header) < BLOCK_HEADER.size:
            return 0, chain, Damage.CUT_HEADER
        magic, checksum, found, kind, _, _, length, count, written_ns = BLOCK_HEADER.unpack(header)
        if magic != BLOCK_MAGIC:
            return 0, chain, Damage.BAD_MAGIC
        if found != sequence & 0xFFFFFFFF:
            return 0, chain, Damage.BAD_SEQUENCE
        if length > MAX_BODY:
            return 0, chain, Damage.BAD_LENGTH
        block = window.part(self.valid_bytes, min(BLOCK_HEADER.size + length, left))
        if len(block) < BLOCK_HEADER.size + length:
            return 0, chain, Damage.CUT_BODY
        if crc32(block[SEAL.size :], chain) != checksum:
            return 0, chain, Damage.BAD_CHECKSUM
        if (kind == _SESSION) != (sequence == 0) or not self._interpret(kind, block[BLOCK_HEADER.size :], count):
            return 0, chain, Damage.BAD_CONTENT
        self.last_written_ns = written_ns
        return len(block), checksum, Damage.NONE

    def _interpret(self, kind: int, body: memoryview, count: int) -> bool:
        if kind in self._blocks:
            return self._take_records(kind, body, count)
        try:
            if kind == _SESSION:
                self.session = model.decode_session(body.tobytes())
            elif kind == BlockType.EVENT:
                self.events.append(model.decode_event(body.tobytes()))
                self.event_places.append(self.valid_bytes)
            elif kind == BlockType.END:
                self.end = model.decode_end(body.tobytes())
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return False
        return True

    def _take_records(self, kind: int, body: memoryview, count: int) -> bool:
        index = count * _RECORD_BYTES
        if index > len(body):
            return False
        # Few records a block: numpy's fixed costs would be most of the verification.
        words = body[:index].cast("H")
        if sum(words[_LENGTH_WORD::_RECORD_WORDS]) != len(body) - index:
            return False
        offsets, sizes = self._blocks[kind]
        offsets.append(self.valid_bytes)
        sizes.append(len(body))
        if kind == _PACKETS:
            self.packet_count += count
        else:
            self.rtcp_count += count
        return True


def read_capture(path: Path, *, keep_bytes: int = 0) -> Capture:
    """Verify a capture from its front to its end or first damage, and return it ready for iteration.

    A file of up to `keep_bytes` stays in memory, as long as its `Capture`, and is read once.

    Errors: `CaptureUnreadable` if it is not a capture at all, `LostError` if the file cannot be read. Damage behind a
    whole SESSION block is no error: see `Capture.damage`.
    """
    capture = Capture(path)
    with _open(path) as file:
        try:
            capture._scan(file, keep_bytes)
        except OSError as error:
            raise LostError(f"{path}: {error.strerror}") from error
    return capture


class _Window:
    """A file read from front to end, some of it at a time, looked at in place.

    Args:
        file: where `front` ends.
        front: what was read of it already.

    """

    def __init__(self, file: BinaryIO, front: memoryview) -> None:
        self._file = file
        self._view = front
        self._start = 0
        """Where in the file the view begins."""

    def part(self, offset: int, size: int) -> memoryview:
        """Return bytes of the file; fewer if it ends before. `offset` never lies before that of an earlier call."""
        place = offset - self._start
        if place + size > len(self._view):
            rest = self._view[place:]
            self._view = memoryview(b"".join((rest, self._file.read(max(size - len(rest), _WINDOW_BYTES)))))
            self._start, place = offset, 0
        return self._view[place : place + size]

    def rest(self, offset: int, size: int) -> memoryview:
        """Return what is in memory from `offset` on, at most so many bytes; nothing is read for it."""
        place = offset - self._start
        return self._view[place : place + size]


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """Blocks of packets that follow one another, all of them valid."""

    places: list[int]
    """Of each block, in the bytes that were looked at."""
    lengths: list[int]
    """Of their bodies."""
    packets: int
    """All blocks together."""
    checksum: int
    """Of the last block, as `written_ns`."""
    written_ns: int


def _run(view: memoryview, chain: int, sequence: int) -> _Run | None:
    """Return the valid blocks of packets at the front of some bytes, up to the first that has to be looked at alone.

    What a capture mostly consists of, so as little as possible is done block by block; None if there are none.
    """
    places: list[int] = []
    lengths: list[int] = []
    place, size, expected = 0, len(view), sequence
    while expected and place + BLOCK_HEADER.size <= size:  # the first one is a SESSION block
        magic, checksum, found, kind, _, _, length, count, _ = BLOCK_HEADER.unpack_from(view, place)
        end = place + BLOCK_HEADER.size + length
        if magic != BLOCK_MAGIC or kind != _PACKETS or found != expected & 0xFFFFFFFF:
            break
        if length > MAX_BODY or end > size or not 0 < count * _RECORD_BYTES <= length:
            break
        if crc32(view[place + SEAL.size : end], chain) != checksum:
            break
        places.append(place)
        lengths.append(length)
        place, chain, expected = end, checksum, expected + 1
    return _right(view, places, lengths) if places else None


def _right(view: memoryview, places: list[int], lengths: list[int]) -> _Run | None:
    """Return the blocks at the front whose bodies are as long as their indexes say."""
    data = np.frombuffer(view, np.uint8)
    starts = np.array(places, np.int64)
    counts = data[starts[:, None] + np.arange(BLOCK_HEADER.size)].view(BLOCK)[:, 0]["count"].astype(np.int64)
    firsts = np.cumsum(counts) - counts
    # Where the length of each packet is told: each block has an index of its own.
    at = np.repeat(starts + BLOCK_HEADER.size - firsts * _RECORD_BYTES, counts)
    at += np.arange(len(at)) * _RECORD_BYTES + 2 * _LENGTH_WORD
    packets = data[at].astype(np.int64) + (data[at + 1].astype(np.int64) << 8)
    wrong = np.add.reduceat(packets, firsts) + counts * _RECORD_BYTES != np.array(lengths, np.int64)
    right = int(wrong.argmax()) if wrong.any() else len(places)
    if not right:
        return None
    _, checksum, *_, written_ns = BLOCK_HEADER.unpack_from(view, places[right - 1])
    return _Run(places[:right], lengths[:right], int(counts[:right].sum()), checksum, written_ns)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=1 << 18)
    except OSError as error:
        raise LostError(f"{path}: {error.strerror}") from error


def _grouped(offsets: array[int], lengths: array[int], size: int) -> Iterator[tuple[array[int], array[int]]]:
    """Yield places of blocks and lengths of their bodies: as many as `size` bytes hold at a time, at least one."""
    start, held = 0, 0
    for number, length in enumerate(lengths):
        if number > start and held + length > size:
            yield offsets[start:number], lengths[start:number]
            start, held = number, 0
        held += length
    if start < len(lengths):
        yield offsets[start:], lengths[start:]


def _spans(offsets: array[int], lengths: array[int]) -> Iterator[tuple[int, int]]:
    """Yield place and size of each stretch of blocks that touch: one read each."""
    start = end = offsets[0]
    for offset, length in zip(offsets, lengths, strict=True):
        if offset != end:
            yield start, end - start
            start = offset
        end = offset + BLOCK_HEADER.size + length
    yield start, end - start


def _batch(view: memoryview, starts: NDArray[np.int64], places: NDArray[np.int64]) -> PacketBatch:
    """Return the packets of the blocks that start so far into a view, and there in the file, in their order."""
    data = np.frombuffer(view, np.uint8)
    headers = data[starts[:, None] + np.arange(BLOCK_HEADER.size)].view(BLOCK)[:, 0]
    counts = headers["count"].astype(np.int64)
    sizes = counts * RECORD.itemsize
    first = starts + BLOCK_HEADER.size
    # NumPy concatenates structured arrays field by field; as bytes it is one copy.
    index = b"".join([view[at : at + size] for at, size in zip(first.tolist(), sizes.tolist(), strict=True)])
    records = np.frombuffer(index, RECORD)
    offsets = np.zeros(len(records) + 1, np.int64)
    np.cumsum(records["length"], dtype=np.int64, out=offsets[1:])
    # The packets of a block lie back to back behind its index.
    firsts = offsets[np.cumsum(counts) - counts]
    offsets = offsets[:-1] + np.repeat(first + sizes - firsts, counts)
    return PacketBatch(records, data, offsets, places, headers)
