"""How recordings look: the documented JSON, and text that is safe to print.

Values come from the network. Text for people never passes control characters (they could drive the terminal); JSON
carries values as the catalog stores them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from rich.console import Console

from storage.catalog.deletions import Tombstone
from storage.catalog.holds import Hold
from storage.catalog.redactions import Redaction
from storage.catalog.views import (
    FileView,
    GapView,
    JobView,
    RecordingDetail,
    RecordingSummary,
    SegmentView,
    iso_utc,
)

CHANNELS: Final = ("left", "right")
"""Channel of a two-channel file by party; further parties have none."""


def channel_of(party: int) -> str | None:
    """Return `left` or `right`, None for a party beyond the second."""
    return CHANNELS[party] if 0 <= party < len(CHANNELS) else None


def printable(text: object) -> str:
    """Return text in which control, direction-changing and unassigned characters are shown as escapes."""
    return "".join(character if character.isprintable() else _escape(character) for character in str(text))


def or_dash(text: object | None) -> str:
    """`printable`, with a dash for what is not known."""
    return "-" if text is None or text == "" else printable(text)


def clock(seconds: float | None) -> str:
    """Write a duration or position as `1:02:03.4`, without hours when there are none; a dash for None."""
    if seconds is None:
        return "-"
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def span(seconds: float) -> str:
    """Write the length of a gap: `40 ms`, `4.20 s`, from a minute on as `clock` does."""
    if seconds < 1.0:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 60.0 else clock(seconds)


def counted(number: int, thing: str) -> str:
    """Write a number of things, such as `1 file` or `2,000 files`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def moment(at: datetime | None) -> str:
    """Write a time in UTC to the second; a dash for None."""
    return "-" if at is None else (iso_utc(at) or "-")[:19].replace("T", " ")


def write_json(console: Console, value: object) -> None:
    """Print a value as JSON. ASCII only, so that no value can drive a terminal."""
    console.file.write(json.dumps(value, indent=2) + "\n")


def gap_json(gap: GapView) -> dict[str, object]:
    """Return the documented form of a gap."""
    return {
        "party": gap.party,
        "channel": channel_of(gap.party),
        "start_s": round(gap.start_s, 6),
        "duration_s": round(gap.duration_s, 6),
        "kind": gap.kind.value,
        "cause": gap.cause,
    }


def summary_json(recording: RecordingSummary) -> dict[str, object]:
    """Return the documented form of a recording in a listing."""
    return {
        "id": str(recording.recording_id),
        "record_identifier": recording.record_identifier,
        "door": recording.door.value,
        "state": recording.state.value,
        "started_at": iso_utc(recording.started_at),
        "ended_at": iso_utc(recording.ended_at),
        "duration_s": recording.duration_s,
        "call_uuid": recording.call_uuid,
        "conn_id": recording.conn_id,
        "ani": recording.ani,
        "dnis": recording.dnis,
        "dn": recording.dn,
        "other_dn": recording.other_dn,
        "record_dn": recording.record_dn,
        "agent_id": recording.agent_id,
        "sips_app_name": recording.sips_app_name,
        "tenant": recording.tenant,
        "sip_call_ids": list(recording.sip_call_ids),
        "role": recording.role.value,
        "master_id": str(recording.master_id) if recording.master_id else None,
        "gaps": [gap_json(gap) for gap in recording.gaps],
    }


def detail_json(recording: RecordingDetail) -> dict[str, object]:
    """Return the documented form of one recording."""
    return {
        **summary_json(recording.summary),
        "parameters": [list(pair) for pair in recording.parameters],
        "warnings": list(recording.warnings),
        "annotations": [
            {
                "name": one.name,
                "value": one.value,
                "reason": one.reason,
                "added_by": one.added_by,
                "added_at": iso_utc(one.added_at),
            }
            for one in recording.annotations
        ],
        "segments": [segment_json(segment) for segment in recording.segments],
        "files": [_file_json(file) for file in recording.files],
        "holds": [hold_json(hold) for hold in recording.holds],
        "captures_kept": recording.captures_kept,
        "redactions": [_redaction_json(redaction) for redaction in recording.redactions],
        "deletion": tombstone_json(recording.tombstone) if recording.tombstone else None,
    }


def job_json(job: JobView) -> dict[str, object]:
    """Return the documented form of a job."""
    return {
        "id": job.job_id,
        "kind": job.kind,
        "state": job.state,
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "payload": dict(job.payload),
        "run_after": iso_utc(job.run_after),
        "locked_by": job.locked_by,
        "locked_until": iso_utc(job.locked_until),
        "last_error": job.last_error,
        "created_at": iso_utc(job.created_at),
        "claimed_at": iso_utc(job.claimed_at),
        "age_s": round(job.age_s, 1),
        "running_s": None if job.running_s is None else round(job.running_s, 1),
        "due_in_s": None if job.due_in_s is None else round(job.due_in_s, 1),
    }


def age(seconds: float | None) -> str:
    """Write how long something lasts, `3 s`, `4 min 10 s`, `2 h 5 min` or `3 d 4 h`; a dash for None."""
    if seconds is None:
        return "-"
    whole = max(int(seconds), 0)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def hold_json(hold: Hold) -> dict[str, object]:
    """Return the documented form of a legal hold."""
    return {
        "hold": hold.hold_id,
        "recording_id": str(hold.recording_id),
        "case": hold.matter,
        "reason": hold.reason,
        "placed_by": hold.placed_by,
        "placed_at": iso_utc(hold.placed_at),
        "released_by": hold.released_by,
        "release_reason": hold.release_reason,
        "released_at": iso_utc(hold.released_at),
    }


def tombstone_json(tombstone: Tombstone) -> dict[str, object]:
    """Return the documented form of a deletion."""
    return {
        "requested_by": tombstone.requested_by,
        "reason": tombstone.reason,
        "rule": tombstone.rule or None,
        "requested_at": iso_utc(tombstone.requested_at),
        "deleted_at": iso_utc(tombstone.deleted_at),
        "files": list(tombstone.files),
        "captures": tombstone.captures,
    }


def _redaction_json(redaction: Redaction) -> dict[str, object]:
    return {
        "redaction": redaction.redaction_id,
        "party": redaction.party,
        "from_s": redaction.start_s,
        "to_s": redaction.end_s,
        "reason": redaction.reason,
        "requested_by": redaction.requested_by,
        "requested_at": iso_utc(redaction.requested_at),
        "done_at": iso_utc(redaction.done_at),
    }


def lost_seconds(gaps: Iterable[GapView]) -> float:
    """Return the sum of the lost intervals over all parties, seconds."""
    return sum((timedelta(seconds=gap.duration_s) for gap in gaps if gap.kind == "lost"), timedelta()).total_seconds()


def segment_json(segment: SegmentView) -> dict[str, object]:
    """Return the documented form of a segment."""
    return {
        "id": str(segment.segment_id),
        "ordinal": segment.ordinal,
        "state": segment.state.value,
        "interrupted": segment.interrupted,
        "door": segment.door.value,
        "captures": [{"writer": at.writer, "host": at.host, "path": at.path} for at in segment.captures],
        "sip_call_id": segment.sip_call_id,
        "dialog_id": segment.dialog_id,
        "opened_at": iso_utc(segment.opened_at),
        "closed_at": iso_utc(segment.closed_at),
        "client_opened_at": iso_utc(segment.client_opened_at),
        "client_closed_at": iso_utc(segment.client_closed_at),
        "end_cause": segment.end_cause,
        "descriptor": segment.descriptor,
        "streams": [
            {
                "index": stream.index,
                "party": stream.party,
                "channel": channel_of(stream.party),
                "label": stream.label,
                "media": stream.media,
                "participant": stream.participant,
                "payload_types": stream.payload_types,
                "quality": stream.quality,
            }
            for stream in segment.streams
        ],
    }


def _file_json(file: FileView) -> dict[str, object]:
    return {
        "kind": file.kind,
        "store": file.store,
        "path": file.path,
        "format": file.format,
        "sample_rate": file.sample_rate,
        "channels": file.channels,
        "frames": file.frames,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256.hex(),
        "created_at": iso_utc(file.created_at),
    }


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def size_text(size: float) -> str:
    """Write bytes with a decimal unit: `1.2 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
