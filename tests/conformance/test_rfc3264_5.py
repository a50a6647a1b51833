"""RFC 3264 §5 (generating the offer) and §7 (processing the answer), as far as a receiver offers."""

from __future__ import annotations

from signaling.sdp import Direction, parse_sdp
from signaling.sdp.offer_answer import conclude, initial_offer
from tests.unit.signaling.sdp.samples import HOST, ORIGIN, sdp, text_of

OFFER = initial_offer(HOST, [40000, 40002], ORIGIN)


def test_if_the_offerer_wishes_to_only_receive_it_must_mark_the_stream_as_recvonly() -> None:
    assert [media.direction for media in OFFER.media] == [Direction.RECVONLY, Direction.RECVONLY]


def test_all_media_descriptions_should_contain_rtpmap_mappings() -> None:
    for media in OFFER.media:
        assert [value.split()[0] for value in media.values("rtpmap")] == list(media.formats)


def test_the_port_and_address_in_the_offer_indicate_where_the_offerer_would_like_to_receive() -> None:
    assert OFFER.connection is not None
    assert OFFER.connection.host == HOST
    assert [media.port for media in OFFER.media] == [40000, 40002]


def test_the_offer_is_a_valid_session_description() -> None:
    assert parse_sdp(OFFER.encode()) == OFFER


def test_the_offerer_may_cease_listening_for_formats_that_are_not_in_the_answer() -> None:
    """§7: the negotiated formats shrink to those of the answer; the others stay understood (O3)."""
    answer = "v=0\nc=IN IP4 198.51.100.1\nm=audio 9000 RTP/AVP 8\nm=audio 0 RTP/AVP 0\n"
    first = conclude(OFFER, sdp(answer)).streams[0]
    assert first.formats == (8,)
    assert 0 in first.payload_types


def test_a_zero_port_in_the_answer_indicates_a_rejected_stream() -> None:
    answer = text_of(OFFER).replace("m=audio 40002", "m=audio 0").replace("a=recvonly", "a=sendonly")
    assert [stream.accepted for stream in conclude(OFFER, sdp(answer)).streams] == [True, False]
