"""Serial numbers of Ogg pages, with checksums computed the long way."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import soundfile

from media.pipeline.output.ogg import set_serial_number


def checksum(page: bytes) -> int:
    """RFC 3533 §6 field 7, bit by bit."""
    page = page[:22] + bytes(4) + page[26:]
    register = 0
    for octet in page:
        register ^= octet << 24
        for _ in range(8):
            register = (register << 1) ^ (0x04C11DB7 if register & 0x80000000 else 0)
            register &= 0xFFFFFFFF
    return register


def pages(data: bytes) -> list[bytes]:
    found, position = [], 0
    while position < len(data):
        segments = data[position + 26]
        size = 27 + segments + sum(data[position + 27 : position + 27 + segments])
        found.append(data[position : position + size])
        position += size
    return found


def test_every_page_gets_the_number_and_a_right_checksum(tmp_path: Path) -> None:
    path = tmp_path / "x.ogg"
    sound = (np.random.default_rng(1).normal(0, 3000, 80_000)).astype(np.int16)
    soundfile.write(path, sound, 8000, format="OGG", subtype="OPUS")
    before = pages(path.read_bytes())
    set_serial_number(path, 0x01020304)
    after = pages(path.read_bytes())
    assert len(after) == len(before) > 3
    for old, new in zip(before, after, strict=True):
        assert new[14:18] == b"\x04\x03\x02\x01"
        assert struct.unpack_from("<I", new, 22)[0] == checksum(new)
        assert (new[:14], new[18:22], new[26:]) == (old[:14], old[18:22], old[26:])


def test_what_is_no_ogg_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"RIFF" * 20)
    set_serial_number(path, 1)
    assert path.read_bytes() == b"RIFF" * 20
