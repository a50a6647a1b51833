"""FLAC and Ogg Opus files by libsndfile. Lossless and lossy; the same frames give the same bytes.

Opus: RFC 7845. libsndfile draws the serial number of an Ogg stream by chance; it is set to a constant afterwards.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import soundfile

from media.pipeline.errors import OutputFailed, UnsupportedOutput
from media.pipeline.output.base import NO_TAGS, Frames, Tags
from media.pipeline.output.ogg import set_serial_number

FLAC_CHANNELS: Final = 8
"""Most channels of a FLAC stream (RFC 9639 §9.1.3)."""
FLAC_RATE: Final = 655_350
"""Hz; libFLAC takes no higher sample rate."""
OPUS_CHANNELS: Final = 2
"""More need a surround mapping (RFC 7845 §5.1.1), which parties are not."""
OPUS_RATES: Final = (8000, 12000, 16000, 24000, 48000)
"""Hz; what the encoder takes (RFC 6716 §2)."""

SERIAL_NUMBER: Final = 0x54414E44
"""Of our Ogg streams; any constant will do, a file holds one stream."""


class _SoundFile:
    """A file that libsndfile writes."""

    def __init__(
        self, path: Path, sample_rate: int, channels: int, container: str, subtype: str, *, tags: Tags = NO_TAGS
    ) -> None:
        self._path = path
        try:
            self._file = soundfile.SoundFile(
                str(path), "w", samplerate=sample_rate, channels=channels, format=container, subtype=subtype
            )
            for name, text in tags._asdict().items():
                if text:
                    setattr(self._file, name, text)
        except (soundfile.LibsndfileError, OSError) as error:
            raise OutputFailed(str(path), str(error)) from error

    def write(self, frames: Frames) -> None:
        """Append 16-bit frames."""
        try:
            self._file.write(frames)
        except (soundfile.LibsndfileError, OSError, AssertionError) as error:
            # soundfile asserts that libsndfile took all frames: on a full disk it does not.
            raise OutputFailed(str(self._path), str(error) or "not all frames were taken") from error

    def close(self) -> None:
        """Write what the encoder still holds and close."""
        try:
            self._file.close()
        except (soundfile.LibsndfileError, OSError) as error:
            raise OutputFailed(str(self._path), str(error)) from error


class FlacFile(_SoundFile):
    """A 16-bit FLAC file."""

    def __init__(self, path: Path, sample_rate: int, channels: int, *, tags: Tags = NO_TAGS) -> None:
        if channels > FLAC_CHANNELS or sample_rate > FLAC_RATE:
            raise UnsupportedOutput(f"FLAC holds {FLAC_CHANNELS} channels, not {channels}; use WAV or the mix")
        super().__init__(path, sample_rate, channels, "FLAC", "PCM_16", tags=tags)


class OpusFile(_SoundFile):
    """An Ogg Opus file at the encoder's own bit rate."""

    def __init__(self, path: Path, sample_rate: int, channels: int, *, tags: Tags = NO_TAGS) -> None:
        if channels > OPUS_CHANNELS or sample_rate not in OPUS_RATES:
            raise UnsupportedOutput(f"Opus takes one or two channels at {OPUS_RATES} Hz, not {channels}, {sample_rate}")
        super().__init__(path, sample_rate, channels, "OGG", "OPUS", tags=tags)

    def close(self) -> None:
        """Close, and take chance out of the bytes."""
        super().close()
        try:
            set_serial_number(self._path, SERIAL_NUMBER)
        except OSError as error:
            raise OutputFailed(str(self._path), str(error.strerror)) from error
