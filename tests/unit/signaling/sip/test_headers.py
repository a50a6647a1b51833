"""The list of header fields."""

from __future__ import annotations

import pytest

from signaling.sip.headers import Headers, key_of, spelling_of

HEADERS = Headers([("Via", "a, b"), ("f", "<sip:x>"), ("VIA", "c"), ("X-Own", "1"), ("Supported", "")])


@pytest.mark.parametrize("name", ["From", "from", "FROM", "fRoM", "f", "F"])
def test_any_case_and_the_compact_form_are_one_name(name: str) -> None:
    assert HEADERS.get(name) == "<sip:x>"
    assert name in HEADERS


def test_all_values_in_order() -> None:
    assert HEADERS.get_all("v") == ("a, b", "c")
    assert HEADERS.get_list("Via") == ["a", "b", "c"]


def test_what_is_not_there() -> None:
    assert (HEADERS.get("To"), HEADERS.get_all("To"), HEADERS.get_list("To")) == (None, (), [])
    assert "To" not in HEADERS
    assert 5 not in HEADERS


def test_an_empty_field_is_there_and_lists_nothing() -> None:
    assert (HEADERS.get("Supported"), HEADERS.get_list("k")) == ("", [])


def test_names_stay_as_written() -> None:
    assert [name for name, _ in HEADERS] == ["Via", "f", "VIA", "X-Own", "Supported"]
    assert len(HEADERS) == 5


def test_changes_make_copies() -> None:
    before = list(HEADERS)
    assert list(HEADERS.appending("A", "1"))[-1] == ("A", "1")
    assert next(iter(HEADERS.prepending("A", "1"))) == ("A", "1")
    assert list(HEADERS.without("via")) == [before[1], *before[3:]]
    assert list(HEADERS) == before


def test_replacing_keeps_the_place_and_drops_the_others() -> None:
    assert list(HEADERS.replacing("via", "z"))[:2] == [("Via", "z"), ("f", "<sip:x>")]
    assert HEADERS.replacing("v", "z").get_all("Via") == ("z",)
    assert HEADERS.replacing("To", "t").get("To") == "t"


def test_replacing_the_first_keeps_the_others() -> None:
    assert HEADERS.replacing_first("v", "z").get_all("Via") == ("z", "c")
    assert HEADERS.replacing_first("To", "z") == HEADERS


def test_equality_ignores_spelling_but_not_order_or_text() -> None:
    same = Headers([("v", "a, b"), ("From", "<sip:x>"), ("Via", "c"), ("x-own", "1"), ("k", "")])
    assert same == HEADERS
    assert hash(same) == hash(HEADERS)
    assert Headers(reversed(list(HEADERS))) != HEADERS
    assert Headers([("A", "1")]) != Headers([("A", "2")])
    assert Headers([("A", "1")]) != [("A", "1")]


def test_an_index_made_by_the_parser_is_taken_over() -> None:
    headers = Headers.indexed([("v", "a")], {"via": ["a"]})
    assert (headers, headers.get("Via")) == (Headers([("Via", "a")]), "a")


def test_it_shows_itself() -> None:
    assert repr(Headers([("A", "1")])) == "Headers([('A', '1')])"


@pytest.mark.parametrize(
    ("name", "key", "spelling"),
    [
        ("cSEQ", "cseq", "CSeq"),
        ("l", "content-length", "Content-Length"),
        ("x-A", "x-a", "x-A"),
        ("X", "session-expires", "Session-Expires"),
    ],
)
def test_names(name: str, key: str, spelling: str) -> None:
    assert (key_of(name), spelling_of(name)) == (key, spelling)
