"""Nothing that is kept of a message helps anybody to a password, a key, or metadata that policy keeps out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.edge.masking import without_metadata, without_secrets
from signaling.sip.digest import Challenge, answer

KEY = b"d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
VENDOR = Path(__file__).parents[3] / "corpus" / "vendor"


def message(*headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join(["INVITE sip:a@b SIP/2.0", *headers, "", ""]).encode() + body


@pytest.mark.parametrize("name", ["Authorization", "Proxy-Authorization", "authorization "])
def test_the_proof_of_a_password_is_masked_and_the_user_is_not(name: str) -> None:
    challenge = Challenge("tandem", "bm9uY2U=")
    credentials = answer(challenge, username="sbc", password="secret", method="INVITE", uri="sip:a@b", cnonce="c")
    given_message = message(f"{name}: {credentials}", "To: <sip:a@b>")
    masked = without_secrets(given_message)
    assert credentials.response.encode() not in masked
    assert b'response="' + b"x" * 32 + b'"' in masked
    assert b'username="sbc"' in masked
    assert len(masked) == len(given_message)


def test_credentials_on_folded_lines_are_masked() -> None:
    masked = without_secrets(message('Authorization: Digest username="u",\r\n response="0123456789abcdef"', "To: x"))
    assert b"0123456789abcdef" not in masked
    assert b"\r\nTo: x\r\n" in masked


@pytest.mark.parametrize("value", ["Basic c2JjOnNlY3JldA==", "Bearer eyJhbGciOi.J9.x"])
def test_credentials_of_other_schemes_are_masked_whole(value: str) -> None:
    scheme, _, secret = value.partition(" ")
    masked = without_secrets(message(f"Authorization: {value}"))
    assert masked == message(f"Authorization: {scheme} {'x' * len(secret)}")


def test_media_keys_are_masked_wherever_they_stand() -> None:
    sdp = (
        b"v=0\r\nk=base64:c2VjcmV0\r\nm=audio 1 RTP/SAVP 0\r\n"
        b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + KEY + b"|2^31|1:1;inline:" + KEY + b"\r\n"
        b"a=key-mgmt:mikey c2VjcmV0LW1pa2V5\r\na=label:1\r\n"
    )
    masked = without_secrets(message("Content-Type: application/sdp", body=sdp))
    for secret in (KEY, b"c2VjcmV0", b"c2VjcmV0LW1pa2V5"):
        assert secret not in masked
    assert b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + b"x" * len(KEY) + b"|2^31|1:1;inline:" in masked
    assert b"a=label:1\r\n" in masked
    assert len(masked) == len(message("Content-Type: application/sdp", body=sdp))


def test_a_message_without_secrets_is_left_as_it_is() -> None:
    given_message = message("WWW-Authenticate: Digest realm=x, nonce=y", body=b"v=0\r\n\xff")
    assert without_secrets(given_message) is given_message


@pytest.mark.parametrize("path", sorted(VENDOR.glob("*.mime")), ids=lambda path: path.stem)
def test_metadata_of_every_client_leaves_only_its_digest(path: Path) -> None:
    head, _, body = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").partition(b"\r\n\r\n")
    given_message = message(head.decode().strip(), body=body)
    kept = without_metadata(given_message)
    assert b"<recording" not in kept
    assert b"5550111@" not in kept.partition(b"\r\n\r\n")[2]
    assert kept.count(b"m=audio") == given_message.count(b"m=audio")
    if b"<recording" in given_message:
        assert b", SHA-256 " in kept


def test_metadata_alone_leaves_type_size_and_digest() -> None:
    kept = without_metadata(message("Content-Type: application/rs-metadata+xml", body=b"<recording/>"))
    digest = hashlib.sha256(b"<recording/>").hexdigest().encode()
    assert kept.endswith(b"\r\n\r\n(12 bytes of application/rs-metadata+xml, SHA-256 " + digest + b")")


def test_a_body_that_cannot_be_taken_apart_is_left_out() -> None:
    kept = without_metadata(message("Content-Type: multipart/mixed;boundary=b", body=b"<recording>secret"))
    assert b"secret" not in kept


def test_a_message_without_a_body_is_left_as_it_is() -> None:
    assert without_metadata(message("To: x")) == message("To: x")


@given(st.binary(max_size=300))
def test_nothing_makes_it_fail(data: bytes) -> None:
    assert len(without_secrets(b"Authorization: Digest response=" + data)) == 31 + len(data)
    without_secrets(data)
    without_metadata(b"INVITE x\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n--b\r\n" + data)
