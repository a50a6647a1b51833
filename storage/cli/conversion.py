"""What the composing application does for exports: audio in other forms. A port; this package knows no sound."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol


class ExportFormat(enum.StrEnum):
    """What `recordings export` writes."""

    MASTER = "master"
    """The stored file, byte for byte."""
    WAV = "wav"
    """WAV that keeps the sound unchanged: G.711 of its law, else 16-bit."""
    PCM16 = "pcm16"
    MULAW = "mulaw"
    ALAW = "alaw"
    FLAC = "flac"
    OPUS = "opus"
    PNG = "png"
    """A picture of the waveform."""
    GIR = "gir"
    """Metadata as Genesys Interaction Recording describes a recording."""
    VCON = "vcon"
    """A vCon with the sound inside."""
    BUNDLE = "bundle"
    """Everything: a directory, or a zip file where the name says so."""
    EVIDENCE = "evidence"
    """A bundle with manifests, SIP messages and raw captures, and a signed list of its contents."""


FOLDERS: Final = (ExportFormat.BUNDLE, ExportFormat.EVIDENCE)
"""Forms of several files."""


SUFFIXES: Final = {
    ExportFormat.WAV: ".wav",
    ExportFormat.PCM16: ".wav",
    ExportFormat.MULAW: ".wav",
    ExportFormat.ALAW: ".wav",
    ExportFormat.FLAC: ".flac",
    ExportFormat.OPUS: ".opus",
    ExportFormat.PNG: ".png",
    ExportFormat.GIR: ".gir.json",
    ExportFormat.VCON: ".vcon.json",
    ExportFormat.BUNDLE: "",
    ExportFormat.EVIDENCE: "",
}


class ExportParty(enum.StrEnum):
    """Which parties."""

    BOTH = "both"
    LEFT = "left"
    RIGHT = "right"
    MIX = "mix"


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundWanted:
    """A form of the audio."""

    format: ExportFormat = ExportFormat.WAV
    party: ExportParty = ExportParty.BOTH
    start_s: float = 0.0
    end_s: float | None = None


class Converter(Protocol):
    """Makes files out of a finished file. Blocks. Errors carry an `exit_code`."""

    def convert(self, source: Path, target: Path, wanted: SoundWanted, progress: Callable[[float], None]) -> None:
        """Write another form of the sound; `progress` is told the share that is done."""
        ...

    def draw(self, source: Path, target: Path) -> None:
        """Write a PNG of the waveform."""
        ...
