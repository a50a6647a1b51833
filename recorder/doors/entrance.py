"""Take a request's body apart and pick the door: SIPREC by its marks, MSR by its Request-URI, else plain.

RFC 7866 section 6.2 makes a session a recording session only by `siprec` and `+sip.src` together; real clients send
one, the other or neither, so any mark is enough and the absence of all of them is local policy (section 6.1.1).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import msgspec

from recorder.doors import msr, plain, siprec
from recorder.doors.identifier import first_identifier, named_by
from recorder.doors.refusal import NOT_A_DESCRIPTION, warning
from recorder.doors.request import MetadataDocument, RecordingRequest
from recorder.edge.profile import ANY_CLIENT, PeerProfile
from signaling.errors import SignalingError
from signaling.sdp import SdpSyntaxError, parse_sdp
from signaling.sip import Request
from signaling.siprec import BodyError, Contents, find_contents, parse_body


@dataclass(frozen=True, slots=True)
class Refused:
    """The request cannot be taken: answer with this."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RequestedChange:
    """What a re-INVITE or UPDATE brings."""

    offer: bytes | None
    metadata: MetadataDocument | None


def read_invite(request: Request, profile: PeerProfile = ANY_CLIENT) -> RecordingRequest | Refused:
    """Read an INVITE that opens a session, as the client's profile says."""
    contents = _contents(request)
    if isinstance(contents, Refused):
        return contents
    try:
        offer = parse_sdp(contents.description.content) if contents.description else None
    except SdpSyntaxError as error:
        return Refused(488, str(error), (warning(NOT_A_DESCRIPTION),))
    if contents.metadata or _marked_siprec(request):
        found = siprec.read(request, contents, offer, profile)
        if profile.strict and found.warnings:
            return Refused(488, f"strict profile: {found.warnings[0]}")
    elif named_by(request.uri):
        found = msr.read(request, offer, profile)
    elif profile.plain_invites:
        found = plain.read(request, offer, profile)
    else:
        return Refused(403, f"profile {profile.name} takes no plain INVITE")
    if kept := profile.call_data_in(request.headers):
        found = dataclasses.replace(found, parameters=(*found.parameters, *kept))
    call_uuid = first_identifier(profile.call_uuid, request, found.metadata_state)
    if not call_uuid:
        return found
    return dataclasses.replace(found, call=msgspec.structs.replace(found.call, call_uuid=call_uuid))


def read_change(request: Request) -> RequestedChange | Refused:
    """Read a re-INVITE or UPDATE; a body that cannot be read is answered, never met with silence."""
    contents = _contents(request)
    if isinstance(contents, Refused):
        return contents
    return RequestedChange(
        offer=contents.description.content if contents.description else None, metadata=siprec.document(contents)
    )


def _contents(request: Request) -> Contents | Refused:
    headers = request.headers
    try:
        body = parse_body(headers.get("Content-Type"), request.body, headers.get("Content-Disposition"))
    except BodyError as error:
        # Not 400: that made one client crash in mid-dialog, and says less.
        return Refused(415, str(error), _ACCEPT)
    contents = find_contents(body)
    if contents.unsupported:
        return Refused(415, "a body part that must be understood is not", _ACCEPT)
    return contents


_ACCEPT = (("Accept", "application/sdp, multipart/mixed, application/rs-metadata+xml, application/rs-metadata"),)


def _marked_siprec(request: Request) -> bool:
    if "siprec" in request.require or "siprec" in request.supported:
        return True
    try:
        contact = request.contact
    except SignalingError:
        return False
    return contact is not None and contact.feature("+sip.src") is not None
