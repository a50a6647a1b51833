"""From `a=crypto` to the keys of a writer, and our own (RFC 4568 §5.1.2, §6.1, §7.1.4)."""

from __future__ import annotations

from media.writer.protocol import MasterKey, Protection, StreamSpec
from recorder.frontend.protection import awaited, keys_of, own_keys, protection_of, with_fresh_keys
from signaling.sdp import parse_sdp
from signaling.sdp.offer_answer import AnswerPolicy, StreamPlan, plan

SUITE = "AES_CM_128_HMAC_SHA1_80"
THEIRS = bytes(range(30))
OTHERS = bytes(range(1, 31))


def planned(
    key: str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd", suite: str = SUITE, protocol: str = "RTP/SAVP"
) -> StreamPlan:
    text = (
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
        f"m=audio 4000 {protocol} 0\r\na=crypto:1 {suite} inline:{key}\r\na=sendonly\r\n"
    )
    return plan(parse_sdp(text.encode())).streams[0]


def spec(protection: Protection | None) -> StreamSpec:
    return StreamSpec(index=0, party=0, payload_types={}, protection=protection)


def test_the_clients_keys_open_and_ours_is_fresh() -> None:
    stream = planned()
    first, second = own_keys([stream]), own_keys([stream])
    assert first != second
    protection = protection_of(stream, first, None)
    assert protection == Protection(keys=(MasterKey(SUITE, THEIRS),), former=(), own=MasterKey(SUITE, first[0]))
    assert protection_of(planned(protocol="RTP/AVP"), {}, None) is None


def test_an_identifier_has_its_length_in_bytes() -> None:
    protection = protection_of(planned("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd|2^20|258:4"), {}, None)
    assert protection is not None
    assert protection.keys[0].mki == b"\0\0\1\2"


def test_a_new_key_keeps_the_one_before_for_the_handover_and_ours() -> None:
    before = Protection(keys=(MasterKey(SUITE, OTHERS),), own=MasterKey(SUITE, bytes(30)))
    stream = planned()
    assert own_keys([stream], [spec(before)]) == {0: bytes(30)}
    after = protection_of(stream, own_keys([stream], [spec(before)]), before)
    assert after is not None
    assert (after.former, after.own) == (before.keys, before.own)
    again = protection_of(stream, {}, after)
    assert again == after


def test_another_suite_gets_another_key_of_ours() -> None:
    before = Protection(keys=(MasterKey(SUITE, OTHERS),), own=MasterKey(SUITE, bytes(30)))
    stream = planned("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==", "AEAD_AES_128_GCM")
    (ours,) = own_keys([stream], [spec(before)]).values()
    assert len(ours) == 28


def test_our_new_address_takes_a_new_key_and_leaves_the_clients() -> None:
    before = Protection(keys=(MasterKey(SUITE, OTHERS),), own=MasterKey(SUITE, bytes(30)))
    (moved, plain) = with_fresh_keys([spec(before), spec(None)])
    assert moved.protection is not None
    assert moved.protection.keys == before.keys
    assert keys_of([moved])[0] != bytes(30)
    assert plain.protection is None
    assert keys_of([plain]) == {}


def test_an_offer_of_ours_waits_for_the_clients_keys() -> None:
    protection = awaited(AnswerPolicy(srtp="require"))
    assert protection is not None
    assert protection.keys == ()
    assert protection.own is not None
    assert protection.own.suite == SUITE
    assert awaited(AnswerPolicy(srtp="allow")) is None


def test_no_text_form_shows_a_key() -> None:
    protection = protection_of(planned(), {0: bytes(range(30, 60))}, None)
    assert "SHA1_80" in repr(protection)
    for hidden in (repr(THEIRS)[2:20], "keysalt", repr(bytes(range(30, 60)))[2:20]):
        assert hidden not in repr(spec(protection))
