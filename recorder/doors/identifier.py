"""Where the identifiers of a recording come from: sources that the peer's profile names, asked in its order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from recorder.edge.profile import Source
from signaling.errors import SignalingError
from signaling.sip import Request, Uri
from signaling.sip.uri import unescape
from signaling.siprec import RecordingSession

_PREFIX: Final = "record="


def named_by(uri: Uri) -> str:
    """Return the record identifier of an MSR Request-URI; empty when it names none."""
    user = unescape(uri.user or "")
    return user[len(_PREFIX) :] if user[: len(_PREFIX)].lower() == _PREFIX else ""


def first_identifier(sources: Iterable[Source], request: Request, state: RecordingSession | None = None) -> str:
    """Return what the first source that has something says; empty when none has."""
    return next((found for source in sources if (found := _ask(source, request, state))), "")


def record_identifier(sources: Iterable[Source], request: Request, state: RecordingSession | None = None) -> str:
    """Return what names the recording; the Call-ID when no source has anything, so that no call goes unnamed."""
    return first_identifier(sources, request, state) or request.call_id


def _ask(source: Source, request: Request, state: RecordingSession | None) -> str:
    match source.kind:
        case "request-uri":
            return (request.uri.param(source.name) or "") if source.name else named_by(request.uri)
        case "metadata":
            return own_identifier(state) if state else ""
        case "call-id":
            return request.call_id
        case "header":
            return (request.headers.get(source.name) or "").strip()
    try:
        if source.kind == "session-id":
            return request.session_id.local if request.session_id else ""
        return request.from_.feature(source.name) or ""
    except SignalingError:
        return ""


def own_identifier(state: RecordingSession) -> str:
    """Return the recording session's own identifier in its metadata, else that of its first communication session."""
    return state.recording_id or (state.sessions[0].session_id if state.sessions else "")
