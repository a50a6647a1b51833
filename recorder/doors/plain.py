"""Any other INVITE: neither an MSR Request-URI nor SIPREC; accepted by local policy (RFC 7866 section 6.1.1).

Strict detection loses calls (Cisco network-based recording and CUCM send neither mark), so what asks to be recorded
is recorded, under its Call-ID.
"""

from __future__ import annotations

from recorder.doors import msr
from recorder.doors.request import RecordingRequest
from signaling.errors import SignalingError
from signaling.sip import Request
from storage.catalog.records import CallFacts, Door


def read(request: Request, offer: bytes | None) -> RecordingRequest:
    """Take the record identifier from the Call-ID and the parties from From and To."""
    return RecordingRequest(
        door=Door.SIP,
        record_identifier=request.call_id,
        call=CallFacts(ani=_user(request, "From"), dnis=_user(request, "To")),
        parameters=msr.parameters(request.uri),
        offer=offer,
        warnings=("neither an MSR Request-URI nor SIPREC: recorded under its Call-ID",),
    )


def _user(request: Request, header: str) -> str | None:
    try:
        address = request.from_ if header == "From" else request.to
    except SignalingError:
        return None
    return address.uri.user
