"""Metadata of a recording in forms that other systems read: GIR-style JSON and vCon. Pure.

GIR: the recording object of Genesys Interaction Recording's web services, as far as its public API description goes
(docs.genesys.com, Documentation:CR:API:GIR); sites know its names. vCon: draft-ietf-vcon-vcon-core-00, unsigned and
signed form.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from storage.catalog.records import GapKind
from storage.catalog.views import RecordingDetail, StreamView, iso_utc
from storage.cli.presentation import gap_json
from storage.integrity import SigningKeys
from storage.integrity.jws import base64url, sign_jws

VCON_VERSION: Final = "0.3.0"
"""Section 4.1.1 of the draft."""
VCON_MEDIA_TYPE: Final = "application/vcon"

MEDIA_TYPES: Final = {"wav": "audio/x-wav", "flac": "audio/flac", "ogg": "audio/ogg", "opus": "audio/ogg"}
"""By suffix."""


def media_type_of(file_name: str) -> str:
    """Return the media type of an audio file by its suffix."""
    return MEDIA_TYPES.get(file_name.rpartition(".")[2], "application/octet-stream")


def gir_document(recording: RecordingDetail, file_name: str, size_bytes: int) -> dict[str, object]:
    """Return the recording as GIR describes one; `file_name` stands for its media. Numbers are texts there."""
    summary = recording.summary
    started, stopped = summary.started_at, _stopped(recording)
    times = {"startTime": _seconds(started), "stopTime": _seconds(stopped)}
    parameters = {
        "id": summary.record_identifier,
        "callUuid": summary.call_uuid,
        "connId": summary.conn_id,
        "recordDN": summary.record_dn,
        "agentId": summary.agent_id,
        "ani": summary.ani,
        "dnis": summary.dnis,
        "dateTime": _seconds(started),
        "sipsAppName": summary.sips_app_name,
    }
    masks = [
        {"time": _seconds(started + timedelta(seconds=at)), "type": kind}
        for gap in summary.gaps
        if gap.kind is GapKind.PAUSED and gap.party == 0
        for at, kind in ((gap.start_s, "paused"), (gap.start_s + gap.duration_s, "resume"))
    ]
    return {
        "id": summary.call_uuid or summary.record_identifier,
        "callerPhoneNumber": summary.ani,
        "dialedPhoneNumber": summary.dnis,
        **times,
        "mediaFiles": [
            {
                "mediaUri": file_name,
                "mediaPath": file_name,
                **times,
                "callUUID": summary.call_uuid,
                "mediaId": file_name,
                "type": media_type_of(file_name),
                "duration": str(round((summary.duration_s or 0.0) * 1000)),
                "tenant": summary.tenant,
                "size": str(size_bytes),
                "parameters": {name: value for name, value in parameters.items() if value is not None},
                "masks": masks,
            }
        ],
        "eventHistory": [],
    }


def vcon_document(
    recording: RecordingDetail, file_name: str, audio: bytes, *, channels: int, created_at: datetime
) -> dict[str, object]:
    """Return the recording as an unsigned vCon with the sound inside of it.

    Each channel has a party of its own, the left one the first (section 4.3.4). What vCon has no name for goes into an
    attachment.
    """
    summary = recording.summary
    parties = list(range(channels))
    dialog: dict[str, object] = {
        "type": "recording",
        "start": iso_utc(summary.started_at),
        "duration": round(summary.duration_s or 0.0, 3),
        "parties": parties if channels > 1 else 0,
        "mediatype": media_type_of(file_name),
        "filename": file_name,
        "body": base64url(audio),
        "encoding": "base64url",
        "content_hash": f"sha512-{base64url(hashlib.sha512(audio).digest())}",
    }
    return {
        "vcon": VCON_VERSION,
        "uuid": str(_vcon_uuid(summary.recording_id)),
        "created_at": iso_utc(created_at),
        "subject": summary.record_identifier,
        "parties": [_party(recording, party) for party in parties],
        "dialog": [dialog],
        "attachments": [
            {
                "type": "recorder-metadata",
                "start": iso_utc(summary.started_at),
                "party": 0,
                "dialog": 0,
                "mediatype": "application/json",
                "encoding": "none",
                "body": json.dumps(
                    {
                        "record_identifier": summary.record_identifier,
                        "parameters": [list(pair) for pair in recording.parameters],
                        "annotations": [[one.name, one.value] for one in recording.annotations],
                        "gaps": [gap_json(gap) for gap in summary.gaps],
                    }
                ),
            }
        ],
        "analysis": [],
    }


def signed_vcon(document: Mapping[str, object], keys: SigningKeys) -> dict[str, object]:
    """Return a vCon in its signed form: a JWS in general JSON serialization with the vCon as payload."""
    return sign_jws(
        json.dumps(document, separators=(",", ":")).encode(),
        keys,
        media_type=VCON_MEDIA_TYPE,
        header={"uuid": str(document["uuid"])},
    )


def _party(recording: RecordingDetail, party: int) -> dict[str, object]:
    """Return a party object (section 4.2) of what the metadata, or the call data, say."""
    summary = recording.summary
    who: Mapping[str, object] = next(
        (stream.participant for stream in _streams(recording) if stream.party == party and stream.participant), {}
    )
    number = who.get("dn") or (summary.dn if party == 0 else summary.other_dn)
    described = {
        "tel": str(number) if number else None,
        "sip": who.get("aor"),
        "name": who.get("name"),
        "role": "agent" if summary.agent_id and party == 0 else None,
    }
    return {name: value for name, value in described.items() if value}


def _streams(recording: RecordingDetail) -> Iterator[StreamView]:
    """Yield streams, the latest session first: its metadata know most."""
    for segment in reversed(recording.segments):
        yield from segment.streams


def _stopped(recording: RecordingDetail) -> datetime:
    summary = recording.summary
    return summary.started_at + timedelta(seconds=summary.duration_s or 0.0)


def _seconds(at: datetime) -> str:
    return (iso_utc(at) or "")[:19] + "Z"


def _vcon_uuid(recording_id: UUID) -> UUID:
    """Return a version 8 UUID that is the same for each export of a recording (RFC 9562 section 5.8)."""
    digest = bytearray(hashlib.sha256(b"vcon" + recording_id.bytes).digest()[:16])
    digest[6] = 0x80 | digest[6] & 0x0F
    digest[8] = 0x80 | digest[8] & 0x3F
    return UUID(bytes=bytes(digest))
