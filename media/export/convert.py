"""From a finished file to another one: format, party or mix, stretch. The same input gives the same bytes.

G.711 stays bit-exact where the target holds the same law and nothing is mixed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from media.export.errors import ExportRefused
from media.export.sound import FinishedSound, open_finished
from media.pipeline.canvas import Rows, mix_samples
from media.pipeline.codec import Law
from media.pipeline.codec.g711 import compress, expand
from media.pipeline.output.choice import LAW_OF, open_sink, resolved
from media.pipeline.report import OutputFormat


class Channels(enum.StrEnum):
    """What becomes of the parties."""

    BOTH = "both"
    """As they are, one channel each."""
    LEFT = "left"
    RIGHT = "right"
    MIX = "mix"
    """One channel with the sum of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What to make; the default is the same sound in the same format."""

    format: OutputFormat = OutputFormat.AUTO
    channels: Channels = Channels.BOTH
    start_s: float = 0.0
    """Seconds from the start of the recording."""
    end_s: float | None = None
    """Exclusive; None for the end. Beyond it counts as the end."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What was made."""

    format: OutputFormat
    sample_rate: int
    channels: int
    frames: int


def convert(
    source: Path, target: Path, wanted: Conversion, progress: Callable[[float], None] = lambda _: None
) -> Converted:
    """Write `target` from `source`; `progress` is told the share that is done, 0 to 1.

    Errors: `ExportRefused`, `SoundUnreadable`, `OutputFailed`, `UnsupportedOutput` (the format cannot hold it).
    """
    sound = open_finished(source)
    start, end = _stretch(sound, wanted)
    picked = _picked(sound, wanted.channels)
    mixed = wanted.channels is Channels.MIX and sound.channels > 1
    format_ = resolved(wanted.format, sound.law)
    law = LAW_OF.get(format_)
    channels = 1 if mixed else len(picked)
    sink = open_sink(format_, target, sound.sample_rate, channels, end - start)
    done = 0
    try:
        for block in sound.blocks(start, end):
            rows = [block[channel] for channel in picked]
            sink.write(_frames(rows, sound.law, law, mixed=mixed))
            done += len(rows[0])
            progress(done / (end - start))
    finally:
        sink.close()
    return Converted(format_, sound.sample_rate, channels, end - start)


def _stretch(sound: FinishedSound, wanted: Conversion) -> tuple[int, int]:
    length_s = sound.frames / sound.sample_rate
    start = round(wanted.start_s * sound.sample_rate)
    end = sound.frames if wanted.end_s is None else min(round(wanted.end_s * sound.sample_rate), sound.frames)
    if not 0 <= start < end:
        raise ExportRefused(f"there is nothing between these times: the recording is {length_s:.1f} s long")
    return start, end


def _picked(sound: FinishedSound, channels: Channels) -> list[int]:
    match channels:
        case Channels.LEFT:
            return [0]
        case Channels.RIGHT:
            if sound.channels < 2:
                raise ExportRefused("the recording has one party only: it is the left one")
            return [1]
        case _:
            return list(range(sound.channels))


def _frames(rows: list[Rows], have: Law | None, want: Law | None, *, mixed: bool) -> Rows:
    """Return interleaved frames, shape (frames, channels), as the sink wants them."""
    if mixed or have is not want:
        samples = [expand(row.view(np.uint8), have) if have is not None else row.view(np.int16) for row in rows]
        if mixed:
            samples = [mix_samples(samples)]
        rows = [compress(row, want) for row in samples] if want is not None else list(samples)
    return np.ascontiguousarray(np.stack(rows, axis=1))
