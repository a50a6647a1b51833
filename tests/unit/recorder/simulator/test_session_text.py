"""Bodies of our own: what they say, and what is understood of the recorder's."""

from datetime import UTC, datetime

import pytest
from lxml import etree

from recorder.simulator.g711 import Law
from recorder.simulator.scenario import Door, ScenarioOptions, plan_calls
from recorder.simulator.session_text import LocalMedia, StreamTarget, describe, metadata, siprec_body, stream_targets
from signaling.sdp import Direction, parse_sdp
from tests.unit.recorder.simulator.scripted import planned, sdp

NS = "{urn:ietf:params:xml:ns:recording:1}"
MEDIA = LocalMedia("192.0.2.20", (30000, 30002))
SENDING = (Direction.SENDONLY, Direction.SENDONLY)


def test_an_msr_offer_is_what_a_media_server_sends() -> None:
    made = describe(planned(), MEDIA, SENDING, session_id=1, version=1).encode().decode()
    assert made.splitlines() == [
        "v=0", "o=- 1 1 IN IP4 192.0.2.20", "s=-", "c=IN IP4 192.0.2.20", "t=0 0",
        "m=audio 30000 RTP/AVP 0 101", "a=rtpmap:0 pcmu/8000", "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15", "a=ptime:20", "a=sendonly",
        "m=audio 30002 RTP/AVP 0 101", "a=rtpmap:0 pcmu/8000", "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15", "a=ptime:20", "a=sendonly",
    ]  # fmt: skip


def test_a_siprec_offer_has_labels_and_a_law_its_own_payload_type() -> None:
    made = describe(planned(Door.SIPREC, law=Law.PCMA), MEDIA, SENDING, session_id=1, version=1)
    assert [media.label for media in made.media] == ["1", "2"]
    assert [media.formats for media in made.media] == [("8", "101")] * 2
    assert made.media[0].values("rtpmap")[0] == "8 PCMA/8000"


def test_the_metadata_binds_each_participant_to_the_stream_of_its_label() -> None:
    plan = planned(Door.SIPREC)
    root = etree.fromstring(metadata(plan, "192.0.2.20"))
    assert root.tag == f"{NS}recording"
    session = root.find(f"{NS}session")
    assert session is not None
    assert session.get("session_id") == plan.record_identifier
    labels = {stream.get("stream_id"): stream.findtext(f"{NS}label") for stream in root.findall(f"{NS}stream")}
    people = {
        person.get("participant_id"): person.find(f"{NS}nameID").get("aor")  # type: ignore[union-attr]
        for person in root.findall(f"{NS}participant")
    }
    sending = {
        people[link.get("participant_id")]: labels[link.findtext(f"{NS}send")]
        for link in root.findall(f"{NS}participantstreamassoc")
    }
    assert sending == {f"sip:{plan.dn}@192.0.2.20": "1", f"sip:{plan.other_dn}@192.0.2.20": "2"}


def test_both_names_of_the_metadata_type_are_used() -> None:
    options = ScenarioOptions(door=Door.SIPREC, calls=2)
    plans = plan_calls(options, started_at=datetime(2030, 1, 15, tzinfo=UTC), run="r")
    bodies = [siprec_body(plan, b"v=0\r\n", "192.0.2.20")[1] for plan in plans]
    assert b"Content-Type: application/rs-metadata+xml\r\n" in bodies[0]
    assert b"Content-Type: application/rs-metadata\r\n" in bodies[1]
    assert bodies[0].startswith(b"--tandem-simulator-boundary\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n")
    assert bodies[0].endswith(b"\r\n--tandem-simulator-boundary--\r\n")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("", ""), StreamTarget("192.0.2.50", 40000, 40001, True)),
        (("recvonly", "inactive"), StreamTarget("192.0.2.50", 40000, 40001, False)),
        (("a=recvonly\r\n", ""), StreamTarget("192.0.2.50", 40000, 40001, True)),
        (("a=recvonly", "a=rtcp:50001\r\na=recvonly"), StreamTarget("192.0.2.50", 40000, 50001, True)),
        (("c=IN IP4 192.0.2.50", "c=IN IP4 0.0.0.0"), StreamTarget("0.0.0.0", 40000, 40001, False)),
        (("m=audio 40000", "m=audio 0"), StreamTarget("192.0.2.50", 0, 1, False)),
        (("RTP/AVP 0 101", "RTP/AVP 8 101"), StreamTarget("192.0.2.50", 40000, 40001, False)),
    ],
)
def test_where_the_recorder_wants_a_stream(change: tuple[str, str], expected: StreamTarget) -> None:
    targets = stream_targets(parse_sdp(sdp().replace(*change, 1).encode()), Law.PCMU)
    assert targets[0] == expected
