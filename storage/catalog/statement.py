"""What a manifest states of a recording besides its files: `storage.integrity.manifest.PARTS` from the catalog's rows.

The curator signs it, and `recorder-admin verify` compares what was signed with the rows of today. Pure.
"""

from __future__ import annotations

from typing import Any

from storage.catalog.sealing import StatedRecording
from storage.integrity.chain import instant


def parts_of(recording: StatedRecording) -> dict[str, Any]:
    """Return call data and times, sessions, gaps and ledger, as `storage.integrity.manifest.compose` takes them."""
    return {
        "facts": _facts(recording),
        "segments": _segments(recording),
        "gaps": _gaps(recording),
        "ledger": recording.ledger,
    }


def _facts(recording: StatedRecording) -> dict[str, Any]:
    return {
        **recording.facts,
        "state": recording.state.value,
        "started_at": instant(recording.started_at),
        "ended_at": recording.ended_at and instant(recording.ended_at),
        "duration_us": None if recording.duration_s is None else round(recording.duration_s * 1e6),
        "parameters": [list(pair) for pair in recording.parameters],
        "warnings": list(recording.warnings),
    }


def _segments(recording: StatedRecording) -> list[dict[str, Any]]:
    return [
        {
            "id": str(segment.segment_id),
            "ordinal": segment.ordinal,
            "door": segment.door,
            "sip_call_id": segment.sip_call_id,
            "opened_at": instant(segment.opened_at),
            "closed_at": segment.closed_at and instant(segment.closed_at),
            "end_cause": segment.end_cause,
            "interrupted": segment.interrupted,
            "parties": segment.parties,
            "metadata": [
                {
                    "received_at": instant(document.received_at),
                    "content_type": document.content_type,
                    "sha256": document.sha256.hex(),
                }
                for document in segment.documents
            ],
        }
        for segment in recording.segments
    ]


def _gaps(recording: StatedRecording) -> list[dict[str, Any]]:
    return [
        {
            "party": gap.party,
            "start_us": round(gap.start_s * 1e6),
            "duration_us": round(gap.duration_s * 1e6),
            "kind": gap.kind,
            "cause": gap.cause,
        }
        for gap in recording.gaps
    ]
