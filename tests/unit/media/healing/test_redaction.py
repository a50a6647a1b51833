"""Silence in a finished file: exactly the frames asked for, and no other byte."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from media.healing import SoundUnreadable
from media.healing.redaction import Silenced, silence_wav
from media.pipeline.output.wav import WavEncoding, WavFile

QUIET = {WavEncoding.PCM16: 0, WavEncoding.ALAW: 0xD5, WavEncoding.MULAW: 0xFF}


def written(
    path: Path, encoding: WavEncoding, channels: int = 2, frames: int = 1001
) -> NDArray[np.uint8] | NDArray[np.int16]:
    drawn = np.random.default_rng(7).integers(1, 200, (frames, channels))
    samples = drawn.astype(np.int16) if encoding is WavEncoding.PCM16 else drawn.astype(np.uint8)
    samples[samples == QUIET[encoding]] = 3
    file = WavFile(path, encoding, 8000, channels, frames)
    file.write(samples)
    file.close()
    return samples


@pytest.mark.parametrize("encoding", WavEncoding)
@pytest.mark.parametrize("channel", [None, 0, 1])
def test_only_the_stretch_is_silent(tmp_path: Path, encoding: WavEncoding, channel: int | None) -> None:
    before = written(tmp_path / "a.wav", encoding)
    silence_wav(tmp_path / "a.wav", tmp_path / "b.wav", [Silenced(100, 250, channel), Silenced(990, 5000, channel)])
    expected = before.copy()
    for start, end in ((100, 250), (990, 1001)):
        expected[start:end, slice(None) if channel is None else channel] = QUIET[encoding]
    old, new = (tmp_path / "a.wav").read_bytes(), (tmp_path / "b.wav").read_bytes()
    size = before.nbytes
    begin = old.index(before.tobytes())
    assert (new[:begin], new[begin + size :]) == (old[:begin], old[begin + size :])
    assert new[begin : begin + size] == expected.tobytes()


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.opus").write_bytes(b"OggS" + bytes(100))
    with pytest.raises(SoundUnreadable):
        silence_wav(tmp_path / "a.opus", tmp_path / "b.opus", [Silenced(0, 1)])
