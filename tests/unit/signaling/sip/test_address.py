"""Addresses, well formed and as real peers send them."""

from __future__ import annotations

import pytest

from signaling.errors import SipSyntaxError
from signaling.sip import NameAddr, Uri


def parse(text: str) -> NameAddr:
    return NameAddr.parse(text, "Contact")


@pytest.mark.parametrize(
    ("text", "name", "uri", "params"),
    [
        ("<sip:a@h>", "", "sip:a@h", ""),
        ("<sip:a@h;lr>;tag=1", "", "sip:a@h;lr", ";tag=1"),
        ("Bob <sip:a@h>", "Bob", "sip:a@h", ""),
        ("Bob<sip:a@h>", "Bob", "sip:a@h", ""),
        ("Bell, Alexander <sip:a@h>", "Bell, Alexander", "sip:a@h", ""),
        ('"Bob" <sip:a@h>', "Bob", "sip:a@h", ""),
        ('"Bob"<sip:a@h> ; tag = 1', "Bob", "sip:a@h", ";tag=1"),
        (r'"B \"x\" <sip:no@h>" <sip:a@h>', 'B "x" <sip:no@h>', "sip:a@h", ""),
        ("sip:192.0.2.40:5060", "", "sip:192.0.2.40:5060", ""),
        ("sip:a@h;tag=1", "", "sip:a@h", ";tag=1"),
        ("sip:a@h ;tag=1", "", "sip:a@h", ";tag=1"),
        ("< sip:a@h >", "", "sip:a@h", ""),
        ("tel:+15550100;tag=1", "", "tel:+15550100", ";tag=1"),
    ],
)
def test_forms(text: str, name: str, uri: str, params: str) -> None:
    address = parse(text)
    assert (address.display_name, str(address.uri), str(address.params)) == (name, uri, params)


def test_doubled_brackets_of_opensips_are_read() -> None:
    address = parse("<<sip:192.0.2.20:5060>;+sip.src>;expires=60")
    assert (str(address.uri), str(address.params)) == ("sip:192.0.2.20:5060", ";+sip.src;expires=60")
    assert address.feature("+sip.src") == ""


def test_a_feature_tag_is_found_outside_and_inside_the_brackets() -> None:
    assert parse("<sip:a@h>;+sip.src").feature("+sip.src") == ""
    assert parse("<sip:a@h;+sip.src>").feature("+sip.src") == ""
    assert parse('<sip:a@h>;+sip.instance="<urn:uuid:1>"').feature("+sip.instance") == "<urn:uuid:1>"
    assert parse("<sip:a@h>").feature("+sip.src") is None


def test_tags() -> None:
    assert (parse("<sip:a@h>;TAG=x").tag, parse("<sip:a@h>").tag) == ("x", None)
    assert str(parse("<sip:a@h>;x=1").with_tag("t")) == "<sip:a@h>;x=1;tag=t"


@pytest.mark.parametrize(
    "text",
    [
        "", "Bob", "<sip:a@h",
        '"Bob <sip:a@h>', '"Bob" sip:a@h', 'B"ob <sip:a@h>', "a;b <sip:a@h>", "<sip:a@h>, <sip:b@h>",
        "<sip:a@h>x", "sip:a@h?Subject=x", "<<sip:a@h>;x", "<<sip:a@h", "<>", "<sip:a@h>;;", '"Bob"',
    ],
)  # fmt: skip
def test_malformed(text: str) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        parse(text)
    assert (caught.value.status, caught.value.header) == (400, "Contact")


@pytest.mark.parametrize(
    ("name", "shown"),
    [("", "<sip:h>"), ("Bob Q", "Bob Q <sip:h>"), ("a, b", '"a, b" <sip:h>'), ('a"b\\', r'"a\"b\\" <sip:h>')],
)
def test_what_is_written_can_be_read(name: str, shown: str) -> None:
    address = NameAddr(Uri.parse("sip:h"), name)
    assert str(address) == shown
    assert parse(shown) == address
