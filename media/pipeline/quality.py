"""The report of a rendering: what was received, how well, and what a person should look at. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

from media.container import Capture, Late, Unauthentic
from media.pipeline.contributors import Contributors
from media.pipeline.flow import Demultiplexer, FlowKey
from media.pipeline.gaps import longest_lost
from media.pipeline.levels import LevelMeter
from media.pipeline.mos import mean_opinion_score
from media.pipeline.plan import Plan
from media.pipeline.report import (
    OutputFormat,
    PartyReport,
    Rendering,
    RenderingKind,
    SegmentReport,
    StreamQuality,
)
from media.pipeline.sender_clock import SenderClocks
from media.pipeline.stream_table import PacketKind, StreamTable
from media.pipeline.survey import Survey

ONE_WAY_SECONDS: Final = 5.0
"""Shorter recordings may well hold one party only."""
ONE_WAY_SPEECH: Final = 0.02
"""Share of speech from which a party counts as talking, so that the silence of the other means something."""

_SOUNDLESS: Final = ("TELEPHONE-EVENT", "CN")


@dataclass(slots=True)
class Findings:
    """What was noticed on the way."""

    unreadable: list[str] = field(default_factory=list)
    """Names of files that are no captures."""
    malformed: int = 0
    """Packets that are not RTP."""
    unknown: int = 0
    """Packets of streams that no table names."""
    refused: int = 0
    """Packets of sources beyond the limit."""
    decode_failures: dict[str, int] = field(default_factory=dict)
    """Packets that a decoder refused, by codec."""


@dataclass(frozen=True, slots=True, eq=False)
class Surveyed:
    """A recording after its first pass."""

    captures: Sequence[Capture]
    table: StreamTable
    survey: Survey
    flows: Demultiplexer
    slices: int
    """Number of slices."""
    findings: Findings
    contributors: Contributors
    clocks: SenderClocks


def report(
    recording: Surveyed, plan: Plan, meters: Mapping[int, LevelMeter], *, written: OutputFormat, channels: int
) -> Rendering:
    """Return the report of a rendering that was written."""
    table, findings = recording.table, recording.findings
    parties = [
        PartyReport(
            party=party,
            label=label,
            frames=plan.audio[party].total,
            level_dbfs=meters[party].level_dbfs(plan.audio[party].total),
            clipped=meters[party].clipped,
            speech_share=round(meters[party].speech_share, 4),
            coverage=plan.audio[party].pairs(),
            sessions={session: audio.pairs() for session, audio in plan.sessions[party].items()},
        )
        for party, label in table.parties.items()
        if party in meters
    ]
    duration_s = plan.frames / plan.sample_rate
    return Rendering(
        kind=RenderingKind.AUDIO,
        format=written,
        sample_rate=plan.sample_rate,
        channels=channels,
        frames=plan.frames,
        started_at_ns=plan.zero_ns,
        duration_s=duration_s,
        parties=parties,
        gaps=list(plan.gaps),
        streams=_streams(recording, plan),
        segments=_segments(recording.captures),
        complete=_complete(recording),
        warnings=[
            *_reading_warnings(recording.captures, findings),
            *_codec_warnings(recording),
            *_one_way(parties, duration_s),
            *_timeline_warnings(plan),
        ],
    )


def nothing_received(recording: Surveyed) -> Rendering:
    """Return the report of a recording without any packet; no file belongs to it."""
    return Rendering(
        kind=RenderingKind.NO_MEDIA,
        format=OutputFormat.AUTO,
        sample_rate=0,
        channels=0,
        frames=0,
        started_at_ns=0,
        duration_s=0.0,
        parties=[
            PartyReport(party=party, label=label, frames=0, level_dbfs=None, clipped=0, speech_share=0.0)
            for party, label in recording.table.parties.items()
        ],
        gaps=[],
        streams=[],
        segments=_segments(recording.captures),
        complete=_complete(recording),
        warnings=_reading_warnings(recording.captures, recording.findings),
    )


def _segments(captures: Sequence[Capture]) -> list[SegmentReport]:
    return [
        SegmentReport(
            session=capture.session.session,
            writer=capture.session.writer,
            complete=capture.complete,
            damage=str(capture.damage),
            end_cause=capture.end.cause if capture.end else "",
            packets=capture.packet_count,
        )
        for capture in captures
    ]


def _complete(recording: Surveyed) -> bool:
    return not recording.findings.unreadable and all(capture.complete for capture in recording.captures)


def _streams(recording: Surveyed, plan: Plan) -> list[StreamQuality]:
    """Return the quality of each stream, sources of one stream together."""
    members: dict[tuple[int, int], list[FlowKey]] = {}
    for key in recording.survey.flows:
        members.setdefault((key.party, key.stream), []).append(key)
    labels = {(row.stream.party, row.stream.index): row.stream.label for row in recording.table.rows}
    return [_stream(labels[stream], keys, recording, plan) for stream, keys in sorted(members.items())]


def _stream(label: str, keys: Sequence[FlowKey], recording: Surveyed, plan: Plan) -> StreamQuality:
    own = [recording.survey.flows[key] for key in keys]
    flows = [recording.flows.flows[key] for key in keys]
    codecs = [recording.table.codecs[position].codec for position in {each for flow in own for each in flow.codecs}]
    packets = sum(flow.packets for flow in own)
    missing = [plan.missing[key] for key in keys if key in plan.missing]
    lost = sum(flow.resequencer.lost for flow in flows) - sum(one.paused for one in missing)
    duplicates = sum(flow.duplicates for flow in flows)
    cnames = recording.clocks.cnames
    longest_gap = longest_lost([gap for gap in plan.gaps if gap.party == keys[0].party])
    return StreamQuality(
        party=keys[0].party,
        stream=keys[0].stream,
        label=label,
        ssrcs=list(dict.fromkeys(key.ssrc for key in keys)),
        cnames=list(dict.fromkeys(cnames[key.stream, key.ssrc] for key in keys if (key.stream, key.ssrc) in cnames)),
        contributors=recording.contributors.of(keys[0].party, keys[0].stream, cnames),
        payload_types=sorted({payload_type for flow in own for payload_type in flow.payload_types}),
        codecs=sorted({f"{codec.name}/{codec.clock_rate}" for codec in codecs}),
        packets=packets,
        octets=sum(flow.octets for flow in own),
        lost=lost,
        duplicates=duplicates,
        late=sum(flow.late for flow in own),
        strays=sum(flow.strays for flow in flows),
        restarts=sum(max(flow.tracker.runs - 1, 0) for flow in flows),
        jitter_ms=round(sum(flow.jitter.mean_milliseconds * flow.packets for flow in own) / max(packets, 1), 3),
        jitter_max_ms=round(max(flow.jitter.maximum_milliseconds for flow in own), 3),
        mos=_mos(
            {codec.name for codec in codecs},
            received=packets - duplicates,
            lost=lost,
            bursts=sum(one.bursts for one in missing),
        ),
        longest_gap_ms=round(longest_gap * 1000 / plan.sample_rate, 3),
        drift_ppm=plan.drifts.get(max(own, key=lambda flow: flow.packets).key),
        first_arrival_ns=min(flow.first_arrival_ns for flow in own),
        last_arrival_ns=max(flow.last_arrival_ns for flow in own),
    )


def _mos(names: Set[str], *, received: int, lost: int, bursts: int) -> float | None:
    """Return the estimate of the worst codec of a stream; None if one of its codecs that carry sound has no figures."""
    scores = [
        mean_opinion_score(name, received=received, lost=lost, bursts=bursts)
        for name in names
        if name.upper() not in _SOUNDLESS
    ]
    known = [score for score in scores if score is not None]
    return min(known) if known and len(known) == len(scores) else None


def _reading_warnings(captures: Sequence[Capture], findings: Findings) -> list[str]:
    warnings = [f"capture-unreadable: {name} is not a capture and was left out" for name in findings.unreadable]
    for capture in captures:
        if not capture.complete:
            why = f"damage {capture.damage}" if capture.damage else "no end"
            warnings.append(f"capture-incomplete: {capture.session.session}: {why}")
        stalls = [event.stalled_ns for event in capture.events if isinstance(event, Late)]
        if stalls:
            longest = max(stalls) // 1_000_000
            warnings.append(f"receiver-late: writer {capture.session.writer} stalled {len(stalls)} times, {longest} ms")
    warnings += [
        f"not-authenticated: {packets} packets of stream {stream + 1} fit no SRTP key that was agreed"
        for stream, packets in sorted(_unauthentic(captures).items())
    ]
    if findings.malformed:
        warnings.append(f"malformed: {findings.malformed} packets are not RTP")
    if findings.unknown:
        warnings.append(f"unknown-stream: {findings.unknown} packets of streams that are in no stream table")
    if findings.refused:
        warnings.append(f"too-many-sources: {findings.refused} packets were left out")
    return warnings


def _unauthentic(captures: Sequence[Capture]) -> Counter[int]:
    """Return how many packets of each stream did not authenticate."""
    told = Counter[int]()
    for capture in captures:
        for event in capture.events:
            if isinstance(event, Unauthentic):
                told[event.stream] += event.packets
    return told


def _codec_warnings(recording: Surveyed) -> list[str]:
    codecs, findings = recording.table.codecs, recording.findings
    used = {position for flow in recording.survey.flows.values() for position in flow.codecs}
    unknown = {codecs[position].codec.name for position in used if codecs[position].kind is PacketKind.UNDECODABLE}
    return [
        *(f"undecodable: {name} is in the captures, and nothing installed here decodes it" for name in sorted(unknown)),
        *(f"decode-failed: {count} packets of {name}" for name, count in sorted(findings.decode_failures.items())),
    ]


def _one_way(parties: Sequence[PartyReport], duration_s: float) -> list[str]:
    if duration_s < ONE_WAY_SECONDS or not any(party.speech_share >= ONE_WAY_SPEECH for party in parties):
        return []
    return [
        f"one-way: party {party.party} ({party.label}) is silent all through"
        for party in parties
        if party.speech_share == 0.0
    ]


def _timeline_warnings(plan: Plan) -> list[str]:
    warnings = [
        f"drift-corrected: party {party}: {abs(slips)} samples {'repeated' if slips > 0 else 'covered'} one by one"
        for party, slips in sorted(plan.slips.items())
    ]
    if any(placement.layer for placement in plan.placements.values()):
        warnings.append("overlap: several sources of one party sounded at the same time and were mixed")
    return warnings
