"""Any other INVITE: neither an MSR Request-URI nor SIPREC; accepted by local policy (RFC 7866 section 6.1.1).

Strict detection loses calls (Cisco network-based recording and CUCM send neither mark), so what asks to be recorded
is recorded, under its Call-ID.
"""

from __future__ import annotations

from recorder.doors import msr
from recorder.doors.identifier import record_identifier
from recorder.doors.request import RecordingRequest
from recorder.edge.profile import PeerProfile
from signaling.errors import SignalingError
from signaling.sdp import SessionDescription
from signaling.sip import Request
from storage.catalog.records import CallFacts, Door


def read(request: Request, offer: SessionDescription | None, profile: PeerProfile) -> RecordingRequest:
    """Take the identifiers from where the profile says, else the Call-ID, and the parties from From and To."""
    identifier = record_identifier(profile.record_identifier, request)
    named = "its Call-ID" if identifier == request.call_id else "what its profile names"
    return RecordingRequest(
        door=Door.SIP,
        record_identifier=identifier,
        call=CallFacts(ani=_user(request, "From"), dnis=_user(request, "To")),
        parameters=msr.parameters(request.uri),
        offer=offer,
        warnings=(f"neither an MSR Request-URI nor SIPREC: recorded under {named}",),
    )


def _user(request: Request, header: str) -> str | None:
    try:
        address = request.from_ if header == "From" else request.to
    except SignalingError:
        return None
    return address.uri.user
