"""The oracle's own WAV reader: exact, and hard on wrong headers."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recorder.simulator.audio_file import AudioFileError, Encoding, read_recording


def wav(
    *,
    tag: int = 7,
    channels: int = 2,
    rate: int = 8000,
    bits: int = 8,
    audio: bytes = bytes(range(8)),
    before: bytes = b"",
    claimed: int | None = None,
    riff: int | None = None,
    extensible: bool = False,
) -> bytes:
    block = channels * bits // 8
    fmt = struct.pack("<HHIIHH", 0xFFFE if extensible else tag, channels, rate, rate * block, block, bits)
    fmt += struct.pack("<HHIH14s", 22, bits, 3, tag, bytes(14)) if extensible else struct.pack("<H", 0)
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt + before
    chunks += b"data" + struct.pack("<I", len(audio) if claimed is None else claimed) + audio + b"\0" * (len(audio) % 2)
    size = 4 + len(chunks) if riff is None else riff
    return b"RIFF" + struct.pack("<I", size) + b"WAVE" + chunks


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "recording.wav"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("tag", "encoding"), [(7, Encoding.MU_LAW), (6, Encoding.A_LAW)])
@pytest.mark.parametrize("extensible", [False, True])
def test_companded_octets_are_seen_as_stored(tmp_path: Path, tag: int, encoding: Encoding, extensible: bool) -> None:
    audio = read_recording(written(tmp_path, wav(tag=tag, extensible=extensible)))
    assert (audio.encoding, audio.sample_rate) == (encoding, 8000)
    assert audio.frames.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_linear_samples(tmp_path: Path) -> None:
    content = wav(tag=1, bits=16, audio=struct.pack("<4h", -32768, 32767, 0, -1))
    audio = read_recording(written(tmp_path, content))
    assert audio.encoding is Encoding.PCM16
    assert audio.frames.tolist() == [[-32768, 32767], [0, -1]]


def test_other_chunks_are_skipped_also_odd_ones(tmp_path: Path) -> None:
    before = b"fact" + struct.pack("<II", 4, 4) + b"LIST" + struct.pack("<I", 3) + b"abc\0"
    assert len(read_recording(written(tmp_path, wav(before=before))).frames) == 4


def test_rf64_sizes_come_from_ds64(tmp_path: Path) -> None:
    plain = wav()
    body = b"ds64" + struct.pack("<IQQQI", 28, 0, 8, 4, 0) + plain[12:]
    body = body.replace(b"data" + struct.pack("<I", 8), b"data" + struct.pack("<I", 0xFFFFFFFF))
    content = bytearray(b"RF64" + b"\xff" * 4 + b"WAVE" + body)
    content[20:28] = struct.pack("<Q", len(content) - 8)
    assert len(read_recording(written(tmp_path, bytes(content))).frames) == 4


def test_flac_is_read_as_linear_samples(tmp_path: Path) -> None:
    path = tmp_path / "recording.flac"
    samples = np.array([[1, -2], [300, -400], [32767, -32768]], np.int16)
    soundfile.write(path, samples, 8000, subtype="PCM_16")
    audio = read_recording(path)
    assert audio.encoding is Encoding.PCM16
    assert np.array_equal(audio.frames, samples)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (wav(claimed=20), "promises 20 octets of audio, 8 are there"),
        (wav(riff=36), "the WAV header says 44 octets, the file has 54"),
        (wav(audio=bytes(7)), "ends in the middle of a frame"),
        (wav(tag=85), "format 85 with 8 bits"),
        (wav(bits=16), "format 7 with 16 bits"),
        (wav()[:30], "cut short"),
        (wav()[:38], "no data chunk"),
        (b"RIFF\x04\0\0\0WAVE", "no data chunk"),
        (b"not audio at all", "recording.wav"),
        (b"", "recording.wav"),
    ],
)
def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(AudioFileError, match=why):
        read_recording(written(tmp_path, content))


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="No such file"):
        read_recording(tmp_path / "nothing.wav")
