"""Offers of our own: late offers, moved media, and what the peer's answer makes of them."""

from __future__ import annotations

import msgspec
import pytest

from signaling.errors import LocalProtocolError
from signaling.sdp import Codec, Connection, Direction, SessionDescription
from signaling.sdp.offer_answer import (
    AnswerPolicy,
    Change,
    Negotiation,
    Noted,
    Refusal,
    Remark,
    conclude,
    initial_offer,
    offer_again,
    offer_for_move,
    plan,
)
from tests.unit.signaling.sdp.samples import HOST, KEY, ORIGIN, OTHER_KEY, SECURE, TWO_STREAMS, sdp, text_of

PORTS = {0: 40000, 1: 40002}
NEW_PORTS = {0: 41000, 1: 41002}
NEW_HOST = "192.0.2.51"
THIRD_KEY = bytes(range(200, 230))

EVENTS = "a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n"


def settled(text: str = TWO_STREAMS, policy: AnswerPolicy | None = None) -> Negotiation:
    media = plan(sdp(text), None, policy or AnswerPolicy())
    return media.negotiation(media.to_answer(HOST, PORTS, ORIGIN, {0: KEY}))


def follow_up(text: str, previous: Negotiation) -> Negotiation:
    media = plan(sdp(text), previous)
    return media.negotiation(media.to_answer(HOST, PORTS, ORIGIN))


def mirrored(offer: SessionDescription, direction: str = "sendonly") -> SessionDescription:
    """Answer as a well-behaved client would."""
    text = text_of(offer).replace("a=recvonly", f"a={direction}").replace("o=srs 7001", "o=SRC 100")
    return sdp(text.replace("192.0.2.5", "198.51.100."))


class TestInitialOffer:
    def test_one_receive_only_line_for_each_port(self) -> None:
        offer = initial_offer(HOST, [40000, 40002], ORIGIN, AnswerPolicy(codecs=("PCMU", "PCMA", "OPUS")))
        line = f"RTP/AVP 0 8 101\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n{EVENTS}a=recvonly\n"
        assert text_of(offer) == (
            "v=0\no=srs 7001 1 IN IP4 192.0.2.50\ns=-\nc=IN IP4 192.0.2.50\nt=0 0\n"
            f"m=audio 40000 {line}m=audio 40002 {line}"
        )

    def test_not_ready_it_is_inactive(self) -> None:
        offer = initial_offer(HOST, [40000], ORIGIN, AnswerPolicy(receive=False))
        assert offer.media[0].direction is Direction.INACTIVE

    @pytest.mark.parametrize(("ports", "codecs"), [([0], ("PCMU",)), ([70000], ("PCMU",)), ([40000], ("OPUS",))])
    def test_it_needs_ports_and_a_codec_with_a_static_number(self, ports: list[int], codecs: tuple[str, ...]) -> None:
        with pytest.raises(LocalProtocolError):
            initial_offer(HOST, ports, ORIGIN, AnswerPolicy(codecs=codecs))

    def test_where_protection_is_required_it_is_offered_with_a_key_of_ours(self) -> None:
        offer = initial_offer(HOST, [40000], ORIGIN, AnswerPolicy(srtp="require"), keys={0: KEY})
        assert offer.media[0].protocol == "RTP/SAVP"
        assert offer.media[0].values("crypto") == [
            "1 AES_CM_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"
        ]
        for keys, suites in ((None, ("AES_CM_128_HMAC_SHA1_80",)), ({0: KEY}, ())):
            with pytest.raises(LocalProtocolError, match="master key"):
                initial_offer(HOST, [40000], ORIGIN, AnswerPolicy(srtp="require", crypto_suites=suites), keys=keys)


class TestOfferAgain:
    def test_a_running_session_is_offered_as_it_is(self) -> None:
        assert offer_again(settled()) == settled().local

    def test_a_paused_stream_is_inactive_however_it_was_paused(self) -> None:
        for pause in (("a=sendonly", "a=inactive"), ("c=IN IP4 198.51.100.1", "c=IN IP4 0.0.0.0")):
            held = follow_up(TWO_STREAMS.replace(*pause), settled())
            assert {media.direction for media in offer_again(held).media} == {Direction.INACTIVE}

    def test_not_ready_asks_for_nothing(self) -> None:
        assert {media.direction for media in offer_again(settled(), receive=False).media} == {Direction.INACTIVE}

    def test_a_stream_that_was_given_up_stays_so(self) -> None:
        gone = follow_up(TWO_STREAMS.replace("m=audio 12242", "m=audio 0"), settled())
        assert [media.port for media in offer_again(gone).media] == [40000, 0]

    def test_keys_stay(self) -> None:
        state = settled(SECURE, AnswerPolicy(srtp="allow"))
        assert offer_again(state) == state.local


class TestConclusionOfALateOffer:
    OFFER = initial_offer(HOST, [40000, 40002], ORIGIN)

    def test_the_answer_chooses_codec_and_address(self) -> None:
        answer = sdp(
            "v=0\no=- 1 1 IN IP4 198.51.100.96\ns=-\nc=IN IP4 198.51.100.97\nt=0 0\n"
            "m=audio 28000 RTP/AVP 8 101\na=rtpmap:101 telephone-event/8000\na=ptime:30\na=sendonly\n"
            "m=audio 0 RTP/AVP 0\n"
        )
        conclusion = conclude(self.OFFER, answer)
        first, second = conclusion.streams
        assert conclusion.usable
        assert conclusion.noted == ()
        assert (first.formats, first.recording, first.direction) == ((8, 101), True, Direction.RECVONLY)
        assert (first.remote_host, first.remote_port, first.remote_rtcp) == (
            "198.51.100.97", 28000, ("198.51.100.97", 28001),
        )  # fmt: skip
        assert first.ptime_ms == 30
        assert first.changes == frozenset({Change.ADDED})
        assert set(first.payload_types) >= {0, 8, 101}
        assert second.refusal is Refusal.REMOVED
        assert conclusion.negotiation.local == self.OFFER
        assert [slot.live for slot in conclusion.negotiation.slots] == [True, False]

    def test_lines_that_are_not_answered_are_refused_and_surplus_ones_ignored(self) -> None:
        short = conclude(self.OFFER, sdp("v=0\nc=IN IP4 198.51.100.97\nm=audio 28000 RTP/AVP 0\n"))
        assert [s.accepted for s in short.streams] == [True, False]
        assert short.noted == (Noted(Remark.LINE_NOT_ANSWERED, 1),)
        long = conclude(self.OFFER, sdp("v=0\nc=IN IP4 198.51.100.97\n" + "m=audio 28000 RTP/AVP 0\n" * 3))
        assert len(long.streams) == 2
        assert long.noted == (Noted(Remark.SURPLUS_LINES),)

    def test_an_answer_that_takes_nothing_is_not_usable(self) -> None:
        assert not conclude(self.OFFER, sdp("v=0\nm=audio 0 RTP/AVP 0\nm=audio 0 RTP/AVP 0\n")).usable

    def test_numbers_that_were_not_offered_are_remembered_but_not_expected(self) -> None:
        answer = sdp("v=0\nc=IN IP4 198.51.100.97\nm=audio 28000 RTP/AVP 111 0\na=rtpmap:111 opus/48000/2\n")
        conclusion = conclude(self.OFFER, answer)
        assert conclusion.streams[0].formats == (0,)
        assert conclusion.streams[0].payload_types[111] == Codec("OPUS", 48000, 2)
        assert Noted(Remark.FORMAT_NOT_OFFERED, 0) in conclusion.noted

    def test_an_answer_without_any_offered_number_leaves_all_of_them_open(self) -> None:
        answer = sdp("v=0\nc=IN IP4 198.51.100.97\nm=audio 28000 RTP/AVP 111\n")
        assert conclude(self.OFFER, answer).streams[0].formats == tuple(sorted(map(int, self.OFFER.media[0].formats)))

    @pytest.mark.parametrize(
        ("direction", "recording", "notes"),
        [
            ("a=sendonly\n", True, ()),
            ("a=sendrecv\n", True, ()),
            ("", True, ()),
            ("a=inactive\n", False, ()),
            ("a=recvonly\n", True, (Noted(Remark.RECEIVE_ONLY, 0),)),
        ],
    )
    def test_directions(self, direction: str, recording: bool, notes: tuple[Noted, ...]) -> None:
        offer = initial_offer(HOST, [40000], ORIGIN)
        conclusion = conclude(offer, sdp(f"v=0\nc=IN IP4 198.51.100.97\nm=audio 28000 RTP/AVP 0\n{direction}"))
        assert conclusion.streams[0].recording is recording
        assert conclusion.noted == notes

    def test_a_changed_transport_is_noted(self) -> None:
        offer = initial_offer(HOST, [40000], ORIGIN)
        conclusion = conclude(offer, sdp("v=0\nc=IN IP4 198.51.100.97\nm=audio 28000 RTP/AVPF 0\n"))
        assert conclusion.noted == (Noted(Remark.TRANSPORT_CHANGED, 0),)


class TestMove:
    def test_only_version_address_and_ports_change(self) -> None:
        before = settled()
        after = offer_for_move(before, NEW_HOST, NEW_PORTS)
        expected = (
            text_of(before.local)
            .replace("o=srs 7001 1", "o=srs 7001 2")
            .replace("c=IN IP4 192.0.2.50", "c=IN IP4 192.0.2.51")
            .replace("m=audio 40000", "m=audio 41000")
            .replace("m=audio 40002", "m=audio 41002")
        )
        assert text_of(after) == expected

    def test_a_paused_stream_stays_inactive(self) -> None:
        paused = follow_up(TWO_STREAMS.replace("a=sendonly\na=label:97", "a=inactive\na=label:97"), settled())
        offer = offer_for_move(paused, NEW_HOST, NEW_PORTS)
        assert [media.direction for media in offer.media] == [Direction.RECVONLY, Direction.INACTIVE]

    def test_a_stream_held_by_its_missing_address_becomes_inactive(self) -> None:
        held = follow_up(TWO_STREAMS.replace("c=IN IP4 198.51.100.1", "c=IN IP4 0.0.0.0"), settled())
        assert [media.direction for media in held.local.media] == [Direction.RECVONLY, Direction.RECVONLY]
        offer = offer_for_move(held, NEW_HOST, NEW_PORTS)
        assert [media.direction for media in offer.media] == [Direction.INACTIVE, Direction.INACTIVE]

    def test_the_pause_survives_the_inactive_answer_and_ends_with_the_next_offer(self) -> None:
        paused = follow_up(TWO_STREAMS.replace("a=sendonly", "a=inactive"), settled())
        offer = offer_for_move(paused, NEW_HOST, NEW_PORTS)
        conclusion = conclude(offer, mirrored(offer), paused)
        assert [s.recording for s in conclusion.streams] == [False, False]
        assert [slot.held_by_peer for slot in conclusion.negotiation.slots] == [True, True]
        resumed = follow_up(TWO_STREAMS, conclusion.negotiation)
        assert [slot.recording for slot in resumed.slots] == [True, True]

    def test_not_being_ready_is_no_pause_of_the_peer(self) -> None:
        waiting = settled(policy=AnswerPolicy(receive=False))
        moved = offer_for_move(waiting, NEW_HOST, NEW_PORTS, receive=False)
        assert [media.direction for media in moved.media] == [Direction.INACTIVE] * 2
        still_waiting = conclude(moved, mirrored(moved), waiting).negotiation
        ready = offer_for_move(still_waiting, NEW_HOST, NEW_PORTS)
        assert [media.direction for media in ready.media] == [Direction.RECVONLY] * 2
        assert [s.recording for s in conclude(ready, mirrored(ready), still_waiting).streams] == [True, True]

    def test_a_peer_that_only_receives_is_not_asked_to_send(self) -> None:
        state = settled(TWO_STREAMS.replace("a=sendonly", "a=recvonly"))
        assert {media.direction for media in offer_for_move(state, NEW_HOST, NEW_PORTS).media} == {Direction.INACTIVE}

    def test_an_inactive_answer_to_a_receiving_offer_is_a_pause(self) -> None:
        offer = offer_for_move(settled(), NEW_HOST, NEW_PORTS)
        conclusion = conclude(offer, mirrored(offer, "inactive"), settled())
        assert [(s.recording, s.held_by_peer) for s in conclusion.streams] == [(False, True)] * 2

    def test_an_accepted_move_keeps_recording(self) -> None:
        before = settled()
        offer = offer_for_move(before, NEW_HOST, NEW_PORTS)
        conclusion = conclude(offer, mirrored(offer), before)
        assert conclusion.noted == ()
        assert [(s.recording, s.label, s.formats) for s in conclusion.streams] == [
            (True, "96", (0, 101)),
            (True, "97", (0, 101)),
        ]
        assert conclusion.negotiation.version == 2

    def test_a_move_that_was_offered_changes_nothing_but_the_next_version(self) -> None:
        before = settled()
        offer = offer_for_move(before, NEW_HOST, NEW_PORTS)
        after = before.offered(offer)
        assert (after.local, after.remote, after.slots) == (before.local, before.remote, before.slots)
        assert offer_for_move(after, NEW_HOST, {0: 42000, 1: 42002}).origin.version == "3"

    def test_the_same_offer_made_again_is_the_same_description(self) -> None:
        """RFC 6141 §5.5: after 491, or by a successor that does not know what became of it."""
        before = settled()
        offer = offer_for_move(before, NEW_HOST, NEW_PORTS)
        restored = Negotiation.restore(before.offered(offer).snapshot())
        assert offer_for_move(restored, NEW_HOST, NEW_PORTS).encode() == offer.encode()

    def test_an_answer_that_overtakes_our_offer_has_a_version_of_its_own(self) -> None:
        """Both sides offered at once, got 491, and the peer tries again first (RFC 3261 §14.1)."""
        before = settled()
        offer = offer_for_move(before, NEW_HOST, NEW_PORTS)
        answered = follow_up(TWO_STREAMS.replace("a=sendonly", "a=inactive"), before.offered(offer))
        assert (offer.origin.version, answered.local.origin.version) == ("2", "3")
        assert offer_for_move(answered, NEW_HOST, NEW_PORTS).origin.version == "4"

    def test_our_own_unchanged_description_is_offered_under_its_own_version(self) -> None:
        before = settled()
        again = offer_again(before)
        assert before.offered(again) == before
        failed = before.offered(offer_for_move(before, NEW_HOST, NEW_PORTS))
        assert offer_again(failed).origin.version == "3"

    def test_port_zero_gives_a_stream_up(self) -> None:
        offer = offer_for_move(settled(), NEW_HOST, {0: 41000, 1: 0})
        assert text_of(offer).splitlines()[-1] == "m=audio 0 RTP/AVP 0"
        conclusion = conclude(offer, mirrored(offer), settled())
        assert conclusion.streams[1].changes == frozenset({Change.REMOVED})

    def test_dead_slots_are_offered_with_port_zero_also_those_the_peer_dropped(self) -> None:
        three = settled(TWO_STREAMS + "m=video 9000 RTP/AVP 98\n")
        short = follow_up(TWO_STREAMS[: TWO_STREAMS.index("m=audio 12242")], three)
        offer = offer_for_move(short, NEW_HOST, {0: 41000})
        assert [line for line in text_of(offer).splitlines() if line.startswith("m=")] == [
            "m=audio 41000 RTP/AVP 0 101",
            "m=audio 0 RTP/AVP 0",
            "m=video 0 RTP/AVP 0",
        ]

    def test_each_live_stream_needs_a_port(self) -> None:
        with pytest.raises(LocalProtocolError, match="port"):
            offer_for_move(settled(), NEW_HOST, {0: 41000})

    def test_an_offer_that_changes_nothing_keeps_its_version(self) -> None:
        before = settled()
        assert offer_for_move(before, HOST, PORTS) == before.local

    def test_media_level_connections_do_not_survive(self) -> None:
        before = settled()
        odd = msgspec.structs.replace(before.local.media[0], connection=Connection.to("192.0.2.60"))
        state = msgspec.structs.replace(
            before, local=msgspec.structs.replace(before.local, media=(odd, before.local.media[1]))
        )
        assert "192.0.2.60" not in text_of(offer_for_move(state, NEW_HOST, NEW_PORTS))

    def test_rtcp_mux_runs_only_if_both_want_it(self) -> None:
        before = settled(TWO_STREAMS.replace("a=sendonly", "a=rtcp-mux\na=sendonly"))
        offer = offer_for_move(before, NEW_HOST, NEW_PORTS)
        assert [s.rtcp_mux for s in conclude(offer, mirrored(offer), before).streams] == [True, True]
        without = sdp(text_of(mirrored(offer)).replace("a=rtcp-mux\n", ""))
        assert [s.rtcp_mux for s in conclude(offer, without, before).streams] == [False, False]


class TestSecureMove:
    POLICY = AnswerPolicy(srtp="allow")

    def moved(self) -> tuple[Negotiation, SessionDescription]:
        before = settled(SECURE, self.POLICY)
        return before, offer_for_move(before, NEW_HOST, {0: 41000}, keys={0: OTHER_KEY})

    def test_a_new_address_brings_a_new_key(self) -> None:
        before, offer = self.moved()
        old, new = before.local.media[0].value("crypto"), offer.media[0].value("crypto")
        assert old is not None
        assert new is not None
        assert old.split()[:2] == new.split()[:2]
        assert old.split()[2] != new.split()[2]

    @pytest.mark.parametrize("keys", [{}, {0: KEY}, {0: b"short"}])
    def test_without_a_new_key_there_is_no_offer(self, keys: dict[int, bytes]) -> None:
        with pytest.raises(LocalProtocolError):
            offer_for_move(settled(SECURE, self.POLICY), NEW_HOST, {0: 41000}, keys=keys)

    def test_the_answer_brings_the_keys_of_the_peer(self) -> None:
        before, offer = self.moved()
        crypto = offer.media[0].value("crypto")
        assert crypto is not None
        theirs = text_of(mirrored(offer)).replace(
            crypto.split()[2], "inline:" + "yMnKy8zNzs_Q".replace("_", "/") * 3 + "yMnK"
        )
        stream = conclude(offer, sdp(theirs), before, self.POLICY).streams[0]
        assert stream.crypto is not None
        assert len(stream.crypto.keys[0].key_salt) == 30
        assert stream.recording

    @pytest.mark.parametrize(
        ("before", "after"), [("crypto:1", "crypto:9"), ("SHA1_80", "SHA1_32"), ("a=crypto", "a=x")]
    )
    def test_an_answer_with_another_tag_or_suite_fails(self, before: str, after: str) -> None:
        state, offer = self.moved()
        answer = sdp(text_of(mirrored(offer)).replace(before, after))
        assert conclude(offer, answer, state, self.POLICY).streams[0].refusal is Refusal.NO_CRYPTO
