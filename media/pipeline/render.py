"""Finalising: the captures of one recording become one audio file and a report of everything that is not in it.

Two passes over the captures in windows of bounded size: the first measures, the second writes. The same captures and
options give the same bytes. It neither fsyncs nor renames, and decides nothing about which captures belong together.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.container import Capture, read_capture
from media.errors import CaptureUnreadable
from media.pipeline.canvas import Rows, mix_samples
from media.pipeline.codec import CodecRegistry, Law, default_registry
from media.pipeline.codec.g711 import compress
from media.pipeline.errors import UnsupportedOutput
from media.pipeline.levels import LevelMeter
from media.pipeline.output import LAW_OF, NO_TAGS, Tags, open_sink, resolved
from media.pipeline.painting import Painter
from media.pipeline.passes import Passes
from media.pipeline.plan import Plan, make_plan
from media.pipeline.quality import Findings, Surveyed, nothing_received, report
from media.pipeline.report import Layout, Rendering, RenderOptions
from media.pipeline.sender_clock import SenderClocks, read_sender_clocks
from media.pipeline.stream_table import StreamTable
from media.pipeline.survey import Survey

_LOG = logging.getLogger(__name__)

KEPT_BYTES: Final = 16 << 20
"""Of captures that are read once, together: some fourteen minutes of a two-party G.711 call."""

MAX_CHANNELS: Final = 64
"""Parties of one recording; more m-lines than that no session has."""


def render(
    captures: Sequence[Path],
    target: Path,
    options: RenderOptions | None = None,
    registry: CodecRegistry | None = None,
    *,
    sessions: Sequence[int] = (),
) -> Rendering:
    """Render the captures of one recording to one audio file and return what is in it.

    Args:
        captures: of all segments, in any order; they may overlap in time. A file that is not a capture is left out
            with a warning.
        target: created or overwritten; not touched if there is no media (`Rendering.kind` says so).
        options: how; None for the lossless default.
        registry: what can be decoded; None for all that is installed.
        sessions: number of the recording session of each capture: those of one session continue each other's sources,
            those of another are told apart even if their numbers are the same. Empty if all are of one session.

    Errors:
        `OutputFailed` if the target cannot be written, `UnsupportedOutput` if its format cannot hold what is asked,
        `LostError` if a capture cannot be read, `TimelineTooLong`.

    """
    options = options or RenderOptions()
    numbered, findings = _open(captures, sessions or [0] * len(captures))
    opened = [capture for capture, _ in numbered]
    table = StreamTable(opened, registry or default_registry(), [session for _, session in numbered])
    clocks = read_sender_clocks(opened)
    passes = Passes(opened, table, clocks.reported())
    recording = _survey(opened, table, passes, clocks, findings)
    if not recording.survey.flows:
        return nothing_received(recording)
    plan = make_plan(
        opened,
        table,
        recording.survey,
        slices=recording.slices,
        clocks=recording.clocks,
        sample_rate=options.sample_rate,
        keep_together=options.correct_drift,
    )
    parties = _parties(table, options)
    format_ = resolved(options.format, plan.law)
    law = plan.law if plan.law is not None and LAW_OF.get(format_) == plan.law and _copies(options, parties) else None
    painter = Painter(plan, table.codecs, parties, law)
    meters = {party: LevelMeter(plan.sample_rate, law) for party in parties}
    channels = 1 if options.layout is Layout.MIX else len(parties)
    sink = open_sink(format_, target, plan.sample_rate, channels, plan.frames, tags=_tags(options, plan))
    try:
        for stretch in _stretches(passes, plan, painter):
            for party, samples in zip(parties, stretch, strict=True):
                meters[party].feed(samples)
            sink.write(_frames(stretch, options.layout, law, LAW_OF.get(format_)))
    finally:
        sink.close()
    findings.decode_failures = painter.failures
    return report(recording, plan, meters, written=format_, channels=channels)


def _open(paths: Sequence[Path], sessions: Sequence[int]) -> tuple[list[tuple[Capture, int]], Findings]:
    """Return the captures that can be read, each with the number of its session, in order of their opening."""
    findings = Findings()
    opened = []
    room = KEPT_BYTES
    for path, session in zip(paths, sessions, strict=True):
        try:
            capture = read_capture(path, keep_bytes=room)
            room -= capture.kept_bytes
            opened.append((capture, session))
        except CaptureUnreadable as error:
            _LOG.warning("capture left out of a rendering", extra={"path": error.path, "reason": error.reason})
            findings.unreadable.append(path.name)
    opened.sort(key=lambda one: (one[0].session.wall_ns, one[0].session.session))
    return opened, findings


def _survey(
    captures: Sequence[Capture], table: StreamTable, passes: Passes, clocks: SenderClocks, findings: Findings
) -> Surveyed:
    survey, number = Survey(), 0
    for number, given in passes.first():
        survey.add(given, number)
    intake, flows = passes.intake, passes.flows
    findings.malformed, findings.unknown, findings.refused = intake.malformed, intake.unknown, flows.refused
    return Surveyed(captures, table, survey, flows, number + 1, findings, intake.contributors, clocks)


def _stretches(passes: Passes, plan: Plan, painter: Painter) -> Iterator[list[Rows]]:
    """Yield the output of all parties, stretch by stretch."""
    latest = 0
    for number, given in passes.second():
        if number != latest:
            yield painter.finished(plan.settled[number - 1])
            latest = number
        painter.paint(given)
    yield painter.finished(None)


def _parties(table: StreamTable, options: RenderOptions) -> list[int]:
    """Return the party of each channel: all up to the highest one, so that party 0 is always the left channel."""
    highest = max(table.parties)
    if highest >= MAX_CHANNELS or min(table.parties) < 0:
        raise UnsupportedOutput(f"party {highest} of {MAX_CHANNELS}: the stream table is wrong")
    if options.party is None:
        return list(range(highest + 1))
    if options.party not in table.parties:
        raise UnsupportedOutput(f"no party {options.party} in this recording, only {sorted(table.parties)}")
    return [options.party]


def _tags(options: RenderOptions, plan: Plan) -> Tags:
    if not options.title:
        return NO_TAGS
    began = datetime.fromtimestamp(plan.zero_ns // 1_000_000_000, UTC)
    return Tags(options.title, began.isoformat(), options.comment, "Tandem")


def _copies(options: RenderOptions, parties: Sequence[int]) -> bool:
    """Say whether codes go to the output as they are: a mix of several parties has to be computed."""
    return options.layout is Layout.PARTIES or len(parties) == 1


def _frames(stretch: list[Rows], layout: Layout, painted: Law | None, wanted: Law | None) -> Rows:
    """Return interleaved frames, shape (frames, channels), as the sink wants them."""
    channels = stretch
    if layout is Layout.MIX and len(stretch) > 1:
        channels = [mix_samples([row.view(np.int16) for row in stretch])]
    frames = _interleaved(channels)
    if painted is None and wanted is not None:
        return compress(frames.view(np.int16), wanted)
    return frames


def _interleaved(channels: list[Rows]) -> Rows:
    if len(channels) == 2 and channels[0].dtype == np.uint8:
        # What most files are: two codes are written at once.
        pairs: NDArray[np.uint16] = np.left_shift(channels[1], 8, dtype="<u2")
        pairs |= channels[0]
        return pairs.view(np.uint8).reshape(-1, 2)
    frames: Rows = np.empty((len(channels[0]), len(channels)), channels[0].dtype)
    for number, row in enumerate(channels):
        frames[:, number] = row
    return frames
