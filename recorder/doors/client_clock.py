"""The client's own clock, as the Date header fields of its INVITE and its BYE tell it (RFC 7865 section 6.1.1).

Kept with the call data and with the end of the session. The times of the recording stay those of our clock, which the
audio is placed by: clients tell years of their own. A difference that matters is a warning.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Final

from recorder.doors.request import RecordingRequest
from signaling.errors import SipSyntaxError
from signaling.sip import Request
from storage.catalog.records import CLIENT_DATE

_TOLERATED_S: Final = 5.0
"""Whole seconds, the way to us, and a client that repeats its INVITE."""


def date_of(request: Request) -> datetime | None:
    """Return when the client sent a request, by its own clock; None without a Date that can be read."""
    try:
        return request.date
    except SipSyntaxError:
        return None


def with_date(found: RecordingRequest, request: Request, received_at: datetime) -> RecordingRequest:
    """Return the recording request with the client's time of sending; unchanged without a Date that can be read."""
    date = date_of(request)
    if date is None:
        return found
    ahead_s = round((date - received_at).total_seconds())
    doubt = () if abs(ahead_s) <= _TOLERATED_S else (f"the client's clock differs from ours by {ahead_s:+d} s",)
    return dataclasses.replace(
        found,
        parameters=(*found.parameters, (CLIENT_DATE, date.isoformat())),
        warnings=(*found.warnings, *doubt),
    )
