"""The front doors: which one an INVITE takes, and what is read there."""

from __future__ import annotations

import pytest

from recorder.doors.entrance import Refused, read_change, read_invite
from recorder.doors.request import RecordingRequest
from signaling.sdp import parse_sdp
from signaling.sip import Request, parse_message
from storage.catalog.records import CallFacts, Door

SDP = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n"
    "m=audio 30000 RTP/AVP 0\r\na=label:1\r\na=sendonly\r\n"
    "m=audio 30002 RTP/AVP 0\r\na=label:2\r\na=sendonly\r\n"
)
METADATA = """<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1">
<datamode>complete</datamode>
<session session_id="hVpd7YQgRW2nD22h7q60JQ=="><sipSessionID>ab30;remote=47cb</sipSessionID></session>
<participant participant_id="alice=="><nameID aor="sip:5550111@example.com"><name>Alice</name></nameID></participant>
<participant participant_id="bob=="><nameID aor="sip:5550100@example.com"/></participant>
<stream stream_id="s1==" session_id="hVpd7YQgRW2nD22h7q60JQ=="><label>1</label></stream>
<stream stream_id="s2==" session_id="hVpd7YQgRW2nD22h7q60JQ=="><label>2</label></stream>
<participantstreamassoc participant_id="alice=="><send>s1==</send><recv>s2==</recv></participantstreamassoc>
<participantstreamassoc participant_id="bob=="><send>s2==</send><recv>s1==</recv></participantstreamassoc>
</recording>
"""


def request(
    uri: str, body: str = SDP, content_type: str = "application/sdp", method: str = "INVITE", extra: str = ""
) -> Request:
    raw = body.encode()
    text = (
        f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.30:5060;branch=z9hG4bK1\r\n"
        "From: <sip:5550111@192.0.2.20>;tag=f\r\nTo: <sip:5550199@192.0.2.40>\r\nCall-ID: call-1@192.0.2.20\r\n"
        f"CSeq: 1 {method}\r\nContact: <sip:192.0.2.20:7090>\r\nMax-Forwards: 70\r\n{extra}"
        + (f"Content-Type: {content_type}\r\n" if raw else "")
        + f"Content-Length: {len(raw)}\r\n\r\n"
    )
    parsed = parse_message(text.encode() + raw)
    assert isinstance(parsed, Request)
    return parsed


def multipart(*parts: tuple[str, str], boundary: str = "b1") -> tuple[str, str]:
    body = "".join(f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n{text}\r\n" for kind, text in parts)
    return f"{body}--{boundary}--\r\n", f"multipart/mixed;boundary={boundary}"


def opened(given: Request) -> RecordingRequest:
    read = read_invite(given)
    assert isinstance(read, RecordingRequest), read
    return read


MSR_URI = (
    "sip:record=01EXAMPLE0CALLUUID0000000000000A_2030-01-15_09-30-00@192.0.2.40:5060"
    ";callUuid=01EXAMPLE0CALLUUID0000000000000A;dn=5550100;otherDN=5550111;agentid=agent-0001;ani=5550111"
    ";connid=00ff00ff00ff0001;datetime=2030-01-15T09:30:00Z;dnis=5550199;gvp-tenant-id=[Environment].record"
    ";recorddn=5550100;sipsAppName=SIP_Example;x-site=a%20b"
)


def test_msr_call_data_come_from_the_request_uri_in_any_case() -> None:
    read = opened(request(MSR_URI))
    assert read.door is Door.MSR
    assert read.record_identifier == "01EXAMPLE0CALLUUID0000000000000A_2030-01-15_09-30-00"
    assert read.call == CallFacts(
        call_uuid="01EXAMPLE0CALLUUID0000000000000A",
        conn_id="00ff00ff00ff0001",
        ani="5550111",
        dnis="5550199",
        dn="5550100",
        other_dn="5550111",
        record_dn="5550100",
        agent_id="agent-0001",
        sips_app_name="SIP_Example",
        tenant="[Environment].record",
    )
    assert read.offer == parse_sdp(SDP.encode())


def test_msr_parameters_are_all_kept_in_order_with_their_names_as_received() -> None:
    names = [name for name, _ in opened(request(MSR_URI)).parameters]
    assert names[:3] == ["callUuid", "dn", "otherDN"]
    assert opened(request(MSR_URI)).parameters[-1] == ("x-site", "a b")


def test_msr_m_line_one_is_dn_and_m_line_two_is_otherdn() -> None:
    read = opened(request(MSR_URI))
    assert [read.participants[index]["dn"] for index in (0, 1)] == ["5550100", "5550111"]


def test_msr_without_any_parameter_is_recorded() -> None:
    read = opened(request("sip:record=abc@192.0.2.40"))
    assert (read.door, read.record_identifier, read.call) == (Door.MSR, "abc", CallFacts())


def test_plain_invite_is_recorded_under_its_call_id_and_says_so() -> None:
    read = opened(request("sip:5550199@192.0.2.40"))
    assert (read.door, read.record_identifier) == (Door.SIP, "call-1@192.0.2.20")
    assert (read.call.ani, read.call.dnis) == ("5550111", "5550199")
    assert "neither an MSR Request-URI nor SIPREC" in read.warnings[0]


@pytest.mark.parametrize("kind", ["application/rs-metadata+xml", "application/rs-metadata", "Application/RS-Metadata"])
def test_siprec_binds_participants_by_label(kind: str) -> None:
    body, content_type = multipart(("application/sdp", SDP), (kind, METADATA))
    read = opened(request("sip:srs@192.0.2.40", body, content_type, extra="Require: siprec\r\n"))
    assert read.door is Door.SIPREC
    assert read.record_identifier == "hVpd7YQgRW2nD22h7q60JQ=="
    assert [read.participants[index]["aor"] for index in (0, 1)] == [
        "sip:5550111@example.com",
        "sip:5550100@example.com",
    ]
    assert (read.call.ani, read.call.dnis, read.call.dn) == ("5550111", "5550100", "5550111")
    assert read.offer == parse_sdp(SDP.encode())
    assert read.metadata is not None
    assert read.metadata.body.startswith(b"<?xml")
    assert read.warnings == ()


def test_siprec_swapped_labels_swap_the_participants() -> None:
    swapped = SDP.replace("a=label:1", "a=label:X").replace("a=label:2", "a=label:1").replace("a=label:X", "a=label:2")
    body, content_type = multipart(("application/rs-metadata+xml", METADATA), ("application/sdp", swapped))
    read = opened(request("sip:srs@192.0.2.40", body, content_type))
    assert [read.participants[index]["dn"] for index in (0, 1)] == ["5550100", "5550111"]


def test_siprec_record_parameter_of_the_request_uri_names_the_recording() -> None:
    body, content_type = multipart(("application/sdp", SDP), ("application/rs-metadata+xml", METADATA))
    assert opened(request("sip:record=mine@192.0.2.40", body, content_type)).record_identifier == "mine"


def test_siprec_without_metadata_is_recorded_and_flagged() -> None:
    read = opened(request("sip:srs@192.0.2.40", extra="Require: siprec\r\n"))
    assert (read.door, read.record_identifier) == (Door.SIPREC, "call-1@192.0.2.20")
    assert "SIPREC without metadata" in read.warnings


def test_siprec_with_broken_metadata_is_recorded_and_flagged() -> None:
    body, content_type = multipart(("application/sdp", SDP), ("application/rs-metadata+xml", "not <xml"))
    read = opened(request("sip:srs@192.0.2.40", body, content_type))
    assert any(warning.startswith("metadata unreadable") for warning in read.warnings)
    assert read.offer == parse_sdp(SDP.encode())
    assert read.metadata is not None


def test_siprec_with_truncated_metadata_keeps_what_is_there_and_is_flagged() -> None:
    cut = METADATA[: METADATA.index("<participantstreamassoc")]
    body, content_type = multipart(("application/sdp", SDP), ("application/rs-metadata+xml", cut))
    read = opened(request("sip:srs@192.0.2.40", body, content_type))
    assert (read.record_identifier, read.call.ani) == ("hVpd7YQgRW2nD22h7q60JQ==", "5550111")
    assert read.warnings


def test_siprec_doctype_is_refused_as_metadata_but_the_call_is_recorded() -> None:
    bomb = '<!DOCTYPE r [<!ENTITY a "aaaa">]>' + METADATA.partition("?>")[2].replace("Alice", "&a;")
    body, content_type = multipart(("application/sdp", SDP), ("application/rs-metadata+xml", bomb))
    read = opened(request("sip:srs@192.0.2.40", body, content_type))
    assert any(warning.startswith("metadata unreadable") for warning in read.warnings)


def test_siprec_without_labels_is_recorded_and_flagged() -> None:
    unlabelled = SDP.replace("a=label:1\r\n", "").replace("a=label:2\r\n", "")
    body, content_type = multipart(("application/sdp", unlabelled), ("application/rs-metadata+xml", METADATA))
    read = opened(request("sip:srs@192.0.2.40", body, content_type))
    assert read.participants == {}
    assert any("label" in warning for warning in read.warnings)


def test_an_invite_without_a_body_asks_for_our_offer() -> None:
    assert opened(request("sip:record=abc@192.0.2.40", "")).offer is None


def test_a_part_that_must_be_understood_is_answered_415_with_accept() -> None:
    body, content_type = multipart(("application/sdp", SDP), ("application/x-unknown", "?"))
    read = read_invite(request("sip:record=abc@192.0.2.40", body, content_type))
    assert isinstance(read, Refused)
    assert (read.status, read.headers[0][0]) == (415, "Accept")


def test_a_change_with_metadata_alone_brings_no_offer() -> None:
    read = read_change(request("sip:srs@192.0.2.40", METADATA, "application/rs-metadata+xml", method="UPDATE"))
    assert not isinstance(read, Refused)
    assert read.offer is None
    assert read.metadata is not None
    assert read.metadata.body == METADATA.encode()
