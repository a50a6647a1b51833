"""Sources of identifiers, asked in the order of the profile; what a profile changes at the doors."""

from __future__ import annotations

import pytest

from recorder.doors.entrance import Refused, read_invite
from recorder.doors.identifier import first_identifier, record_identifier
from recorder.doors.request import RecordingRequest
from recorder.edge.profile import PeerProfile, Source, pattern
from signaling.siprec import RecordingSession, apply_update, parse_metadata
from tests.unit.recorder.doors.test_entrance import METADATA, MSR_URI, SDP, multipart, request

SESSION_ID = "ab30317f1a784dc48ff824d0d3715d86"


def state() -> RecordingSession:
    return apply_update(None, parse_metadata(METADATA.encode()))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("request-uri", "01EXAMPLE0CALLUUID0000000000000A_2030-01-15_09-30-00"),
        ("request-uri:DN", "5550100"),
        ("metadata", "hVpd7YQgRW2nD22h7q60JQ=="),
        ("session-id", SESSION_ID),
        ("call-id", "call-1@192.0.2.20"),
        ("header:x-name", "value"),
        ("from:tag", "f"),
    ],
)
def test_every_source_is_read(source: str, expected: str) -> None:
    given = request(
        MSR_URI, extra=f"Session-ID: {SESSION_ID};remote=00000000000000000000000000000000\r\nX-Name: value\r\n"
    )
    assert first_identifier([Source.parse(source)], given, state()) == expected


@pytest.mark.parametrize(
    "source", ["request-uri", "request-uri:dn", "metadata", "session-id", "header:X-Name", "from:x"]
)
def test_a_source_without_anything_is_passed_over(source: str) -> None:
    given = request("sip:srs@192.0.2.40")
    assert record_identifier([Source.parse(source)], given) == "call-1@192.0.2.20"
    assert record_identifier([Source.parse(source), Source("from", "tag")], given) == "f"


def test_a_damaged_session_id_costs_no_call() -> None:
    given = request("sip:srs@192.0.2.40", extra="Session-ID: nonsense\r\n")
    assert record_identifier([Source("session-id")], given) == "call-1@192.0.2.20"


def opened(uri: str, profile: PeerProfile, **options: str) -> RecordingRequest:
    read = read_invite(request(uri, **options), profile)
    assert isinstance(read, RecordingRequest), read
    return read


def test_a_profile_can_turn_the_parties_round() -> None:
    turned = opened(MSR_URI, PeerProfile(name="turned", parties=(1, 0)))
    assert [turned.participants[index]["dn"] for index in (0, 1)] == ["5550111", "5550100"]
    assert turned.participants[0]["rule"] == "m-line order [1, 0] of profile turned"


def test_a_profile_can_name_the_call_by_a_parameter_of_from() -> None:
    profile = PeerProfile(name="bridge", call_uuid=(Source("from", "tag"),))
    assert opened("sip:srs@192.0.2.40", profile).call.call_uuid == "f"
    assert opened(MSR_URI, PeerProfile(name="x", call_uuid=(Source("header", "X-Absent"),))).call.call_uuid == (
        "01EXAMPLE0CALLUUID0000000000000A"
    )


GENESYS = "x-genesys-gvp-session-id: 01;x=y\r\nX-Other: 2\r\nX-Genesys-RM-Application-dbid: 105\r\n"


@pytest.mark.parametrize("uri", [MSR_URI, "sip:srs@192.0.2.40"], ids=["msr", "plain"])
def test_header_fields_that_the_profile_names_are_kept_with_the_call_data(uri: str) -> None:
    profile = PeerProfile(name="x", call_headers=(pattern("X-Genesys-*"),))
    kept = opened(uri, profile, extra=GENESYS).parameters
    assert kept[-2:] == (("x-genesys-gvp-session-id", "01;x=y"), ("X-Genesys-RM-Application-dbid", "105"))
    assert opened(uri, PeerProfile(name="y"), extra=GENESYS).parameters == kept[:-2]


def test_a_profile_can_refuse_plain_invites_and_nothing_else() -> None:
    profile = PeerProfile(name="no-plain", plain_invites=False)
    refused = read_invite(request("sip:srs@192.0.2.40"), profile)
    assert isinstance(refused, Refused)
    assert refused.status == 403
    assert opened(MSR_URI, profile).door == "msr"


def test_a_strict_profile_refuses_what_a_tolerant_one_records_with_a_warning() -> None:
    body, content_type = multipart(("application/sdp", SDP), ("application/rs-metadata+xml", "<recording"))
    tolerant = opened("sip:srs@192.0.2.40", PeerProfile(name="t"), body=body, content_type=content_type)
    assert tolerant.warnings
    refused = read_invite(request("sip:srs@192.0.2.40", body, content_type), PeerProfile(name="strict", strict=True))
    assert isinstance(refused, Refused)
    assert refused.status == 488
