"""Answers to offers of SRTP with SDES keys (RFC 4568): literal offers in, literal answers out."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from signaling.errors import LocalProtocolError
from signaling.sdp.offer_answer import (
    AnswerPolicy,
    MediaPlan,
    Negotiation,
    Noted,
    Refusal,
    Remark,
    plan,
)
from tests.unit.signaling.sdp.offer_answer.test_answering import PORTS, answered, offered
from tests.unit.signaling.sdp.samples import HOST, KEY, ORIGIN, OTHER_KEY, SECURE, TWO_STREAMS, sdp, text_of

ALLOW_SRTP = AnswerPolicy(srtp="allow")


class TestSrtp:
    def secure(
        self, text: str = SECURE, previous: Negotiation | None = None, policy: AnswerPolicy = ALLOW_SRTP
    ) -> MediaPlan:
        return plan(sdp(text), previous, policy)

    def answer(self, media: MediaPlan, keys: Mapping[int, bytes] | None = None, port: int = 40000) -> Negotiation:
        return media.negotiation(media.to_answer(HOST, {0: port}, ORIGIN, {0: KEY} if keys is None else keys))

    def test_the_first_supported_attribute_is_accepted_with_a_key_of_ours(self) -> None:
        media = self.secure()
        assert text_of(self.answer(media).local).splitlines()[5:] == [
            "m=audio 40000 RTP/SAVP 0 101",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd",
            "a=recvonly",
            "a=label:96",
        ]

    def test_the_plan_holds_the_keys_of_the_peer(self) -> None:
        crypto = self.secure().streams[0].crypto
        assert crypto is not None
        assert crypto.keys[0].key_salt == bytes(range(1, 31))

    def test_where_it_is_refused_it_is_never_answered_without_protection(self) -> None:
        media = plan(sdp(SECURE), None, AnswerPolicy(srtp="refuse"))
        assert media.streams[0].refusal is Refusal.SRTP_NOT_ALLOWED
        assert not media.usable

    def test_a_plain_stream_is_refused_where_protection_is_required(self) -> None:
        assert offered(TWO_STREAMS, srtp="require").streams[0].refusal is Refusal.SRTP_REQUIRED
        assert self.secure(policy=AnswerPolicy(srtp="require")).usable

    def test_suites_outside_the_policy_are_passed_over(self) -> None:
        media = self.secure(policy=AnswerPolicy(srtp="allow", crypto_suites=("AES_CM_128_HMAC_SHA1_32",)))
        assert media.streams[0].crypto is not None
        assert media.streams[0].crypto.tag == 2

    @pytest.mark.parametrize(
        "text",
        [
            SECURE.replace("a=crypto:", "a=x-crypto:"),
            SECURE.replace("SHA1_80", "SHA1_99").replace("SHA1_32", "SHA1_99"),
            SECURE.replace("|2^20|1:4", "|2^20|1:4 KDR=3").replace("a=crypto:2", "a=crypto:1"),
        ],
    )
    def test_without_a_usable_attribute_the_stream_is_refused(self, text: str) -> None:
        assert self.secure(text).streams[0].refusal is Refusal.NO_CRYPTO

    def test_invalid_attributes_and_repeated_tags_are_noted(self) -> None:
        media = self.secure(
            SECURE.replace("a=crypto:1 AES", "a=crypto:x AES").replace("a=sendonly", "a=crypto:2 A inline:")
        )
        assert media.noted == (Noted(Remark.BAD_CRYPTO, 0),)
        repeated = self.secure(SECURE.replace("|2^20|1:4", " KDR=1").replace("a=crypto:2", "a=crypto:1"))
        assert repeated.noted == (Noted(Remark.BAD_CRYPTO, 0),)

    def test_crypto_on_a_plain_transport_is_ignored(self) -> None:
        media = self.secure(SECURE.replace("RTP/SAVP", "RTP/AVP"))
        assert media.streams[0].crypto is None
        assert "crypto" not in text_of(media.to_answer(HOST, PORTS, ORIGIN))

    def test_a_key_of_ours_is_needed(self) -> None:
        with pytest.raises(LocalProtocolError, match="needs a key"):
            self.secure().to_answer(HOST, PORTS, ORIGIN)

    def test_the_same_offer_again_keeps_our_key_and_version(self) -> None:
        first = self.answer(self.secure())
        again = self.secure(previous=first).to_answer(HOST, {0: 40000}, ORIGIN)
        assert again == first.local

    def test_a_new_address_of_ours_or_another_suite_needs_a_new_key(self) -> None:
        first = self.answer(self.secure())
        moved = self.answer(self.secure(previous=first), {0: OTHER_KEY}, port=41000)
        assert moved.local.media[0].value("crypto") != first.local.media[0].value("crypto")
        with pytest.raises(LocalProtocolError, match="needs a key"):
            self.answer(self.secure(previous=first), {}, port=41000)
        other_suite = self.secure(
            previous=first, policy=AnswerPolicy(srtp="allow", crypto_suites=("AES_CM_128_HMAC_SHA1_32",))
        )
        with pytest.raises(LocalProtocolError, match="needs a key"):
            self.answer(other_suite, {})

    def test_a_stream_that_was_plain_before_needs_a_key_too(self) -> None:
        plain = answered(SECURE.replace("RTP/SAVP", "RTP/AVP"))
        with pytest.raises(LocalProtocolError, match="needs a key"):
            self.secure(previous=plain).to_answer(HOST, PORTS, ORIGIN)
