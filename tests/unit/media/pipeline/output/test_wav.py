"""WAV headers, read back by an independent reader."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from media.errors import LocalError
from media.pipeline import OutputFailed
from media.pipeline.codec import Law
from media.pipeline.codec.g711 import expand
from media.pipeline.output import WavEncoding, WavFile, wav_header

CODES = np.arange(256, dtype=np.uint8)


def written(path: Path, encoding: WavEncoding, frames: NDArray[np.uint8 | np.int16]) -> None:
    file = WavFile(path, encoding, 8000, frames.shape[1], len(frames))
    for part in np.array_split(frames, 3):
        file.write(part)
    file.close()


@pytest.mark.parametrize(
    ("encoding", "law", "subtype"),
    [(WavEncoding.MULAW, Law.MULAW, "ULAW"), (WavEncoding.ALAW, Law.ALAW, "ALAW")],
)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_g711_files_are_read_by_libsndfile(
    tmp_path: Path, encoding: WavEncoding, law: Law, subtype: str, channels: int
) -> None:
    frames = np.stack([np.roll(CODES, number) for number in range(channels)], axis=1)[:255]
    written(tmp_path / "x.wav", encoding, frames)
    info = soundfile.info(tmp_path / "x.wav")
    assert (info.format, info.subtype, info.samplerate, info.channels, info.frames) == (
        "WAV",
        subtype,
        8000,
        channels,
        255,
    )
    read, _ = soundfile.read(tmp_path / "x.wav", dtype="int16", always_2d=True)
    assert (read == expand(frames, law)).all()


def test_linear_files_are_read_by_libsndfile(tmp_path: Path) -> None:
    frames = np.array([[0, 1], [-32768, 32767], [5, -6]], np.int16)
    written(tmp_path / "x.wav", WavEncoding.PCM16, frames)
    read, rate = soundfile.read(tmp_path / "x.wav", dtype="int16")
    assert (read.tolist(), rate) == (frames.tolist(), 8000)


@pytest.mark.parametrize("encoding", list(WavEncoding))
def test_sox_reads_the_files_without_complaint(tmp_path: Path, encoding: WavEncoding) -> None:
    counted = np.arange(2 * 801).reshape(801, 2)
    frames = counted.astype(np.int16) if encoding is WavEncoding.PCM16 else counted.astype(np.uint8)
    written(tmp_path / "x.wav", encoding, frames)
    told = subprocess.run(["sox", str(tmp_path / "x.wav"), "-n", "stat"], capture_output=True, text=True, check=True)
    assert "WARN" not in told.stderr
    assert "Samples read:              1602" in told.stderr


def test_the_fields_of_a_g711_header() -> None:
    header = wav_header(WavEncoding.MULAW, 8000, 2, 1000)
    assert header == (
        b"RIFF" + struct.pack("<I", 4 + 26 + 12 + 8 + 2000) + b"WAVE"
        b"fmt "
        + struct.pack("<IHHIIHHH", 18, 7, 2, 8000, 16_000, 2, 8, 0)
        + b"fact"
        + struct.pack("<II", 4, 1000)
        + b"data"
        + struct.pack("<I", 2000)
    )


def test_the_header_of_a_linear_file_is_44_octets() -> None:
    assert len(wav_header(WavEncoding.PCM16, 8000, 2, 1000)) == 44


def test_an_odd_data_chunk_is_padded(tmp_path: Path) -> None:
    written(tmp_path / "x.wav", WavEncoding.MULAW, CODES[:3, None])
    data = (tmp_path / "x.wav").read_bytes()
    assert len(data) % 2 == 0
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8


@pytest.mark.parametrize("encoding", list(WavEncoding))
def test_above_four_gibibytes_the_file_is_rf64(tmp_path: Path, encoding: WavEncoding) -> None:
    frames = 3_000_000_000
    header = wav_header(encoding, 8000, 2, frames)
    assert header.startswith(b"RF64\xff\xff\xff\xffWAVEds64")
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        # A file with a hole: nothing of it is on disk.
        file.write(header)
        file.truncate(len(header) + frames * 2 * encoding.octets)
    info = soundfile.info(path)
    assert (info.format, info.frames, info.channels) == ("RF64", frames, 2)
    assert struct.unpack_from("<Q", header, 20)[0] == path.stat().st_size - 8


def test_the_largest_riff_file_is_no_rf64() -> None:
    header = wav_header(WavEncoding.PCM16, 8000, 1, (0xFFFF_FFFF - 36) // 2)
    assert header.startswith(b"RIFF")
    assert wav_header(WavEncoding.PCM16, 8000, 1, (0xFFFF_FFFF - 36) // 2 + 1).startswith(b"RF64")


def test_a_target_that_cannot_be_created_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match="No such file"):
        WavFile(tmp_path / "absent" / "x.wav", WavEncoding.PCM16, 8000, 1, 0)


def test_a_full_disk_is_told() -> None:
    file = WavFile(Path("/dev/full"), WavEncoding.PCM16, 8000, 1, 1 << 20)
    with pytest.raises(OutputFailed, match="No space left"):
        file.write(np.zeros((1 << 20, 1), np.int16))
    with pytest.raises(OutputFailed):
        file.close()


def test_fewer_frames_than_promised_are_a_defect(tmp_path: Path) -> None:
    file = WavFile(tmp_path / "x.wav", WavEncoding.PCM16, 8000, 1, 10)
    file.write(np.zeros((9, 1), np.int16))
    with pytest.raises(LocalError, match="1 frames fewer"):
        file.close()
