"""Audio for exports: `media.export` behind the port of the storage commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from media.errors import MediaError
from media.export import Channels, Conversion, convert, draw_waveform
from media.pipeline import OutputFormat
from storage.cli.context import CommandFailed
from storage.cli.conversion import ExportFormat, SoundWanted
from storage.exit_codes import ExitCode

_FORMATS: Final = {
    ExportFormat.WAV: OutputFormat.AUTO,
    ExportFormat.PCM16: OutputFormat.WAV_PCM16,
    ExportFormat.MULAW: OutputFormat.WAV_MULAW,
    ExportFormat.ALAW: OutputFormat.WAV_ALAW,
    ExportFormat.FLAC: OutputFormat.FLAC,
    ExportFormat.OPUS: OutputFormat.OGG_OPUS,
}


class MediaConverter:
    """The converter of `recorder-admin`."""

    def convert(self, source: Path, target: Path, wanted: SoundWanted, progress: Callable[[float], None]) -> None:
        """Write another form of the sound."""
        conversion = Conversion(
            format=_FORMATS[wanted.format],
            channels=Channels(wanted.party.value),
            start_s=wanted.start_s,
            end_s=wanted.end_s,
        )
        with _told():
            convert(source, target, conversion, progress)

    def draw(self, source: Path, target: Path) -> None:
        """Write a PNG of the waveform."""
        with _told():
            draw_waveform(source, target)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except MediaError as error:
        raise CommandFailed(str(error), ExitCode.REFUSED) from error
