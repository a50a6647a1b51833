"""Healing: one master out of the copies of a call, every stretch of it from the best copy that has it.

Copies come as finished sounds and their places on one timeline; how they were found to be copies is decided elsewhere.
Nothing is mixed: each frame of a party comes from one copy. Where any copy that is proven to be of a party was not to
record it, the master holds silence, whatever the others have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from media.errors import LocalError
from media.healing.evidence import Piece
from media.healing.placement import Strand, on_master, read_placed, spans
from media.pipeline.canvas import Rows
from media.pipeline.codec import Law
from media.pipeline.codec.g711 import SILENCE, compress, expand
from media.pipeline.gaps import PartyTimeline, find_gaps
from media.pipeline.intervals import Intervals
from media.pipeline.levels import LevelMeter
from media.pipeline.output import LAW_OF, open_sink, resolved
from media.pipeline.report import Gap, GapCause, OutputFormat, PartyReport

STRETCH_SECONDS: Final = 60
"""Of the master that is put together at a time."""

_EDGES: Final = (GapCause.NOT_STARTED, GapCause.ENDED_EARLY, GapCause.NO_MEDIA, GapCause.SOURCE_CHANGE)
"""What a copy says about its own ends is nothing that the master lacks; its own ends are found anew."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of one party of the master, and where it comes from."""

    party: int
    start_frame: int
    frames: int
    copy: int
    """Position of the copy among those that were given."""
    copy_party: int
    copy_frame: int
    """Of the first frame, on the copy's own timeline."""
    exact: bool
    """Moved by whole frames and otherwise unchanged."""


class Healing(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    format: OutputFormat
    sample_rate: int
    channels: int
    frames: int
    started_at_ns: int
    """Wall clock of frame 0, by the clock of the first copy."""
    duration_s: float
    parties: list[PartyReport]
    gaps: list[Gap]
    """What no copy has."""
    provenance: list[Taken]
    """By party, then by start; with the gaps it covers the timeline of each party."""


def heal(strands: Sequence[Strand], target: Path, *, format_: OutputFormat = OutputFormat.AUTO) -> Healing:
    """Write the master of some copies.

    Args:
        strands: best copy first; all of one sample rate and encoding.
        target: created or overwritten.
        format_: AUTO keeps the copies' encoding.

    Errors:
        `media.pipeline.errors.OutputFailed`; `LocalError` for copies of different rates or without any audio.

    """
    sample_rate, law = _common(strands)
    layout = _Layout(strands, sample_rate, law)
    written = resolved(format_, law)
    meters = [LevelMeter(sample_rate, law) for _ in layout.parties]
    sink = open_sink(written, target, sample_rate, len(layout.parties), layout.frames)
    try:
        for start in range(0, layout.frames, STRETCH_SECONDS * sample_rate):
            end = min(start + STRETCH_SECONDS * sample_rate, layout.frames)
            rows = [layout.stretch(party, start, end) for party in layout.parties]
            for meter, row in zip(meters, rows, strict=True):
                meter.feed(row)
            sink.write(_interleaved(rows, law, LAW_OF.get(written)))
    finally:
        sink.close()
    zero_ns = round(layout.zero * 1_000_000_000 / sample_rate)
    return Healing(
        format=written,
        sample_rate=sample_rate,
        channels=len(layout.parties),
        frames=layout.frames,
        started_at_ns=strands[0].origin_ns + zero_ns,
        duration_s=layout.frames / sample_rate,
        parties=[_report(layout, meter, party) for meter, party in zip(meters, layout.parties, strict=True)],
        gaps=[gap for party in layout.parties for gap in layout.gaps(party)],
        provenance=[taken for party in layout.parties for taken in layout.provenance(party)],
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """What one copy has of one party of the master; master frames counted from the first copy's frame 0."""

    copy: int
    party: int
    """Of the copy."""
    pieces: tuple[Piece, ...]
    audio: Intervals


class _Layout:
    """Who gives what. Frames of the timeline count from its own zero; `_Source` does not know that yet."""

    def __init__(self, strands: Sequence[Strand], sample_rate: int, law: Law | None) -> None:
        self._strands = strands
        self._rate = sample_rate
        self._law = law
        self._sources = _sources(strands)
        heard = [source.audio for sources in self._sources.values() for source in sources if len(source.audio)]
        if not heard:
            raise LocalError("copies without any audio cannot be healed")
        self.zero = min(int(audio.starts[0]) for audio in heard)
        """First frame of the timeline, counted from the first copy's frame 0."""
        self.frames = max(int(audio.ends[-1]) for audio in heard) - self.zero
        self.parties = list(range(max(self._sources) + 1))
        self.paused = {party: self._paused(party) for party in self.parties}
        self.chosen = {party: self._choose(party) for party in self.parties}

    def audio(self, party: int) -> Intervals:
        """Return what the master holds of a party."""
        return Intervals.merged(*(found for _, found in self.chosen[party]))

    def gaps(self, party: int) -> list[Gap]:
        """Return what the master lacks, and why."""
        audio = self.audio(party)
        causes: dict[GapCause, list[Intervals]] = {}
        running = []
        for source in self._sources.get(party, []):
            voice = self._strands[source.copy].sound.voices[source.party]
            running.append(self._moved(Intervals.of((0, voice.frames)), source.pieces))
            for gap in voice.gaps:
                if gap.cause not in _EDGES:
                    found = Intervals.of((gap.start_frame, gap.start_frame + gap.frames))
                    causes.setdefault(gap.cause, []).append(self._moved(found, source.pieces))
        causes.setdefault(GapCause.PAUSED, []).append(self.paused[party])
        nobody = Intervals.merged(*running).complement(0, self.frames)
        causes.setdefault(GapCause.NO_SESSION, []).append(nobody)
        heard = (int(audio.starts[0]), int(audio.ends[-1])) if len(audio) else None
        merged = {cause: Intervals.merged(*found) for cause, found in causes.items()}
        return find_gaps(PartyTimeline(party, audio, merged, heard), self.frames, self._rate)

    def provenance(self, party: int) -> list[Taken]:
        """Return where each stretch of a party comes from, in order."""
        taken = []
        for source, found in self.chosen[party]:
            for start, end, piece in spans(source.pieces):
                inside = Intervals.union(
                    np.maximum(found.starts, start - self.zero), np.minimum(found.ends, end - self.zero)
                )
                taken += [
                    Taken(
                        party=party,
                        start_frame=first,
                        frames=last - first,
                        copy=source.copy,
                        copy_party=source.party,
                        copy_frame=_frame_of(piece, first + self.zero),
                        exact=piece.constant,
                    )
                    for first, last in inside.pairs()
                ]
        return sorted(taken, key=lambda one: one.start_frame)

    def stretch(self, party: int, start: int, end: int) -> Rows:
        """Return the master's frames `[start, end)` of a party, codes or samples as the copies have them."""
        row = self._silence(end - start)
        for source, wanted in self.chosen[party]:
            first = int(np.searchsorted(wanted.ends, start, "right"))
            last = int(np.searchsorted(wanted.starts, end, "left"))
            if first >= last:
                continue
            voice = self._strands[source.copy].sound.voices[source.party]
            for begin, until, piece in spans(source.pieces):
                low, high = max(start, begin - self.zero), min(end, until - self.zero)
                for from_, to in zip(wanted.starts[first:last].tolist(), wanted.ends[first:last].tolist(), strict=True):
                    inner, outer = max(from_, low), min(to, high)
                    if inner < outer:
                        samples = read_placed(voice, piece, inner + self.zero, outer + self.zero)
                        row[inner - start : outer - start] = samples
        return row

    def _silence(self, frames: int) -> Rows:
        return np.zeros(frames, np.int16) if self._law is None else np.full(frames, SILENCE[self._law], np.uint8)

    def _choose(self, party: int) -> list[tuple[_Source, Intervals]]:
        """Return what is taken from each source: what none before it has, outside of pauses."""
        chosen = []
        settled = self.paused[party]
        for source in self._sources.get(party, []):
            audio = Intervals.union(source.audio.starts - self.zero, source.audio.ends - self.zero)
            wanted = Intervals.merged(audio.complement(0, self.frames), settled).complement(0, self.frames)
            chosen.append((source, wanted))
            settled = Intervals.merged(settled, audio)
        return chosen

    def _paused(self, party: int) -> Intervals:
        """Return when any copy that is proven to be of this party was not to record it.

        A copy whose order of parties is a guess may have them the other way round: its pauses are everybody's.
        """
        found = []
        for other, sources in self._sources.items():
            for source in sources:
                strand = self._strands[source.copy]
                if strand.guessed or (other == party and source.party in strand.proven):
                    found.append(self._moved(strand.sound.voices[source.party].paused, source.pieces))
        return Intervals.merged(*found)

    def _moved(self, found: Intervals, pieces: Sequence[Piece]) -> Intervals:
        moved = on_master(found, pieces)
        return Intervals.union(np.maximum(moved.starts - self.zero, 0), np.minimum(moved.ends - self.zero, self.frames))


def _sources(strands: Sequence[Strand]) -> dict[int, list[_Source]]:
    """Return the sources of each party, best copy first."""
    sources: dict[int, list[_Source]] = {}
    for number, strand in enumerate(strands):
        for party, voice in strand.sound.voices.items():
            pieces = strand.pieces[party]
            audio = on_master(voice.audio, pieces)
            sources.setdefault(strand.parties[party], []).append(_Source(number, party, pieces, audio))
    return sources


def _common(strands: Sequence[Strand]) -> tuple[int, Law | None]:
    formats = {(strand.sound.sample_rate, strand.sound.law) for strand in strands}
    if len(formats) != 1:
        raise LocalError(f"copies in different formats cannot be healed before they are converted: {formats}")
    return formats.pop()


def _interleaved(rows: Sequence[Rows], law: Law | None, wanted: Law | None) -> Rows:
    """Return frames, shape (frames, channels), in the encoding that the sink writes."""
    frames: Rows = np.empty((len(rows[0]), len(rows)), rows[0].dtype)
    for number, row in enumerate(rows):
        frames[:, number] = row
    if law == wanted:
        return frames
    linear = frames.view(np.int16) if law is None else expand(frames.view(np.uint8), law)
    return linear if wanted is None else compress(linear, wanted)


def _frame_of(piece: Piece, master: int) -> int:
    """Return the frame of a copy that lies at a frame of the master's timeline."""
    if piece.constant:
        return master - int(piece.offset)
    share = (master - (piece.start + piece.offset)) / ((piece.end + piece.end_offset) - (piece.start + piece.offset))
    return piece.start + round(share * (piece.end - piece.start))


def _report(layout: _Layout, meter: LevelMeter, party: int) -> PartyReport:
    audio = layout.audio(party)
    return PartyReport(
        party=party,
        label="",
        frames=audio.total,
        level_dbfs=meter.level_dbfs(audio.total),
        clipped=meter.clipped,
        speech_share=round(meter.speech_share, 4),
        coverage=audio.pairs(),
    )


def shares(provenance: Sequence[Taken], sample_rate: int) -> Mapping[int, float]:
    """Return how many seconds, all parties together, each copy gave."""
    found: dict[int, int] = {}
    for taken in provenance:
        found[taken.copy] = found.get(taken.copy, 0) + taken.frames
    return {copy: frames / sample_rate for copy, frames in sorted(found.items())}
