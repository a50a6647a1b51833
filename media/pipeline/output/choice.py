"""From the name of a format to the file that is written."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from media.pipeline.codec import Law
from media.pipeline.output.base import NO_TAGS, Sink, Tags
from media.pipeline.output.compressed import FlacFile, OpusFile
from media.pipeline.output.wav import WavEncoding, WavFile
from media.pipeline.report import OutputFormat

_ENCODINGS: Final = {
    OutputFormat.WAV_MULAW: WavEncoding.MULAW,
    OutputFormat.WAV_ALAW: WavEncoding.ALAW,
    OutputFormat.WAV_PCM16: WavEncoding.PCM16,
}
_FORMAT_OF: Final = {
    Law.MULAW: OutputFormat.WAV_MULAW,
    Law.ALAW: OutputFormat.WAV_ALAW,
    None: OutputFormat.WAV_PCM16,
}
LAW_OF: Final = {OutputFormat.WAV_MULAW: Law.MULAW, OutputFormat.WAV_ALAW: Law.ALAW}
"""Of formats that hold codes."""


def resolved(format_: OutputFormat, law: Law | None) -> OutputFormat:
    """Return the format itself; for AUTO the one that keeps audio of this law (None: of none) unchanged."""
    return _FORMAT_OF[law] if format_ is OutputFormat.AUTO else format_


def open_sink(
    format_: OutputFormat, target: Path, sample_rate: int, channels: int, frames: int, *, tags: Tags = NO_TAGS
) -> Sink:
    """Create a file of a resolved format; raises `OutputFailed`, `UnsupportedOutput`."""
    if format_ is OutputFormat.FLAC:
        return FlacFile(target, sample_rate, channels, tags=tags)
    if format_ is OutputFormat.OGG_OPUS:
        return OpusFile(target, sample_rate, channels, tags=tags)
    return WavFile(target, _ENCODINGS[format_], sample_rate, channels, frames, tags=tags)
