"""RFC 3264 §8, modifying the session, sentence by sentence (checklist O4 to O7, O10, S10, S11)."""

from __future__ import annotations

import pytest

from signaling.sdp import Codec, Direction, SessionDescription, payload_map
from signaling.sdp.offer_answer import Change, MediaPlan, Negotiation, conclude, offer_for_move, plan
from tests.unit.signaling.sdp.samples import HOST, ORIGIN, TWO_STREAMS, sdp, text_of

PORTS = {index: 40000 + 2 * index for index in range(8)}
OPUS = TWO_STREAMS.replace("0 8 101", "96 0 101").replace("a=rtpmap:0 PCMU/8000", "a=rtpmap:96 opus/48000/2")


def offered(text: str, previous: Negotiation | None = None) -> MediaPlan:
    return plan(sdp(text), previous)


def answered(text: str, previous: Negotiation | None = None) -> Negotiation:
    media = offered(text, previous)
    return media.negotiation(media.to_answer(HOST, PORTS, ORIGIN))


def peers_answer(offer: SessionDescription) -> SessionDescription:
    return sdp(text_of(offer).replace("a=recvonly", "a=sendonly"))


def test_o4_the_origin_must_be_identical_except_that_the_version_must_increment_by_one() -> None:
    before = answered(TWO_STREAMS)
    after = answered(TWO_STREAMS.replace("a=sendonly", "a=inactive"), before)
    moved = offer_for_move(after, "192.0.2.51", {0: 41000, 1: 41002})
    assert [state.origin for state in (before.local, after.local, moved)] == [
        ORIGIN,
        ORIGIN.at_version(2),
        ORIGIN.at_version(3),
    ]


def test_o4_if_the_version_does_not_increment_the_sdp_must_be_identical() -> None:
    before = answered(TWO_STREAMS)
    again = answered(TWO_STREAMS.replace("SRC 100 1", "SRC 100 2"), before)
    assert again.local.origin.version == "1"
    assert again.local.encode() == before.local.encode()


def test_o4_an_offer_whose_version_has_not_changed_must_still_get_a_valid_answer() -> None:
    media = offered(TWO_STREAMS, answered(TWO_STREAMS))
    assert not media.changed
    assert len(media.to_answer(HOST, PORTS, ORIGIN).media) == 2


def test_o4_an_unchanged_version_does_not_hide_changed_content() -> None:
    """Seen in the field: a pause whose version never rises (E7)."""
    media = offered(TWO_STREAMS.replace("a=sendonly", "a=inactive"), answered(TWO_STREAMS))
    assert media.changed
    assert all(stream.changes == {Change.PAUSED} for stream in media.streams)


def test_o5_deleted_streams_must_not_be_removed_in_a_new_sdp() -> None:
    third = answered(TWO_STREAMS + "m=audio 9000 RTP/AVP 0\n")
    without = answered(TWO_STREAMS + "m=audio 0 RTP/AVP 0\n", third)
    offer = offer_for_move(without, "192.0.2.51", {0: 41000, 1: 41002})
    assert [media.port for media in offer.media] == [41000, 41002, 0]


def test_s11_new_streams_are_added_below_the_existing_ones() -> None:
    media = offered(TWO_STREAMS + "m=audio 9000 RTP/AVP 0\na=sendonly\n", answered(TWO_STREAMS))
    assert [stream.changes for stream in media.streams] == [set(), set(), {Change.ADDED}]
    assert media.to_answer(HOST, PORTS, ORIGIN).media[2].port == 40004


def test_s11_a_disabled_slot_may_be_reused_for_a_new_stream() -> None:
    gone = answered(TWO_STREAMS.replace("m=audio 12240", "m=audio 0"), answered(TWO_STREAMS))
    media = offered(TWO_STREAMS, gone)
    assert media.streams[0].changes == {Change.REUSED}
    assert media.to_answer(HOST, PORTS, ORIGIN).media[0].port == 40000


def test_s11_a_stream_offered_with_port_zero_must_be_marked_with_port_zero_in_the_answer() -> None:
    media = offered("v=0\no=- 1 1 IN IP4 198.51.100.1\nt=0 0\nm=audio 0 RTP/AVP 0\n", answered(TWO_STREAMS))
    assert text_of(media.to_answer(HOST, PORTS, ORIGIN)).endswith("m=audio 0 RTP/AVP 0\n")
    assert media.usable


def test_o6_the_answerer_follows_a_changed_address_and_port_of_the_peer() -> None:
    changed = TWO_STREAMS.replace("c=IN IP4 198.51.100.1", "c=IN IP4 198.51.100.7").replace("12240", "15000")
    first = offered(changed, answered(TWO_STREAMS)).streams[0]
    assert (first.remote_host, first.remote_port, first.changes) == (
        "198.51.100.7",
        15000,
        frozenset({Change.MOVED}),
    )


def test_o6_to_change_our_address_only_connection_and_ports_are_updated() -> None:
    before = answered(TWO_STREAMS)
    after = offer_for_move(before, "192.0.2.51", {0: 41000, 1: 41002})
    old, new = text_of(before.local).splitlines(), text_of(after).splitlines()
    changed = [line for line, other in zip(new, old, strict=True) if line != other]
    assert changed == [
        "o=srs 7001 2 IN IP4 192.0.2.50",
        "c=IN IP4 192.0.2.51",
        "m=audio 41000 RTP/AVP 0 101",
        "m=audio 41002 RTP/AVP 0 101",
    ]


def test_o5_the_mapping_of_a_payload_type_must_not_change_for_the_duration_of_a_session() -> None:
    state = answered(OPUS)
    for text in (OPUS.replace("opus/48000/2", "AMR/8000"), OPUS.replace("96 0 101", "0 101"), OPUS):
        media = offered(text, state)
        state = media.negotiation(media.to_answer(HOST, PORTS, ORIGIN))
        assert state.slots[0].payload_types[96] == Codec("OPUS", 48000, 2)
        assert payload_map(state.local.media[0]).get(96, Codec("OPUS", 48000, 2)) == Codec("OPUS", 48000, 2)


def test_it_is_acceptable_for_multiple_payload_types_to_be_mapped_to_the_same_codec() -> None:
    text = OPUS.replace("RTP/AVP 96", "RTP/AVP 72").replace("rtpmap:96", "rtpmap:72")
    assert offered(text, answered(OPUS)).streams[0].codecs[72] == Codec("OPUS", 48000, 2)


def test_the_list_of_formats_may_change() -> None:
    first = offered(TWO_STREAMS.replace("0 8 101", "18 101"), answered(TWO_STREAMS)).streams[0]
    assert (first.formats, first.changes) == ((18, 101), frozenset({Change.CODECS}))


def test_an_agent_must_still_be_prepared_to_receive_the_old_format_for_a_time() -> None:
    first = offered(TWO_STREAMS.replace("0 8 101", "18 101"), answered(TWO_STREAMS)).streams[0]
    assert first.payload_types[0] == Codec("PCMU", 8000)


def test_the_media_type_of_a_stream_may_be_changed() -> None:
    media = offered(
        TWO_STREAMS.replace("m=audio 12240 RTP/AVP 0 8 101", "m=image 12240 udptl t38"), answered(TWO_STREAMS)
    )
    answer = media.to_answer(HOST, PORTS, ORIGIN)
    assert (answer.media[0].media, answer.media[0].port) == ("image", 0)
    assert media.streams[0].changes == {Change.REMOVED}


@pytest.mark.parametrize("hold", ["a=inactive", "a=sendonly"])
def test_s10_each_stream_is_placed_on_hold_independently(hold: str) -> None:
    media = offered(TWO_STREAMS.replace("a=sendonly\na=label:97", f"{hold}\na=label:97"), answered(TWO_STREAMS))
    assert [stream.recording for stream in media.streams] == [True, hold == "a=sendonly"]


def test_s10_a_held_stream_is_resumed_by_a_new_offer() -> None:
    held = answered(TWO_STREAMS.replace("a=sendonly", "a=inactive"), answered(TWO_STREAMS))
    assert all(stream.changes == {Change.RESUMED} for stream in offered(TWO_STREAMS, held).streams)


def test_o7_zero_address_means_that_neither_rtp_nor_rtcp_should_be_sent_to_the_peer() -> None:
    media = offered(TWO_STREAMS.replace("c=IN IP4 198.51.100.1", "c=IN IP4 0.0.0.0"))
    assert all(stream.accepted and stream.remote_rtcp is None for stream in media.streams)


def test_the_recipient_of_held_sdp_should_not_automatically_return_it_held() -> None:
    media = offered(TWO_STREAMS.replace("c=IN IP4 198.51.100.1", "c=IN IP4 0.0.0.0"), answered(TWO_STREAMS))
    assert {media.direction for media in media.to_answer(HOST, PORTS, ORIGIN).media} == {Direction.RECVONLY}


def test_pause_is_sacred_an_offer_of_ours_never_asks_for_a_stream_the_peer_holds() -> None:
    held = answered(TWO_STREAMS.replace("a=sendonly", "a=inactive"), answered(TWO_STREAMS))
    offer = offer_for_move(held, "192.0.2.51", {0: 41000, 1: 41002})
    assert {media.direction for media in offer.media} == {Direction.INACTIVE}


def test_o10_a_rejected_offer_leaves_the_session_parameters_unchanged() -> None:
    before = answered(TWO_STREAMS)
    rejected = offered(TWO_STREAMS.replace("RTP/AVP 0 8 101", "RTP/AVP 120"), before)
    assert not rejected.usable
    ours = offer_for_move(before, "192.0.2.51", {0: 41000, 1: 41002})
    after = before.offered(ours)
    assert (after.local, after.remote, after.slots) == (before.local, before.remote, before.slots)


def test_o4_an_offer_of_ours_that_was_refused_and_an_answer_after_it_are_two_versions() -> None:
    """Glare, and the peer's own offer comes first: what we answer is not what we had offered."""
    before = answered(TWO_STREAMS)
    ours = offer_for_move(before, "192.0.2.51", {0: 41000, 1: 41002})
    answer = answered(TWO_STREAMS.replace("a=sendonly", "a=inactive"), before.offered(ours)).local
    assert (before.local.origin.version, ours.origin.version, answer.origin.version) == ("1", "2", "3")


def test_an_accepted_offer_of_ours_becomes_the_previous_sdp() -> None:
    before = answered(TWO_STREAMS)
    offer = offer_for_move(before, "192.0.2.51", {0: 41000, 1: 41002})
    after = conclude(offer, peers_answer(offer), before).negotiation
    assert after.local == offer
    assert answered(TWO_STREAMS.replace("a=sendonly", "a=inactive"), after).local.origin.version == "3"
