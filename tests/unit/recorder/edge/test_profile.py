"""Which profile fits a request, and what a profile says."""

from __future__ import annotations

import pytest

from recorder.edge.networks import network
from recorder.edge.profile import ANY_CLIENT, Match, PeerProfile, ProfileTable, Source, pattern
from signaling.sip import Request, parse_message


def invite(headers: str = "", uri: str = "sip:srs@192.0.2.40") -> Request:
    text = (
        f"INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.30;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
        f"To: <sip:c@d>\r\nCall-ID: x@y\r\nCSeq: 1 INVITE\r\n{headers}\r\n"
    )
    parsed = parse_message(text.encode())
    assert isinstance(parsed, Request)
    return parsed


@pytest.mark.parametrize(
    ("match", "request_", "source", "fits"),
    [
        (Match(networks=(network("192.0.2.0/24"),)), invite(), "192.0.2.30", True),
        (Match(networks=(network("192.0.2.0/24"),)), invite(), "198.51.100.1", False),
        (Match(networks=(network("192.0.2.0/24"),)), invite(), "::ffff:192.0.2.30", True),
        (Match(networks=(network("2001:db8::/32"),)), invite(), "2001:db8::7", True),
        (Match(user_agents=(pattern("OpenSIPS (3.5*"),)), invite("User-Agent: OpenSIPS (3.5.1 (x86))\r\n"), "", True),
        (Match(user_agents=(pattern("opensips*"),)), invite("User-Agent: OpenSIPS (3.5.1 (x86))\r\n"), "", True),
        (Match(user_agents=(pattern("OpenSIPS (3.5*"),)), invite("User-Agent: OpenSIPS (3.4.9)\r\n"), "", False),
        (Match(user_agents=(pattern("OpenSIPS*"),)), invite(), "", False),
        (Match(user_agents=(pattern("Gate[way]*"),)), invite("User-Agent: Gate[way] 7\r\n"), "", True),
        (Match(headers=(("X-Mark", pattern("yes?")),)), invite("X-Mark: no\r\nx-mark: yes!\r\n"), "", True),
        (Match(headers=(("X-Mark", pattern("yes?")),)), invite("X-Mark: no\r\n"), "", False),
        (Match(request_uris=(pattern("sip:record=*"),)), invite(uri="sip:record=abc@192.0.2.40"), "", True),
        (Match(request_uris=(pattern("sip:record=*"),)), invite(), "", False),
        (Match(), invite(), "192.0.2.30", False),
    ],
)
def test_marks_of_every_sort(match: Match, request_: Request, source: str, fits: bool) -> None:
    assert match.fits(request_, source) is fits


def test_every_sort_that_is_given_must_fit() -> None:
    match = Match(networks=(network("192.0.2.0/24"),), user_agents=(pattern("A*"), pattern("B*")))
    assert match.fits(invite("User-Agent: B2BUA\r\n"), "192.0.2.1")
    assert not match.fits(invite("User-Agent: B2BUA\r\n"), "198.51.100.1")
    assert not match.fits(invite("User-Agent: C\r\n"), "192.0.2.1")


def test_the_first_profile_that_fits_is_chosen() -> None:
    marks = Match(user_agents=(pattern("A*"),))
    table = ProfileTable([PeerProfile(name="one", match=marks), PeerProfile(name="two", match=marks)])
    assert table.choose(invite("User-Agent: A\r\n"), "192.0.2.1").name == "one"
    assert table.choose(invite(), "192.0.2.1") is ANY_CLIENT


def test_a_profile_that_is_gone_leaves_the_default_one() -> None:
    table = ProfileTable([PeerProfile(name="default", strict=True), PeerProfile(name="sbc")])
    assert table.named("sbc").name == "sbc"
    assert table.named("removed").strict


def test_parties_beyond_those_named_keep_their_position() -> None:
    turned = PeerProfile(name="turned", parties=(1, 0))
    assert [turned.party_of(index) for index in range(4)] == [1, 0, 2, 3]
    assert [ANY_CLIENT.party_of(index) for index in range(2)] == [0, 1]


@pytest.mark.parametrize("text", ["request-uri", "metadata", "session-id", "call-id"])
def test_sources_without_a_name(text: str) -> None:
    assert Source.parse(text) == Source(text)


@pytest.mark.parametrize("text", ["from:x-refci", "header:X-Call", "request-uri:calluuid"])
def test_sources_with_a_name(text: str) -> None:
    assert Source.parse(text) == Source(*text.split(":"))


@pytest.mark.parametrize("text", ["", "from", "from:", "header:", "metadata:x", "cookie"])
def test_other_sources_are_refused_with_those_known(text: str) -> None:
    with pytest.raises(ValueError, match=r"no source of identifiers; known: request-uri, .*header:NAME"):
        Source.parse(text)


def test_a_pattern_that_fits_everything_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fits every client"):
        pattern("**")
