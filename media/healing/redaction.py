"""Silence stretches of a finished WAV file, sample-exact; every other byte stays as it is."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from media.healing.wav_source import open_wav
from media.pipeline.codec.g711 import SILENCE


@dataclass(frozen=True, slots=True)
class Silenced:
    """Frames `[start, end)` of one channel, or of all."""

    start: int
    end: int
    channel: int | None = None


def silence_wav(source: Path, target: Path, stretches: Sequence[Silenced]) -> None:
    """Copy a WAV or RF64 file without the sound of some stretches; what lies outside of the file is ignored.

    Errors: `SoundUnreadable` for another kind of file, `OSError` when the target cannot be written.
    """
    wav = open_wav(source)
    shutil.copyfile(source, target)
    if not wav.frames:
        return
    dtype = np.dtype("<i2") if wav.law is None else np.dtype("u1")
    samples = np.memmap(target, dtype, "r+", wav.data_offset, (wav.frames, wav.channels))
    quiet = 0 if wav.law is None else SILENCE[wav.law]
    for one in stretches:
        channels = slice(None) if one.channel is None else one.channel
        samples[max(one.start, 0) : one.end, channels] = quiet
    samples.flush()
