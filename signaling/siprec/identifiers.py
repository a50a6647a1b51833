"""Identifiers and call data that vendors put into extensions, found by a table (RFC 7865 §9, `xs:any`).

One row per element name: a new vendor is a new row, not a new branch. Namespaces are not compared, because the same
element comes with a wrong, an undeclared and no namespace at all.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from signaling.siprec.model import Extension, Participant, RecordingMetadata, RecordingSession


class Kind(enum.StrEnum):
    """What an identifier is good for."""

    SIP_SESSION_ID = "sip-session-id"
    UCID = "ucid"
    GENESYS_UUID = "genesys-uuid"
    AVAYA_UCID = "avaya-ucid"
    REQUEST_URI = "request-uri"
    """Request-URI of the recorded call; a Genesys one holds the data of a Media Server recording."""
    HEADER = "header"
    """A SIP header of the recorded call; `detail` is its name."""
    CALLING_PARTY = "calling-party"
    """true or false, on a participant."""
    CALLER_ORIGINATED = "caller-originated"
    CALL_ID = "call-id"
    GLOBAL_CALL_ID = "global-call-id"
    FROM = "from"
    TO = "to"
    TRACKING_ID = "tracking-id"
    TENANT = "tenant"
    GROUP = "group"
    USER = "user"
    CALLING_NUMBER = "calling-number"
    CALLED_NUMBER = "called-number"
    DIALED_NUMBER = "dialed-number"
    RECORDING_MODE = "recording-mode"


class Identifier(msgspec.Struct, frozen=True, gc=False):
    """One piece of call data."""

    kind: Kind
    value: str
    owner: str = ""
    """Identifier of the group, session, participant or stream it stands in; "" for the recording session."""
    detail: str = ""


def _plain(text: str) -> str:
    return text


def _without_encoding(text: str) -> str:
    """Drop what follows the value of a User-to-User header, as in `00FA;encoding=hex`."""
    return text.partition(";")[0].strip()


# Local element name in lower case: what it means, and how its text becomes a value.
KNOWN: Final[dict[str, tuple[Kind, Callable[[str], str]]]] = {
    # Oracle, prefix apkt
    "ucid": (Kind.UCID, _without_encoding),
    "callingparty": (Kind.CALLING_PARTY, str.lower),
    "callerorig": (Kind.CALLER_ORIGINATED, str.lower),
    "request-uri": (Kind.REQUEST_URI, _plain),
    "header": (Kind.HEADER, _plain),
    # AudioCodes, prefix ac
    "genesysuuid": (Kind.GENESYS_UUID, _plain),
    "avayaucid": (Kind.AVAYA_UCID, _without_encoding),
    # Ribbon, element callData inside the group
    "fromhdr": (Kind.FROM, _plain),
    "tohdr": (Kind.TO, _plain),
    "callid": (Kind.CALL_ID, _plain),
    "gcid": (Kind.GLOBAL_CALL_ID, _plain),
    # BroadWorks and Webex, element broadWorksRecordingMetadata
    "exttrackingid": (Kind.TRACKING_ID, _plain),
    "serviceproviderid": (Kind.TENANT, _plain),
    "groupid": (Kind.GROUP, _plain),
    "userid": (Kind.USER, _plain),
    "callingpartynumber": (Kind.CALLING_NUMBER, _plain),
    "calledpartynumber": (Kind.CALLED_NUMBER, _plain),
    "dialeddigits": (Kind.DIALED_NUMBER, _plain),
    "recordingtype": (Kind.RECORDING_MODE, str.lower),
}


def find_identifiers(metadata: RecordingMetadata | RecordingSession) -> tuple[Identifier, ...]:
    """Return all known call data, standard Session-IDs first, then vendor data in document order."""
    standard = [
        Identifier(Kind.SIP_SESSION_ID, value, session.session_id)
        for session in metadata.sessions
        for value in session.sip_session_ids
        if value
    ]
    owned: list[Identifier] = []
    for owner, extensions in _owners(metadata):
        owned.extend(_known(owner, extensions))
    return (*standard, *owned)


def is_calling_party(participant: Participant) -> bool | None:
    """Whether the client marks this participant as the caller; None when it does not say."""
    for identifier in _known(participant.participant_id, participant.extensions):
        if identifier.kind is Kind.CALLING_PARTY and identifier.value in ("true", "false"):
            return identifier.value == "true"
    return None


def _owners(metadata: RecordingMetadata | RecordingSession) -> Iterator[tuple[str, Iterable[Extension]]]:
    yield "", metadata.extensions
    yield from ((group.group_id, group.extensions) for group in metadata.groups)
    yield from ((session.session_id, session.extensions) for session in metadata.sessions)
    yield from ((participant.participant_id, participant.extensions) for participant in metadata.participants)
    yield from ((stream.stream_id, stream.extensions) for stream in metadata.streams)


def _known(owner: str, extensions: Iterable[Extension]) -> Iterator[Identifier]:
    for extension in extensions:
        known = KNOWN.get(extension.name.lower())
        if known is not None and extension.text:
            kind, read = known
            detail = dict(extension.attributes).get("label", "") if kind is Kind.HEADER else ""
            yield Identifier(kind, read(extension.text), owner, detail)
