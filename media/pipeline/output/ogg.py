"""Ogg pages, RFC 3533 §6: composed, and given another serial number. Knows nothing of what they carry."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

MAX_SEGMENTS: Final = 255
"""Lacing values of a page, so 255 packets of less than 255 octets each."""

_CAPTURE_PATTERN: Final = b"OggS"
_HEADER: Final = struct.Struct("<4sBBqIIIB")
"""Capture pattern, version, flags, granule position, serial number, page number, checksum, segments."""
_SERIAL: Final = slice(14, 18)
_CHECKSUM: Final = slice(22, 26)

_REVERSED: Final = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))


def page(packets: Sequence[bytes], granule: int, number: int, flags: int, serial_number: int) -> bytes:
    """Return one page with whole packets.

    Args:
        packets: with no more than `MAX_SEGMENTS` lacing values in all.
        granule: position at the end of the last packet.
        number: of the page in its stream.
        flags: 2 on the first page, 4 on the last.
        serial_number: of the stream.

    """
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    header = _HEADER.pack(_CAPTURE_PATTERN, 0, flags, granule, serial_number, number, 0, len(lacing))
    return _sealed(header + lacing + b"".join(packets))


def segments(packet: bytes) -> int:
    """Return how many lacing values a packet takes."""
    return len(packet) // 255 + 1


def set_serial_number(path: Path, serial_number: int) -> None:
    """Give every page of a file of one stream this serial number, in place; raises `OSError`."""
    with path.open("r+b") as file:
        position = 0
        while True:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size or not header.startswith(_CAPTURE_PATTERN):
                return
            lacing = file.read(header[-1])
            whole = header + lacing + file.read(sum(lacing))
            file.seek(position)
            file.write(_sealed(whole[: _SERIAL.start] + struct.pack("<I", serial_number) + whole[_SERIAL.stop :]))
            position += len(whole)


def _sealed(whole: bytes) -> bytes:
    """Return the page with its checksum, which is computed over the page with none."""
    blank = whole[: _CHECKSUM.start] + bytes(4) + whole[_CHECKSUM.stop :]
    return whole[: _CHECKSUM.start] + struct.pack("<I", _checksum(blank)) + whole[_CHECKSUM.stop :]


def _checksum(octets: bytes) -> int:
    """Return the CRC of RFC 3533 §6 field 7: zlib's polynomial, but most significant bit first and never inverted."""
    mirrored = zlib.crc32(octets.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
