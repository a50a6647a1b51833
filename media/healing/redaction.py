"""Silence stretches of a finished file, sample-exact.

Of a WAV file every other byte stays as it is, of a FLAC file every other sample. Ogg Opus is encoded anew.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from media.healing.errors import SoundUnreadable
from media.healing.wav_source import open_wav
from media.pipeline.codec.g711 import SILENCE
from media.pipeline.output import Tags, open_sink
from media.pipeline.report import OutputFormat

_BLOCK_FRAMES: Final = 1 << 19
_COMPRESSED: Final = (OutputFormat.FLAC, OutputFormat.OGG_OPUS)


@dataclass(frozen=True, slots=True)
class Silenced:
    """Frames `[start, end)` of one channel, or of all."""

    start: int
    end: int
    channel: int | None = None


def silence(source: Path, target: Path, format_: OutputFormat, stretches: Sequence[Silenced]) -> None:
    """Write a finished file without the sound of some stretches; what lies outside of the file is ignored.

    Errors: `SoundUnreadable` for a file that is not of this format, `OutputFailed` and `OSError` when the target cannot
    be written.
    """
    if format_ in _COMPRESSED:
        _silence_compressed(source, target, format_, stretches)
    else:
        silence_wav(source, target, stretches)


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


def _silence_compressed(source: Path, target: Path, format_: OutputFormat, stretches: Sequence[Silenced]) -> None:
    try:
        with soundfile.SoundFile(str(source)) as file:
            sink = open_sink(format_, target, file.samplerate, file.channels, len(file), tags=_tags(file))
            try:
                at = 0
                for block in file.blocks(_BLOCK_FRAMES, dtype="int16", always_2d=True):
                    for one in stretches:
                        channels = slice(None) if one.channel is None else one.channel
                        block[max(one.start - at, 0) : max(one.end - at, 0), channels] = 0
                    sink.write(block)
                    at += len(block)
            finally:
                sink.close()
    except (soundfile.LibsndfileError, OSError) as error:
        raise SoundUnreadable(str(source), str(error)) from error


def _tags(file: soundfile.SoundFile) -> Tags:
    return Tags(**{name: getattr(file, name) or "" for name in Tags._fields})
