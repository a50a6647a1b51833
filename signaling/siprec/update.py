"""Adds documents up to the state of the recording session (RFC 7866 §9.2, RFC 7865 §5.1.2 and §8.2).

A snapshot replaces everything. A partial update adds and changes what it names and never removes anything that it
does not name. Pure: the old state stays valid, so that an update that came with a refused offer is simply not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import msgspec

from signaling.siprec.model import (
    CommunicationSession,
    CsGroup,
    CsRsAssociation,
    Doubt,
    Doubted,
    Extension,
    MediaStream,
    Participant,
    ParticipantCsAssociation,
    ParticipantStreamAssociation,
    RecordingMetadata,
    RecordingSession,
)

MAX_DOUBTS: Final = 256
"""Doubts kept per session; a broken client repeats itself with every update."""

MAX_ELEMENTS: Final = 4096
"""Elements of each kind kept per session, so that partial updates cannot grow it without end. A persistent session
with a call a minute and two streams each gets there after more than a day; the oldest go first."""

Identified = TypeVar("Identified", CsGroup, CommunicationSession, Participant, MediaStream)
Timed = TypeVar("Timed", CsRsAssociation, ParticipantCsAssociation)


def apply_update(state: RecordingSession | None, update: RecordingMetadata) -> RecordingSession:
    """Return the state after one more document.

    Args:
        state: state so far, None before the first document.
        update: the document, in the order of arrival.

    """
    doubts = list(update.doubts)
    base = state or RecordingSession()
    if update.complete:
        # RFC 7866 §9.2: "Any subsequent partial updates will not be dependent on any metadata sent prior to this
        # full metadata snapshot."
        merged = _merge(RecordingSession(snapshot_seen=True), update, doubts)
    else:
        if not base.snapshot_seen:
            doubts.append(Doubted(Doubt.PARTIAL_WITHOUT_SNAPSHOT))
        merged = _merge(base, _without_conflicts(base, update, doubts), doubts)
    _check_references(merged, doubts)
    kept = () if update.complete else base.doubts
    return msgspec.structs.replace(merged, doubts=tuple(dict.fromkeys((*kept, *doubts)))[:MAX_DOUBTS])


def _merge(base: RecordingSession, update: RecordingMetadata, doubts: list[Doubted]) -> RecordingSession:
    streams = _merged(_labels_freed(base.streams, update.streams, doubts), update.streams, _stream_id, _stream_update)
    merged = msgspec.structs.replace(
        base,
        recording_id=update.recording_id or base.recording_id,
        groups=_merged(base.groups, update.groups, lambda group: group.group_id, _group_update),
        sessions=_merged(base.sessions, update.sessions, lambda session: session.session_id, _session_update),
        participants=_merged(
            base.participants, update.participants, lambda participant: participant.participant_id, _participant_update
        ),
        streams=streams,
        cs_rs_associations=_timed(
            base.cs_rs_associations, update.cs_rs_associations, lambda association: (association.session_id,)
        ),
        participant_cs_associations=_timed(
            base.participant_cs_associations,
            update.participant_cs_associations,
            lambda association: (association.participant_id, association.session_id),
        ),
        participant_stream_associations=_stream_associations(
            base.participant_stream_associations, update.participant_stream_associations
        ),
        extensions=_extended(base.extensions, update.extensions),
    )
    return _bounded(merged, doubts)


def _merged(
    before: tuple[Identified, ...],
    updates: tuple[Identified, ...],
    identifier: Callable[[Identified], str],
    combine: Callable[[Identified, Identified], Identified],
) -> tuple[Identified, ...]:
    """Replace elements by identifier, keep the order, append new ones; those without identifier cannot be matched."""
    if not before:
        return updates
    result = list(before)
    places = {identifier(element): place for place, element in enumerate(before)}
    nameless = {element for element in before if not identifier(element)}
    for element in updates:
        name = identifier(element)
        if name and name in places:
            result[places[name]] = combine(result[places[name]], element)
        elif name or element not in nameless:
            places[name] = len(result)
            result.append(element)
    return tuple(result)


def _stream_id(stream: MediaStream) -> str:
    # Clients that leave stream_id empty still label their streams.
    return stream.stream_id or (f"label {stream.label}" if stream.label else "")


def _group_update(before: CsGroup, update: CsGroup) -> CsGroup:
    return CsGroup(
        group_id=before.group_id,
        associate_time=update.associate_time or before.associate_time,
        disassociate_time=update.disassociate_time or before.disassociate_time,
        extensions=_extended(before.extensions, update.extensions),
    )


def _session_update(before: CommunicationSession, update: CommunicationSession) -> CommunicationSession:
    return CommunicationSession(
        session_id=before.session_id,
        group_ref=update.group_ref or before.group_ref,
        sip_session_ids=_union(before.sip_session_ids, update.sip_session_ids),
        reasons=_union(before.reasons, update.reasons),
        start_time=update.start_time or before.start_time,
        stop_time=update.stop_time or before.stop_time,
        extensions=_extended(before.extensions, update.extensions),
    )


def _participant_update(before: Participant, update: Participant) -> Participant:
    return Participant(
        participant_id=before.participant_id,
        name_ids=update.name_ids or before.name_ids,
        extensions=_extended(before.extensions, update.extensions),
    )


def _stream_update(before: MediaStream, update: MediaStream) -> MediaStream:
    return MediaStream(
        stream_id=before.stream_id,
        session_id=update.session_id or before.session_id,
        label=update.label or before.label,
        mode=update.mode or before.mode,
        extensions=_extended(before.extensions, update.extensions),
    )


def _labels_freed(
    before: tuple[MediaStream, ...], updates: tuple[MediaStream, ...], doubts: list[Doubted]
) -> tuple[MediaStream, ...]:
    """Take a label from the stream that had it when an update gives it to another one.

    RFC 7866 §7.1.1: a label means something only within the message that carries it. A stream that had nothing but
    that label gets its identifier this way, and the one without goes.
    """
    taken = {stream.label: _stream_id(stream) for stream in updates if stream.label}
    result = []
    for stream in before:
        if not stream.label or taken.get(stream.label, _stream_id(stream)) == _stream_id(stream):
            result.append(stream)
        elif stream.stream_id:
            doubts.append(Doubted(Doubt.LABEL_MOVED, stream.label))
            result.append(msgspec.structs.replace(stream, label=""))
    return tuple(result)


def _timed(
    before: tuple[Timed, ...], updates: tuple[Timed, ...], key: Callable[[Timed], tuple[str, ...]]
) -> tuple[Timed, ...]:
    """Add associations: an end closes the open one of the same parties, a beginning after an end opens another.

    RFC 7865 §6.6: "A participant may be associated to and dissociated from a CS several times".
    """
    if not before:
        return updates
    result = list(before)
    places = {key(association): place for place, association in enumerate(before)}
    for association in updates:
        place = places.get(key(association))
        if place is None or _reopened(result[place], association):
            places[key(association)] = len(result)
            result.append(association)
        else:
            former = result[place]
            result[place] = msgspec.structs.replace(
                association,
                associate_time=association.associate_time or former.associate_time,
                disassociate_time=association.disassociate_time or former.disassociate_time,
            )
    return tuple(result)


def _reopened(former: Timed, association: Timed) -> bool:
    return (
        former.disassociate_time is not None
        and association.associate_time is not None
        and association.associate_time != former.associate_time
    )


def _stream_associations(
    before: tuple[ParticipantStreamAssociation, ...], updates: tuple[ParticipantStreamAssociation, ...]
) -> tuple[ParticipantStreamAssociation, ...]:
    """Replace what a participant sends and receives by what an update says of it (RFC 7865 §6.8.1)."""
    changed = {association.participant_id for association in updates}
    return (*[association for association in before if association.participant_id not in changed], *updates)


def _extended(before: tuple[Extension, ...], updates: tuple[Extension, ...]) -> tuple[Extension, ...]:
    """Keep vendor data that an update does not repeat; of what it repeats, the new value counts."""
    if not before or not updates:
        return before or updates
    names = {_extension_key(extension) for extension in updates}
    return (*[extension for extension in before if _extension_key(extension) not in names], *updates)


def _extension_key(extension: Extension) -> tuple[object, ...]:
    return extension.namespace, extension.name, extension.path, extension.attributes


Item = TypeVar("Item")


def _union(before: tuple[Item, ...], updates: tuple[Item, ...]) -> tuple[Item, ...]:
    return tuple(dict.fromkeys((*before, *updates)))


def _identifiers(document: RecordingSession | RecordingMetadata) -> Iterable[tuple[str, str]]:
    yield from ((group.group_id, "group") for group in document.groups)
    yield from ((session.session_id, "session") for session in document.sessions)
    yield from ((participant.participant_id, "participant") for participant in document.participants)
    yield from ((stream.stream_id, "stream") for stream in document.streams)


def _without_conflicts(base: RecordingSession, update: RecordingMetadata, doubts: list[Doubted]) -> RecordingMetadata:
    """Drop elements whose identifier already belongs to an element of another kind (RFC 7865 §6.10)."""
    known = {identifier: kind for identifier, kind in _identifiers(base) if identifier}
    foreign = {
        (identifier, kind)
        for identifier, kind in _identifiers(update)
        if identifier and known.get(identifier, kind) != kind
    }
    if not foreign:
        return update
    doubts.extend([Doubted(Doubt.IDENTIFIER_CONFLICT, identifier) for identifier, _ in sorted(foreign)])
    return msgspec.structs.replace(
        update,
        groups=tuple([group for group in update.groups if (group.group_id, "group") not in foreign]),
        sessions=tuple([session for session in update.sessions if (session.session_id, "session") not in foreign]),
        participants=tuple(
            [party for party in update.participants if (party.participant_id, "participant") not in foreign]
        ),
        streams=tuple([stream for stream in update.streams if (stream.stream_id, "stream") not in foreign]),
    )


def _check_references(session: RecordingSession, doubts: list[Doubted]) -> None:
    """Doubt references that lead nowhere; another client may know the element, so they stay (RFC 7866 §9.2)."""
    sessions = {element.session_id for element in session.sessions}
    participants = {element.participant_id for element in session.participants}
    streams = {element.stream_id for element in session.streams}
    for association in session.participant_cs_associations:
        if association.participant_id not in participants:
            doubts.append(Doubted(Doubt.UNKNOWN_PARTICIPANT, association.participant_id))
        if association.session_id not in sessions:
            doubts.append(Doubted(Doubt.UNKNOWN_SESSION, association.session_id))
    for linked in session.participant_stream_associations:
        if linked.participant_id not in participants:
            doubts.append(Doubted(Doubt.UNKNOWN_PARTICIPANT, linked.participant_id))
        doubts.extend(
            [Doubted(Doubt.UNKNOWN_STREAM, stream) for stream in (*linked.send, *linked.recv) if stream not in streams]
        )


def _bounded(session: RecordingSession, doubts: list[Doubted]) -> RecordingSession:
    """Drop the oldest elements of a session that has grown beyond all measure."""
    names = (
        "groups", "sessions", "participants", "streams",
        "cs_rs_associations", "participant_cs_associations", "participant_stream_associations",
    )  # fmt: skip
    long = {
        name: getattr(session, name)[-MAX_ELEMENTS:] for name in names if len(getattr(session, name)) > MAX_ELEMENTS
    }
    if not long:
        return session
    doubts.append(Doubted(Doubt.TRUNCATED))
    return msgspec.structs.replace(session, **long)
