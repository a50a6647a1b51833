"""RFC 4568, SRTP keys in session descriptions (checklist S26, R13)."""

from __future__ import annotations

import pytest

from signaling.errors import LocalProtocolError
from signaling.sdp import SdpSyntaxError
from signaling.sdp.crypto import parse_crypto
from signaling.sdp.offer_answer import AnswerPolicy, MediaPlan, Negotiation, Refusal, conclude, offer_for_move, plan
from tests.unit.signaling.sdp.samples import HOST, KEY, ORIGIN, OTHER_KEY, SECURE, sdp, text_of

ALLOW = AnswerPolicy(srtp="allow")

# §7.1.5, the example of the RFC: an answerer with AES-CM only.
EXAMPLE = """\
v=0
o=sam 2890844526 2890842807 IN IP4 10.47.16.5
s=SRTP Discussion
c=IN IP4 168.2.17.12
t=2873397496 2873404696
m=audio 49170 RTP/SAVP 0
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP
a=crypto:2 F8_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4;\
inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5|2^20|2:4 FEC_ORDER=FEC_SRTP
"""


def secure(text: str = SECURE, previous: Negotiation | None = None) -> MediaPlan:
    return plan(sdp(text), previous, ALLOW)


def answered(media: MediaPlan, key: bytes = KEY) -> Negotiation:
    return media.negotiation(media.to_answer(HOST, {0: 40000}, ORIGIN, {0: key}))


@pytest.mark.parametrize(
    "value",
    [
        "1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|2^20|1:32",
        "1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4",
        "1 AES_CM_128_HMAC_SHA1_80 inline:YUJDZGVmZ2hpSktMbW9QUXJzVHVWd3l6MTIzNDU2|1066:4",
        "1 AES_CM_128_HMAC_SHA1_32 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj|2^20|1:32",
    ],
)
def test_the_examples_of_sections_4_and_6_are_read_and_written(value: str) -> None:
    assert parse_crypto(value).encode() == value


def test_the_example_of_section_7_1_5_is_read_with_both_keys_of_the_second_line() -> None:
    first, second = (parse_crypto(value) for value in sdp(EXAMPLE).media[0].values("crypto"))
    assert [key.mki for key in second.keys] == [1, 2]
    assert first.parameters == ("FEC_ORDER=FEC_SRTP",)


def test_7_1_2_all_parameters_must_be_acceptable_or_the_stream_is_rejected() -> None:
    """Forward error correction and F8 are not supported, so nothing of the example is left."""
    assert plan(sdp(EXAMPLE), None, ALLOW).streams[0].refusal is Refusal.NO_CRYPTO


def test_5_1_2_the_answerer_must_accept_exactly_one_of_the_offered_attributes() -> None:
    assert len(answered(secure()).local.media[0].values("crypto")) == 1


def test_5_1_2_it_should_select_the_most_preferred_attribute_it_can_support() -> None:
    assert answered(secure()).local.media[0].values("crypto")[0].startswith("1 AES_CM_128_HMAC_SHA1_80 ")


def test_5_1_2_if_none_is_valid_or_supported_the_stream_must_be_rejected() -> None:
    assert secure(SECURE.replace("AES_CM", "XES_CM")).streams[0].refusal is Refusal.NO_CRYPTO


def test_5_1_2_the_answer_must_contain_the_tag_and_suite_and_a_key_whatever_the_direction() -> None:
    media = secure(SECURE.replace("a=sendonly", "a=inactive"))
    crypto = parse_crypto(answered(media).local.media[0].values("crypto")[0])
    assert (crypto.tag, crypto.suite, crypto.keys[0].key_salt) == (1, "AES_CM_128_HMAC_SHA1_80", KEY)


def test_5_1_2_declarative_parameters_of_the_offerer_are_not_included_in_the_answer() -> None:
    media = secure(SECURE.replace("|2^20|1:4", "|2^20|1:4 WSH=128"))
    assert "WSH" not in text_of(answered(media).local)


def test_7_1_2_the_key_of_the_answer_must_be_different_from_that_of_the_offer() -> None:
    with pytest.raises(LocalProtocolError):
        answered(secure(), bytes(range(1, 31)))


def test_5_3_a_secure_stream_is_never_answered_without_protection() -> None:
    """A stream offered as RTP/SAVP is answered as RTP/SAVP, with a key or with port 0."""
    for policy, keys in ((ALLOW, {0: KEY}), (AnswerPolicy(srtp="refuse"), {})):
        answer = plan(sdp(SECURE), None, policy).to_answer(HOST, {0: 40000}, ORIGIN, keys)
        assert answer.media[0].protocol == "RTP/SAVP"
        assert (answer.media[0].port == 0) == (not answer.media[0].values("crypto"))


@pytest.mark.parametrize("protocol", ["RTP/SAVP", "RTP/SAVPF"])
def test_s26_savp_and_savpf_with_sdes_keys(protocol: str) -> None:
    answer = answered(secure(SECURE.replace("RTP/SAVP", protocol))).local
    assert (answer.media[0].protocol, answer.media[0].port) == (protocol, 40000)


def test_6_security_descriptions_must_only_be_used_with_the_srtp_transport() -> None:
    assert secure(SECURE.replace("RTP/SAVP", "RTP/AVP")).streams[0].crypto is None


@pytest.mark.parametrize(
    "parameter", ["UNENCRYPTED_SRTP", "UNENCRYPTED_SRTCP", "UNAUTHENTICATED_SRTP", "KDR=2", "UNHEARD_OF"]
)
def test_6_3_an_attribute_with_a_parameter_that_is_not_supported_is_passed_over(parameter: str) -> None:
    crypto = secure(SECURE.replace("|2^20|1:4", f"|2^20|1:4 {parameter}")).streams[0].crypto
    assert crypto is not None
    assert crypto.tag == 2


def test_6_3_7_an_unknown_parameter_with_a_dash_may_be_ignored() -> None:
    crypto = secure(SECURE.replace("|2^20|1:4", "|2^20|1:4 -UNHEARD_OF=1")).streams[0].crypto
    assert crypto is not None
    assert crypto.tag == 1


def test_6_1_if_the_key_length_does_not_match_the_attribute_must_be_considered_invalid() -> None:
    with pytest.raises(SdpSyntaxError, match="length"):
        parse_crypto("1 AES_CM_128_HMAC_SHA1_80 inline:AAAA")


def test_7_1_4_an_unchanged_stream_keeps_its_key() -> None:
    first = answered(secure())
    assert secure(previous=first).to_answer(HOST, {0: 40000}, ORIGIN) == first.local


def test_r13_if_the_answerers_address_differs_it_must_include_a_new_master_key() -> None:
    first = answered(secure())
    again = secure(previous=first)
    with pytest.raises(LocalProtocolError):
        again.to_answer("192.0.2.51", {0: 40000}, ORIGIN)
    moved = again.to_answer("192.0.2.51", {0: 40000}, ORIGIN, {0: OTHER_KEY})
    assert parse_crypto(moved.media[0].values("crypto")[0]).keys[0].key_salt == OTHER_KEY


def test_r13_if_the_offerers_address_differs_it_must_include_a_new_master_key() -> None:
    first = answered(secure())
    with pytest.raises(LocalProtocolError):
        offer_for_move(first, "192.0.2.51", {0: 41000})
    offer = offer_for_move(first, "192.0.2.51", {0: 41000}, keys={0: OTHER_KEY})
    assert parse_crypto(offer.media[0].values("crypto")[0]).keys[0].key_salt == OTHER_KEY


def test_5_1_3_the_offerer_must_verify_that_an_offered_suite_and_its_tag_were_echoed() -> None:
    first = answered(secure())
    offer = offer_for_move(first, "192.0.2.51", {0: 41000}, keys={0: OTHER_KEY})
    answer = text_of(offer).replace("a=recvonly", "a=sendonly")
    assert conclude(offer, sdp(answer), first, ALLOW).streams[0].accepted
    stream = conclude(offer, sdp(answer.replace("crypto:1", "crypto:3")), first, ALLOW).streams[0]
    assert stream.refusal is Refusal.NO_CRYPTO


def test_7_1_4_if_the_new_offer_is_rejected_the_old_crypto_parameters_remain_in_place() -> None:
    first = answered(secure())
    offer = offer_for_move(first, "192.0.2.51", {0: 41000}, keys={0: OTHER_KEY})
    assert first.offered(offer).local == first.local
