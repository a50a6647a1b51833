"""Genesys MSR: a plain INVITE with all call data in the Request-URI (docs/glossary.md; reference: Genesys guides).

Form: ``sip:record=<record identifier>@host;calluuid=...;dn=...``. Parameter names are matched without regard to
case, unknown ones are kept, absent ones are allowed.
"""

from __future__ import annotations

from typing import Final

from recorder.doors.identifier import record_identifier
from recorder.doors.request import RecordingRequest
from recorder.edge.profile import PeerProfile
from signaling.sdp import SessionDescription
from signaling.sip import Request, Uri
from signaling.sip.uri import unescape
from storage.catalog.records import CallFacts, Door

_FACTS: Final = {
    "calluuid": "call_uuid",
    "connid": "conn_id",
    "ani": "ani",
    "dnis": "dnis",
    "dn": "dn",
    "otherdn": "other_dn",
    "recorddn": "record_dn",
    "agentid": "agent_id",
    "sipsappname": "sips_app_name",
    "gvp-tenant-id": "tenant",
}
"""Request-URI parameter, lower case, to the catalog's name for it."""


def facts(uri: Uri) -> CallFacts:
    """Return the call data that the catalog has a column for."""
    known: dict[str, str] = {}
    for name, value in parameters(uri):
        column = _FACTS.get(name.lower())
        if column and value:
            known.setdefault(column, value)
    return CallFacts(**known)


def parameters(uri: Uri) -> tuple[tuple[str, str], ...]:
    """Return every parameter as received, escapes undone, in order."""
    if "%" not in uri.text:
        return tuple([(name, value or "") for name, value in uri.params])  # as nearly always
    return tuple([(name, unescape(value or "")) for name, value in uri.params])


def read(request: Request, offer: SessionDescription | None, profile: PeerProfile) -> RecordingRequest:
    """Read an INVITE whose Request-URI names a record identifier."""
    call = facts(request.uri)
    return RecordingRequest(
        door=Door.MSR,
        record_identifier=record_identifier(profile.record_identifier, request),
        call=call,
        parameters=parameters(request.uri),
        offer=offer,
        participants=speakers(call, profile),
    )


def speakers(call: CallFacts, profile: PeerProfile) -> dict[int, dict[str, object]]:
    """Return who speaks on each m-line: party 0 is `dn`, party 1 `otherdn`.

    Which m-line is which party is one implementer's reading; the profile can turn it round, and the rule used is
    stored.
    """
    parties = (call.dn, call.other_dn)
    rule = "m-line order" if not profile.parties else f"m-line order {list(profile.parties)} of profile {profile.name}"
    return {
        index: {"dn": dn, "rule": rule}
        for index in range(max(len(parties), len(profile.parties)))
        if profile.party_of(index) < len(parties) and (dn := parties[profile.party_of(index)]) is not None
    }
