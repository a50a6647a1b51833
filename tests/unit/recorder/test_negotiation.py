"""From offer/answer to what writers, catalog and people are told."""

from __future__ import annotations

import msgspec

from recorder.edge.profile import ANY_CLIENT
from recorder.frontend.negotiation import remarks, stream_openings, stream_specs, with_ports
from signaling.sdp import Origin, parse_sdp
from signaling.sdp.offer_answer import MediaPlan, plan

OFFER = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n"
    "m=audio 30000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=label:1\r\na=sendonly\r\n"
    "m=video 30004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    "m=audio 30002 RTP/AVP 8\r\na=label:2\r\na=inactive\r\n"
)


ORIGIN = Origin.ours(7, "192.0.2.1")


def planned(text: str = OFFER) -> MediaPlan:
    return plan(parse_sdp(text.encode()))


def test_each_accepted_stream_becomes_a_spec_of_its_own_m_line() -> None:
    specs = stream_specs(planned().streams, (), ANY_CLIENT)
    assert [(spec.index, spec.label, spec.recording, spec.remote_port) for spec in specs] == [
        (0, "1", True, 30000),
        (2, "2", False, 30002),
    ]
    assert specs[0].payload_types[0].name == "PCMU"
    assert specs[0].payload_types[101].name == "TELEPHONE-EVENT"


def test_a_stream_that_was_there_before_keeps_its_port() -> None:
    first = with_ports(stream_specs(planned().streams, (), ANY_CLIENT), {0: 20000, 2: 20002})
    again = stream_specs(planned().streams, first, ANY_CLIENT)
    assert [spec.port for spec in again] == [20000, 20002]


def test_what_is_not_recorded_or_only_tolerated_is_told() -> None:
    assert "m-line 2 is not recorded: media-type" in remarks(planned())
    assert remarks(planned(OFFER.replace("m=video 30004", "m=audio 0"))) == ()
    assert any("line-ends" in remark for remark in remarks(planned(OFFER.replace("\r\n", "\n"))))


def test_the_catalog_learns_who_speaks_on_which_stream() -> None:
    specs = stream_specs(planned().streams, (), ANY_CLIENT)
    openings = stream_openings(specs, {2: {"dn": "5550111"}})
    assert [(one.index, one.party, one.participant) for one in openings] == [
        (0, specs[0].party, None),
        (2, specs[1].party, {"dn": "5550111"}),
    ]
    assert msgspec.json.encode(openings[0].payload_types)


def test_receiver_reports_go_on_under_one_name_for_the_whole_session() -> None:
    first = stream_specs(planned().streams, (), ANY_CLIENT)
    again = stream_specs(planned(OFFER.replace("m=audio 30000", "m=audio 31000")).streams, first, ANY_CLIENT)
    told = [spec.reports for spec in (*first, *again)]
    assert all(told)
    assert len({one.cname for one in told if one}) == 1
    assert [spec.reports.ssrc for spec in first if spec.reports] == [
        spec.reports.ssrc for spec in again if spec.reports
    ]
    assert [(spec.reports.host, spec.reports.port) for spec in again if spec.reports] == [
        ("192.0.2.20", 31001),
        ("192.0.2.20", 30003),
    ]


def test_rfc_3605_3556_3264_where_reports_go_and_when_none_may() -> None:
    elsewhere = planned(OFFER.replace("a=label:1", "a=label:1\r\na=rtcp:53020 IN IP4 192.0.2.99"))
    (spec, _) = stream_specs(elsewhere.streams, (), ANY_CLIENT)
    assert spec.reports is not None
    assert (spec.reports.host, spec.reports.port) == ("192.0.2.99", 53020)
    forbidden = planned(OFFER.replace("t=0 0", "b=RR:0\r\nt=0 0"))
    assert [spec.reports for spec in stream_specs(forbidden.streams, (), ANY_CLIENT)] == [None, None]
    limited = planned(OFFER.replace("t=0 0", "b=RS:800\r\nb=RR:400\r\nt=0 0"))
    assert [spec.reports.bandwidth_bps for spec in stream_specs(limited.streams, (), ANY_CLIENT) if spec.reports] == [
        1200.0,
        1200.0,
    ]
    running = planned()
    held = plan(
        parse_sdp(OFFER.replace("c=IN IP4 192.0.2.20", "c=IN IP4 0.0.0.0").encode()),
        running.negotiation(running.to_answer("192.0.2.1", {0: 4000, 2: 4002}, ORIGIN)),
    )
    assert [
        spec.reports for spec in stream_specs(held.streams, stream_specs(running.streams, (), ANY_CLIENT), ANY_CLIENT)
    ] == [None, None]
