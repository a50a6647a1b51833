"""The serial number of an Ogg file of one stream, changed in place, RFC 3533 §6.

Page checksums are corrected by linearity: a change of four header bytes changes the CRC by an amount that depends only
on the change and on how many bytes follow, so no payload is read.
"""

from __future__ import annotations

import functools
import struct
from pathlib import Path
from typing import BinaryIO, Final

_CAPTURE_PATTERN: Final = b"OggS"
_HEADER: Final = struct.Struct("<4sBBqIIIB")
"""Capture pattern, version, flags, granule position, serial number, page number, checksum, segments."""
_SERIAL_AT: Final = 14
_CHECKSUM_AT: Final = 22
_POLYNOMIAL: Final = 0x04C11DB7
"""RFC 3533 §6 field 7: not reflected, start value and final XOR zero."""


def set_serial_number(path: Path, serial_number: int) -> None:
    """Give every page of the file this serial number; raises `OSError`."""
    with path.open("r+b") as file:
        position = 0
        while True:
            file.seek(position)
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size or not header.startswith(_CAPTURE_PATTERN):
                return
            position = _rewrite_page(file, position, header, serial_number)


def _rewrite_page(file: BinaryIO, position: int, header: bytes, serial_number: int) -> int:
    """Change one page and return where the next one starts."""
    _, _, _, _, old, _, checksum, segments = _HEADER.unpack(header)
    size = _HEADER.size + segments + sum(file.read(segments))
    change = int.from_bytes(struct.pack("<I", old ^ serial_number), "big")
    file.seek(position + _SERIAL_AT)
    file.write(struct.pack("<I", serial_number))
    file.seek(position + _CHECKSUM_AT)
    file.write(struct.pack("<I", checksum ^ _shifted(change, size - _SERIAL_AT - 4)))
    return position + int(size)


@functools.lru_cache(maxsize=4096)
def _shifted(change: int, octets: int) -> int:
    """Return the CRC of four bytes followed by zero bytes: change * x^(8 * octets + 32) modulo the polynomial."""
    return _multiply(change, _power(8 * octets + 32))


def _multiply(left: int, right: int) -> int:
    """Return the product of two polynomials over GF(2), modulo the CRC's."""
    product = 0
    for bit in range(31, -1, -1):
        product = (product << 1) ^ (_POLYNOMIAL if product & 0x80000000 else 0)
        product &= 0xFFFFFFFF
        if right >> bit & 1:
            product ^= left
    return product


@functools.cache
def _power(exponent: int) -> int:
    """Return x^exponent modulo the polynomial."""
    if exponent < 32:
        return 1 << exponent
    half = _power(exponent // 2)
    square = _multiply(half, half)
    return _multiply(square, 2) if exponent % 2 else square
