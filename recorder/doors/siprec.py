"""SIPREC: call data in rs-metadata, streams bound to participants by SDP label (RFC 7866, RFC 7865).

Whatever is wrong with the metadata is a warning on the recording; the call is recorded all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from recorder.doors import msr
from recorder.doors.identifier import record_identifier
from recorder.doors.request import MetadataDocument, RecordingRequest
from recorder.edge.profile import PeerProfile
from signaling.errors import SignalingError
from signaling.sdp import SessionDescription
from signaling.sip import Request, Uri
from signaling.siprec import (
    Contents,
    Identifier,
    MetadataError,
    RecordingSession,
    apply_update,
    bind_streams,
    find_identifiers,
    is_calling_party,
    parse_metadata,
)
from signaling.siprec.identifiers import Kind
from signaling.siprec.model import Doubted, Participant
from storage.catalog.records import CallFacts, Door

_CALL_IDENTIFIERS: Final = (Kind.GENESYS_UUID, Kind.UCID, Kind.AVAYA_UCID, Kind.GLOBAL_CALL_ID, Kind.SIP_SESSION_ID)
"""What names the call across recorders, best first."""


def document(contents: Contents) -> MetadataDocument | None:
    """Return the metadata part as it came, or None."""
    part = contents.metadata
    if part is None:
        return None
    return MetadataDocument(
        content_type=part.raw_content_type, body=part.content, charset=part.content_type.charset or None
    )


def read(
    request: Request, contents: Contents, offer: SessionDescription | None, profile: PeerProfile
) -> RecordingRequest:
    """Read a SIPREC INVITE, with or without metadata."""
    metadata = document(contents)
    state, warnings = update(None, metadata)
    participants, doubts = speakers(state, [media.label for media in offer.media] if offer else [])
    identifiers = find_identifiers(state) if state else ()
    return RecordingRequest(
        door=Door.SIPREC,
        record_identifier=record_identifier(profile.record_identifier, request, state),
        call=_facts(state, identifiers, participants, request.uri),
        parameters=(*msr.parameters(request.uri), *((one.detail or one.kind.value, one.value) for one in identifiers)),
        offer=offer,
        metadata=metadata,
        metadata_state=state,
        participants=participants,
        warnings=(*warnings, *(str(doubt) for doubt in contents.doubts), *doubts),
    )


def update(
    state: RecordingSession | None, metadata: MetadataDocument | None
) -> tuple[RecordingSession | None, tuple[str, ...]]:
    """Apply a document to what was known; an unreadable one changes nothing and is a warning."""
    if metadata is None:
        return state, () if state else ("SIPREC without metadata",)
    try:
        parsed = parse_metadata(metadata.body, charset=metadata.charset)
    except MetadataError as error:
        return state, (f"metadata unreadable: {error}",)
    updated = apply_update(state, parsed)
    known = set(state.doubts) if state else set()
    return updated, _texts(doubt for doubt in updated.doubts if doubt not in known)


def speakers(
    state: RecordingSession | None, labels: Iterable[str | None]
) -> tuple[dict[int, dict[str, object]], tuple[str, ...]]:
    """Return who speaks on each m-line, and what does not fit between metadata and SDP."""
    if state is None:
        return {}, ()
    known: dict[int, dict[str, object]] = {}
    doubts: list[Doubted] = []
    for binding in bind_streams(state, list(labels)):
        doubts.extend(binding.doubts)
        if binding.senders:
            known[binding.index] = {
                "rule": "label",
                "mixed": binding.mixed,
                **_participant(binding.senders[0]),
                **({"others": [_participant(one) for one in binding.senders[1:]]} if binding.mixed else {}),
            }
    return known, _texts(doubts)


def facts(
    state: RecordingSession | None, participants: Mapping[int, Mapping[str, object]], uri: Uri | None
) -> CallFacts:
    """Return the call data that the catalog has a column for; an MSR Request-URI inside the metadata counts most."""
    return _facts(state, find_identifiers(state) if state else (), participants, uri)


def _facts(
    state: RecordingSession | None,
    identifiers: Sequence[Identifier],
    participants: Mapping[int, Mapping[str, object]],
    uri: Uri | None,
) -> CallFacts:
    by_kind = {one.kind: one.value for one in reversed(identifiers)}
    embedded = _embedded(by_kind.get(Kind.REQUEST_URI, "")) or (msr.facts(uri) if uri else CallFacts())
    caller, called = _caller_and_called(state)
    own_session = state.sessions[0].session_id if state and state.sessions else None
    return CallFacts(
        call_uuid=embedded.call_uuid
        or next((by_kind[kind] for kind in _CALL_IDENTIFIERS if kind in by_kind), own_session),
        conn_id=embedded.conn_id,
        ani=embedded.ani or by_kind.get(Kind.CALLING_NUMBER) or _user(caller),
        dnis=embedded.dnis or by_kind.get(Kind.CALLED_NUMBER) or by_kind.get(Kind.DIALED_NUMBER) or _user(called),
        dn=embedded.dn or _dn(participants.get(0)),
        other_dn=embedded.other_dn or _dn(participants.get(1)),
        record_dn=embedded.record_dn,
        agent_id=embedded.agent_id,
        sips_app_name=embedded.sips_app_name,
        tenant=embedded.tenant or by_kind.get(Kind.TENANT),
    )


def _embedded(text: str) -> CallFacts | None:
    try:
        return msr.facts(Uri.parse(text)) if text else None
    except SignalingError:
        return None


def _caller_and_called(state: RecordingSession | None) -> tuple[Participant | None, Participant | None]:
    """Return caller and called party: as the client marks them, else in the order of the document."""
    people = list(state.participants) if state else []
    people.sort(key=lambda one: is_calling_party(one) is not True)
    return (people[0] if people else None), (people[1] if len(people) > 1 else None)


def _participant(participant: Participant) -> dict[str, object]:
    return {
        "participant_id": participant.participant_id,
        "aor": participant.aor,
        "name": participant.name,
        "dn": _user(participant) or "",
    }


def _user(participant: Participant | None) -> str | None:
    """Return the user part of an address of record; some clients leave out its scheme."""
    if participant is None or not participant.aor:
        return None
    text = participant.aor if ":" in participant.aor.partition("@")[0] else f"sip:{participant.aor}"
    if text[:4].lower() == "tel:":
        return text[4:].partition(";")[0]
    try:
        return Uri.parse(text).user
    except SignalingError:
        return participant.aor


def _dn(participant: Mapping[str, object] | None) -> str | None:
    return str(participant["dn"]) or None if participant else None


def _texts(doubts: Iterable[Doubted]) -> tuple[str, ...]:
    return tuple(f"{doubt.doubt}: {doubt.subject}" if doubt.subject else str(doubt.doubt) for doubt in doubts)
