"""The crypto attribute: grammar, validity, answers, and keys that stay hidden."""

from __future__ import annotations

import binascii

import pytest
from rich.pretty import pretty_repr

from signaling.errors import LocalProtocolError
from signaling.sdp import SdpSyntaxError
from signaling.sdp.crypto import KEY_SALT_LENGTHS, Crypto, MasterKey, check_key, parse_crypto
from tests.unit.signaling.sdp.samples import KEY, OFFERED_KEY, OTHER_KEY

SUITE = "AES_CM_128_HMAC_SHA1_80"
OFFERED = bytes(range(1, 31))


def test_every_field() -> None:
    crypto = parse_crypto(f"1 {SUITE} inline:{OFFERED_KEY}|2^20|1066:4 WSH=128")
    assert crypto == Crypto(1, SUITE, (MasterKey(OFFERED, 1 << 20, 1066, 4),), ("WSH=128",))


@pytest.mark.parametrize(
    ("info", "lifetime", "mki", "length"),
    [
        ("", None, None, 0),
        ("|2^31", 1 << 31, None, 0),
        ("|1000", 1000, None, 0),
        ("|1:1", None, 1, 1),
        ("|2^48|255:1", 1 << 48, 255, 1),
    ],
)
def test_lifetime_and_identifier_are_optional(info: str, lifetime: int | None, mki: int | None, length: int) -> None:
    value = f"1 {SUITE} inline:{OFFERED_KEY}{info}"
    crypto = parse_crypto(value)
    assert crypto.keys == (MasterKey(OFFERED, lifetime, mki, length),)
    assert crypto.encode() == value


def test_several_keys_each_with_its_identifier() -> None:
    value = f"2 {SUITE} inline:{OFFERED_KEY}|2^20|1:4;inline:{OFFERED_KEY[::-1]}|2^20|2:4"
    crypto = parse_crypto(value)
    assert [key.mki for key in crypto.keys] == [1, 2]
    assert crypto.encode() == value


def test_case_does_not_matter_except_in_the_key() -> None:
    assert parse_crypto(f"1 {SUITE.lower()} INLINE:{OFFERED_KEY}") == parse_crypto(f"1 {SUITE} inline:{OFFERED_KEY}")


@pytest.mark.parametrize(("suite", "length"), KEY_SALT_LENGTHS.items())
def test_the_key_has_the_length_of_its_suite(suite: str, length: int) -> None:
    key_salt = bytes(length)
    text = binascii.b2a_base64(key_salt, newline=False).decode()
    assert parse_crypto(f"1 {suite} inline:{text}").keys[0].key_salt == key_salt
    assert parse_crypto(f"1 {suite} inline:{text.rstrip('=')}").keys[0].key_salt == key_salt
    longer = binascii.b2a_base64(bytes(length + 1), newline=False).decode()
    with pytest.raises(SdpSyntaxError, match="length"):
        parse_crypto(f"1 {suite} inline:{longer}")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "lacks a field"),
        (f"1 {SUITE}", "lacks a field"),
        (f"x {SUITE} inline:{OFFERED_KEY}", "tag"),
        (f"01 {SUITE} inline:{OFFERED_KEY}", "tag"),
        (f"1234567890 {SUITE} inline:{OFFERED_KEY}", "tag"),
        (f"1 ROT13 inline:{OFFERED_KEY}", "unknown crypto-suite"),
        (f"1 {SUITE} uri:{OFFERED_KEY}", "key method"),
        (f"1 {SUITE} inline:{OFFERED_KEY}|0", "lifetime"),
        (f"1 {SUITE} inline:{OFFERED_KEY}|2^49", "lifetime"),
        (f"1 {SUITE} inline:{OFFERED_KEY}|{(1 << 48) + 1}", "lifetime"),
        (f"1 {SUITE} inline:{OFFERED_KEY}|2^x", "lifetime"),
        (f"1 {SUITE} inline:{OFFERED_KEY}|1:0", "length of a master key identifier"),
        (f"1 {SUITE} inline:{OFFERED_KEY}|1:129", "length of a master key identifier"),
        (f"1 {SUITE} inline:{OFFERED_KEY}|1:", "length of a master key identifier"),
        (f"1 {SUITE} inline:{OFFERED_KEY}|x:4", "invalid master key identifier"),
        (f"1 {SUITE} inline:{OFFERED_KEY}|{'9' * 400}:128", "invalid master key identifier"),
        (f"1 {SUITE} inline:{OFFERED_KEY}|256:1", "exceeds its length"),
        (f"1 {SUITE} inline:{OFFERED_KEY}|2^20|1:4|x", "surplus"),
        (f"1 {SUITE} inline:not*base64", "base64"),
        (f"1 {SUITE} inline:Ä{OFFERED_KEY[1:]}", "base64"),
        (f"1 {SUITE} inline:", "length"),
        (f"1 {SUITE} inline:{OFFERED_KEY};inline:{OFFERED_KEY}", "without distinct identifiers"),
        (f"1 {SUITE} inline:{OFFERED_KEY}|1:1;inline:{OFFERED_KEY}|2:2", "without distinct identifiers"),
        (f"1 {SUITE} " + ";".join([f"inline:{OFFERED_KEY}|1:4"] * 17), "too many master keys"),
    ],
)
def test_an_invalid_attribute_is_refused(value: str, reason: str) -> None:
    with pytest.raises(SdpSyntaxError, match=reason) as caught:
        parse_crypto(value)
    assert OFFERED_KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "acceptable"),
    [
        ("", True),
        ("WSH=64", True),
        ("wsh=64", True),
        ("-NEW=1", True),
        ("NEW=1", False),
        ("UNENCRYPTED_SRTP", False),
        ("UNENCRYPTED_SRTCP", False),
        ("UNAUTHENTICATED_SRTP", False),
        ("KDR=1", False),
        ("FEC_ORDER=FEC_SRTP", False),
        ("WSH=64 KDR=1", False),
    ],
)
def test_which_session_parameters_can_be_honoured(parameters: str, acceptable: bool) -> None:
    assert parse_crypto(f"1 {SUITE} inline:{OFFERED_KEY} {parameters}").acceptable is acceptable


def test_an_answer_repeats_tag_and_suite_and_brings_our_own_key() -> None:
    offered = parse_crypto(f"7 {SUITE} inline:{OFFERED_KEY}|2^20|1:4 WSH=64")
    answer = offered.answer(KEY)
    assert answer.encode() == f"7 {SUITE} inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"
    assert parse_crypto(answer.encode()).keys[0].key_salt == KEY


def test_an_answer_never_repeats_the_offered_key() -> None:
    offered = parse_crypto(f"1 {SUITE} inline:{OFFERED_KEY}")
    with pytest.raises(LocalProtocolError, match="repeats"):
        offered.answer(OFFERED)


@pytest.mark.parametrize(("suite", "key"), [(SUITE, b"short"), ("ROT13", KEY), ("AEAD_AES_128_GCM", KEY)])
def test_our_key_must_fit_the_suite(suite: str, key: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="length"):
        check_key(suite, key)


def test_keys_appear_in_no_text_form() -> None:
    crypto = Crypto(1, SUITE, (MasterKey(OTHER_KEY, 1 << 31, 5, 4),))
    shown = (repr(crypto), str(crypto.keys), pretty_repr(crypto))
    assert all("<hidden>" in text and "2147483648" in text for text in shown)
    assert all(repr(OTHER_KEY)[2:12] not in text for text in shown)
