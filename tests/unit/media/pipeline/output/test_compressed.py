"""FLAC and Ogg Opus files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from media.pipeline import OutputFailed, UnsupportedOutput
from media.pipeline.output import FlacFile, OpusFile
from media.pipeline.output.compressed import SERIAL_NUMBER

RATE = 8000


def tone(seconds: float, channels: int = 2) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    time = np.arange(int(seconds * RATE)) / RATE
    return np.stack([(9000 * np.sin(2 * np.pi * (300 + 200 * n) * time)) for n in range(channels)], axis=1).astype(
        np.int16
    )


def test_flac_is_lossless_and_knows_its_length(tmp_path: Path) -> None:
    frames = tone(3)
    file = FlacFile(tmp_path / "x.flac", RATE, 2)
    for part in np.array_split(frames, 7):
        file.write(part)
    file.close()
    read, rate = soundfile.read(tmp_path / "x.flac", dtype="int16")
    assert rate == RATE
    assert (read == frames).all()
    assert soundfile.info(tmp_path / "x.flac").frames == len(frames)


def test_opus_keeps_length_and_sound(tmp_path: Path) -> None:
    frames = tone(3)
    file = OpusFile(tmp_path / "x.opus", RATE, 2)
    for part in np.array_split(frames, 7):
        file.write(part)
    file.close()
    info = soundfile.info(tmp_path / "x.opus")
    assert (info.format, info.subtype, info.channels, info.duration) == ("OGG", "OPUS", 2, 3.0)
    read, rate = soundfile.read(tmp_path / "x.opus")
    steady = slice(rate // 2, 2 * rate)
    assert 0.15 < np.sqrt((read[steady] ** 2).mean()) < 0.25
    spectrum = np.abs(np.fft.rfft(read[steady, 0]))
    assert np.argmax(spectrum) * rate / len(read[steady]) == pytest.approx(300, abs=2)


def test_opus_files_leave_nothing_to_chance(tmp_path: Path) -> None:
    for name in ("a", "b"):
        file = OpusFile(tmp_path / name, RATE, 1)
        file.write(tone(12, 1))
        file.close()
    data = (tmp_path / "a").read_bytes()
    assert data == (tmp_path / "b").read_bytes()
    assert data[14:18] == SERIAL_NUMBER.to_bytes(4, "little")


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 1), (8000, 3)])
def test_what_opus_cannot_hold_is_refused(tmp_path: Path, rate: int, channels: int) -> None:
    with pytest.raises(UnsupportedOutput):
        OpusFile(tmp_path / "x", rate, channels)


def test_what_flac_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOutput):
        FlacFile(tmp_path / "x", RATE, 9)


def test_a_target_that_cannot_be_created_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed):
        FlacFile(tmp_path / "absent" / "x", RATE, 1)


def test_a_full_disk_is_told() -> None:
    file = FlacFile(Path("/dev/full"), RATE, 2)
    noise = np.random.default_rng(1).integers(-30_000, 30_000, (1 << 18, 2), np.int16)
    with pytest.raises(OutputFailed):
        file.write(np.tile(noise, (8, 1)))
    file.close()
