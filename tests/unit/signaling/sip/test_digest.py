"""Digest authentication: published vectors, both directions, and nonces that prove their age."""

from __future__ import annotations

import base64

import pytest

from signaling.errors import SipSyntaxError
from signaling.sip.digest import (
    Algorithm,
    Challenge,
    Credentials,
    NonceVerdict,
    answer,
    check_nonce,
    hash_password,
    make_nonce,
    verify,
)

KEY = bytes(range(32))
REALM = "recorder.example"

# RFC 7616 §3.9.1; the last one of RFC 2617 §3.5.
VECTORS = [
    (
        Challenge("http-auth@example.org", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", Algorithm.MD5),
        ("Mufasa", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"),
        "8ca523f5e9506fed4657c9700eebdbec",
    ),
    (
        Challenge("http-auth@example.org", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", Algorithm.SHA_256),
        ("Mufasa", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"),
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    ),
    (
        Challenge("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093", Algorithm.MD5),
        ("Mufasa", "Circle Of Life", "0a4f113b"),
        "6629fae49393a05397450978507c4ef1",
    ),
]


@pytest.mark.parametrize(("challenge", "user", "expected"), VECTORS)
def test_published_vectors(challenge: Challenge, user: tuple[str, str, str], expected: str) -> None:
    username, password, cnonce = user
    credentials = answer(
        challenge, username=username, password=password, method="GET", uri="/dir/index.html", cnonce=cnonce
    )
    assert credentials.response == expected


def test_the_vector_of_sha_512_256() -> None:
    """RFC 7616 §3.9.2 with the digest of its erratum 4897; the one printed is not SHA-512/256."""
    challenge = Challenge("api@example.org", "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", Algorithm.SHA_512_256)
    credentials = answer(
        challenge,
        username="Jäsøn Doe",
        password="Secret, or not?",
        method="GET",
        uri="/doe.json",
        cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    )
    assert credentials.response == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"


@pytest.mark.parametrize("qop_auth", [True, False])
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_what_we_answer_we_accept(algorithm: Algorithm, qop_auth: bool) -> None:
    challenge = Challenge(REALM, "nonce", algorithm, qop_auth, opaque="o" if qop_auth else None, stale=qop_auth)
    received = Challenge.parse(str(challenge))
    assert received == challenge
    sent = answer(received, username='a "b"', password="p", method="INVITE", uri="sip:srs@host", cnonce="c", count=17)
    credentials = Credentials.parse(str(sent))
    assert credentials == sent
    assert credentials.nc == ("00000011" if qop_auth else None)
    hashed = hash_password('a "b"', REALM, "p", algorithm)
    assert verify(credentials, hashed_password=hashed, method="INVITE")
    assert not verify(credentials, hashed_password=hashed, method="BYE")
    assert not verify(credentials, hashed_password=hash_password('a "b"', REALM, "q", algorithm), method="INVITE")


def test_an_upper_case_digest_is_accepted() -> None:
    sent = answer(Challenge(REALM, "n"), username="u", password="p", method="INVITE", uri="sip:h", cnonce="c")
    shouted = Credentials.parse(str(sent).replace(sent.response, sent.response.upper()))
    assert shouted is not None
    assert verify(shouted, hashed_password=hash_password("u", REALM, "p", Algorithm.MD5), method="INVITE")


def test_the_first_of_two_equal_parameters_counts() -> None:
    challenge = Challenge.parse('Digest realm="a", realm="b", nonce=n')
    assert challenge is not None
    assert challenge.realm == "a"


@pytest.mark.parametrize(
    "text",
    [
        'Basic realm="a"',
        "NoOneKnowsThisScheme opaque-data=here",
        'Digest realm="a", nonce="n", algorithm=MD5-sess',
        'Digest realm="a", nonce="n", qop="auth-int"',
    ],
)
def test_challenges_that_we_do_not_understand_are_ignored(text: str) -> None:
    assert Challenge.parse(text) is None


@pytest.mark.parametrize("text", ["Basic dTpw", 'Digest username="u", qop=auth-int', "Digest algorithm=SHA-1, nonce=n"])
def test_credentials_that_we_never_asked_for_are_none(text: str) -> None:
    assert Credentials.parse(text) is None


def test_qop_is_chosen_from_a_list() -> None:
    challenge = Challenge.parse('Digest realm="a", nonce="n", qop="auth-int, AUTH"')
    assert challenge is not None
    assert challenge.qop_auth


@pytest.mark.parametrize(
    "text",
    [
        'Digest realm="a"',
        "Digest",
        "Digest realm=",
        'Digest realm="a" nonce="n"',
        'Digest realm="a',
        'Digest realm="a"b, nonce=n',
    ],
)
def test_a_malformed_challenge_is_an_error(text: str) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        Challenge.parse(text)
    assert caught.value.header == "WWW-Authenticate"


def test_credentials_with_qop_need_a_client_nonce() -> None:
    with pytest.raises(SipSyntaxError):
        Credentials.parse('Digest username="u", realm="r", nonce="n", uri="sip:h", response="00", qop=auth')


@pytest.mark.parametrize(("later", "verdict"), [(0.0, NonceVerdict.FRESH), (30.0, NonceVerdict.FRESH)])
def test_a_nonce_is_fresh_for_its_lifetime(later: float, verdict: NonceVerdict) -> None:
    nonce = make_nonce(KEY, realm=REALM, now=1000.0)
    assert check_nonce(nonce, KEY, realm=REALM, now=1000.0 + later, lifetime=30.0) is verdict


@pytest.mark.parametrize("now", [1030.1, 969.0])
def test_a_nonce_of_another_time_is_stale(now: float) -> None:
    nonce = make_nonce(KEY, realm=REALM, now=1000.0)
    assert check_nonce(nonce, KEY, realm=REALM, now=now, lifetime=30.0) is NonceVerdict.STALE


@pytest.mark.parametrize("nonce", ["", "!", "ä", "AAAA", base64.urlsafe_b64encode(bytes(24)).decode()])
def test_a_nonce_of_somebody_else_is_forged(nonce: str) -> None:
    assert check_nonce(nonce, KEY, realm=REALM, now=0.0, lifetime=30.0) is NonceVerdict.FORGED


def test_a_nonce_is_bound_to_its_key_and_realm() -> None:
    nonce = make_nonce(KEY, realm=REALM, now=0.0)
    assert check_nonce(nonce, b"k" * 32, realm=REALM, now=0.0, lifetime=30.0) is NonceVerdict.FORGED
    assert check_nonce(nonce, KEY, realm="other", now=0.0, lifetime=30.0) is NonceVerdict.FORGED
