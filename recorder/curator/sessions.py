"""Render a recording whatever its sessions are to each other: one after the other, or at the same time.

Sessions that follow each other are one rendering. Where several brought sound of a party at once, each is rendered
alone, their sound says which parties they have in common, and the result is healed from them: nothing is summed.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from media.healing import Healing, Relation, Sound, Strand, Taken, heal, open_sound, put_side_by_side
from media.pipeline import OutputFormat, PartyReport, Rendering, RenderingKind, RenderOptions, StreamQuality, render
from media.pipeline.intervals import Intervals
from recorder.curator.copies.comparing import alike, received_s
from recorder.depot import SCRATCH
from recorder.pairing.sessions import relate
from storage.catalog.records import RecordedSegment
from storage.files import FileStore

MOST_LANES: Final = 16
"""Sessions at the same time that are held against each other; with more, what overlaps is mixed, with a warning."""

_LOSSLESS: Final = OutputFormat.AUTO
_MIXED: Final = ("overlap:", "one-way:", "drift-corrected:")
"""Warnings that are about sessions rendered together."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What became of a recording."""

    rendering: Rendering
    """Its session numbers are positions in the segments."""
    streams: Sequence[tuple[Sequence[int], StreamQuality]]
    """Quality of each stream, and the numbers of the sessions that it is of."""


@dataclass(frozen=True, slots=True, eq=False)
class _Lane:
    """Sessions that follow each other, rendered together."""

    sessions: Sequence[int]
    rendering: Rendering
    sound: Sound


def render_recording(
    captures: Mapping[Path, int],
    segments: Sequence[RecordedSegment],
    target: Path,
    store: FileStore,
    options: RenderOptions | None = None,
) -> Rendered:
    """Render captures, each with the position of its session in `segments`, to a target.

    Args:
        captures: those that there are.
        segments: of the recording, by ordinal.
        target: what `media.pipeline.render` writes.
        store: for scratch files.
        options: how; None for the lossless default. All parties, a channel each.

    Errors: those of `media.pipeline.render`.

    """
    options = options or RenderOptions()
    together = render(list(captures), target, options, sessions=list(captures.values()))
    every = sorted(set(captures.values()))
    whole = Rendered(together, [(every, quality) for quality in together.streams])
    if not _at_once(together):
        return whole
    lanes = _lanes(together, segments)
    if len(lanes) > MOST_LANES:
        return whole
    with ExitStack() as stack:

        def scratch() -> Path:
            pending = stack.enter_context(store.begin(SCRATCH))
            pending.path.unlink()
            return pending.path

        rendered = list(_rendered_lanes(lanes, captures, scratch))
        sounds = alike([lane.sound for lane in rendered], store)
        strands, relations = put_side_by_side(sounds, relate)
        order = sorted(range(len(strands)), key=lambda number: -received_s(sounds[number]))
        target.unlink(missing_ok=True)
        healing = heal([strands[number] for number in order], target, format_=options.format)
    given = [(rendered[number], strands[number]) for number in order]
    return _combined(together, given, healing, relations, every)


def _at_once(rendering: Rendering) -> bool:
    """Whether several sessions brought sound of a party at the same time."""
    each = [[Intervals.of(*pairs) for pairs in party.sessions.values()] for party in rendering.parties]
    return any(sum(one.total for one in sessions) > Intervals.merged(*sessions).total for sessions in each)


def _lanes(rendering: Rendering, segments: Sequence[RecordedSegment]) -> list[list[int]]:
    """Distribute sessions that brought sound over lanes in which none overlaps another, those of one party together."""
    spans: dict[int, tuple[int, int]] = {}
    for party in rendering.parties:
        for session, pairs in party.sessions.items():
            if pairs:
                start, end = spans.get(session, (pairs[0][0], pairs[-1][1]))
                spans[session] = min(start, pairs[0][0]), max(end, pairs[-1][1])
    lanes: list[list[int]] = []
    for session in sorted(spans, key=lambda one: (spans[one][0], one)):
        free = [lane for lane in lanes if spans[lane[-1]][1] <= spans[session][0]]
        speakers = _speakers(segments[session])
        chosen = next((lane for lane in free if _speakers(segments[lane[-1]]) == speakers), None)
        if chosen is None:
            # A session of others goes on with none of these, where it can be told.
            chosen = next((lane for lane in free if not (speakers and _speakers(segments[lane[-1]]))), None)
        if chosen is None:
            lanes.append([session])
        else:
            chosen.append(session)
    return sorted(lanes)


def _speakers(segment: RecordedSegment) -> tuple[str, ...]:
    """Return who is on the streams of a session, as far as its call data tell."""
    found = []
    for stream in segment.streams:
        known = stream.participant or {}
        found.append(str(known.get("dn") or known.get("aor") or known.get("participant_id") or ""))
    return tuple(sorted(found)) if any(found) else ()


def _rendered_lanes(
    lanes: Sequence[Sequence[int]], captures: Mapping[Path, int], scratch: Callable[[], Path]
) -> Iterator[_Lane]:
    for sessions in lanes:
        own = {path: session for path, session in captures.items() if session in sessions}
        target = scratch()
        rendering = render(list(own), target, RenderOptions(format=_LOSSLESS), sessions=list(own.values()))
        if rendering.kind is not RenderingKind.AUDIO:
            continue
        sound = open_sound(
            target,
            started_at_ns=rendering.started_at_ns,
            coverage={party.party: party.coverage for party in rendering.parties},
            gaps=rendering.gaps,
        )
        declared = {party.party for party in rendering.parties}
        voices = {party: voice for party, voice in sound.voices.items() if party in declared}
        yield _Lane(sessions, rendering, dataclasses.replace(sound, voices=voices))


def _combined(
    together: Rendering,
    given: Sequence[tuple[_Lane, Strand]],
    healing: Healing,
    relations: Sequence[Relation],
    every: Sequence[int],
) -> Rendered:
    lanes = [lane for lane, _ in given]
    labels = {
        strand.parties[party.party]: party.label for lane, strand in reversed(given) for party in lane.rendering.parties
    }
    parties = [
        msgspec.structs.replace(party, label=labels.get(party.party, ""), sessions=_sessions(party, healing, lanes))
        for party in healing.parties
    ]
    streams = [
        (lane.sessions, msgspec.structs.replace(quality, party=strand.parties[quality.party]))
        for lane, strand in given
        for quality in lane.rendering.streams
    ]
    told = [warning for warning in together.warnings if not warning.startswith(_MIXED)]
    told += [
        warning for lane in lanes for warning in lane.rendering.warnings if warning.startswith(("overlap:", "drift-"))
    ]
    counts = {relation: relations[1:].count(relation) for relation in Relation}
    told.append(
        f"side-by-side: of {len(every)} sessions {len(relations)} ran at the same time: "
        f"{counts[Relation.SAME]} the same as one before it and merged with it, {counts[Relation.OTHER]} of other "
        f"parties with channels of their own, {counts[Relation.CONTINUED]} that went on where one ended"
    )
    rendering = msgspec.structs.replace(
        together,
        format=healing.format,
        sample_rate=healing.sample_rate,
        channels=healing.channels,
        frames=healing.frames,
        started_at_ns=healing.started_at_ns,
        duration_s=healing.duration_s,
        parties=parties,
        gaps=healing.gaps,
        streams=[quality for _, quality in streams],
        warnings=told,
    )
    return Rendered(rendering, streams)


def _sessions(party: PartyReport, healing: Healing, lanes: Sequence[_Lane]) -> dict[int, list[tuple[int, int]]]:
    """Return which session gave which frames of a party; each frame was taken from one."""
    found: dict[int, list[tuple[int, int]]] = {}
    for taken in healing.provenance:
        if taken.party == party.party:
            for session, start, end in _given(taken, lanes[taken.copy]):
                found.setdefault(session, []).append((start, end))
    return {session: Intervals.of(*pairs).pairs() for session, pairs in sorted(found.items())}


def _given(taken: Taken, lane: _Lane) -> Iterator[tuple[int, int, int]]:
    """Yield session, start and end of each part of a stretch; a session's part begins where its sound does."""
    begins = sorted(
        (pairs[0][0], session)
        for party in lane.rendering.parties
        if party.party == taken.copy_party
        for session, pairs in party.sessions.items()
        if pairs
    )
    starts = [start for start, _ in begins]
    shift = taken.start_frame - taken.copy_frame
    at, last = taken.copy_frame, taken.copy_frame + taken.frames
    while at < last:
        number = max(bisect.bisect_right(starts, at) - 1, 0)
        end = min(starts[number + 1], last) if number + 1 < len(starts) else last
        yield begins[number][1], at + shift, end + shift
        at = end
