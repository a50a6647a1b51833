"""Tokens, quoted strings, lists and parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.errors import LocalProtocolError, SipSyntaxError
from signaling.sip.syntax import Params, end_of_quoted, is_token, quote, split_list, split_params, unquote


@pytest.mark.parametrize(("text", "expected"), [("INVITE", True), ("a!%*_+`'~.-", True), ("", False), ("a b", False)])
def test_tokens(text: str, expected: bool) -> None:
    assert is_token(text) is expected


@given(st.text())
def test_quoting_is_undone(text: str) -> None:
    quoted = quote(text)
    assert end_of_quoted(quoted, 0, "X") == len(quoted)
    assert unquote(quoted) == text


def test_a_quoted_string_ends_at_the_first_quote_that_is_not_escaped() -> None:
    assert end_of_quoted(r'"a\"b\\" "c"', 0, "X") == 8


@pytest.mark.parametrize("text", ['"', '"abc', r'"abc\"', '"abc\\'])
def test_an_unclosed_quoted_string_is_an_error_at_its_start(text: str) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        end_of_quoted("  " + text, 2, "From")
    assert (caught.value.header, caught.value.offset, caught.value.status) == ("From", 2, 400)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [""]),
        (" a ", ["a"]),
        ("a, b ,c", ["a", "b", "c"]),
        ("a,,b", ["a", "", "b"]),
        ('"a,b" <sip:x>, <sip:y>', ['"a,b" <sip:x>', "<sip:y>"]),
        ("<sip:a,b@c>;x=1, <sip:d>", ["<sip:a,b@c>;x=1", "<sip:d>"]),
        (r'"a\",b", c', [r'"a\",b"', "c"]),
        ('<sip:a>;x="<,>", b', ['<sip:a>;x="<,>"', "b"]),
        ("<<sip:a>;+sip.src>, <sip:b>", ["<<sip:a>;+sip.src>", "<sip:b>"]),
        ('<a"b>, c', ['<a"b>', "c"]),
        ("a>b, <c>", ["a>b", "<c>"]),
    ],
)
def test_lists(text: str, expected: list[str]) -> None:
    assert split_list(text, "X") == expected


def test_two_addresses_in_one_field_stay_two() -> None:
    """A greedy quoted-string pattern in another library made one of them."""
    assert len(split_list('"A" <sip:a@h>, "B" <sip:b@h>', "Contact")) == 2


@pytest.mark.parametrize("text", ["<sip:a, b", '"a, b'])
def test_a_list_with_something_left_open_is_an_error(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        split_list(text, "Contact")


def test_semicolons_inside_quotes_do_not_separate() -> None:
    assert split_params(';a="x;y" ; b', "X") == ["", 'a="x;y"', "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (";a", [("a", None)]),
        (";a=", [("a", "")]),
        (";a=1;b", [("a", "1"), ("b", None)]),
        (" ; a = 1 ; b", [("a", "1"), ("b", None)]),
        (";a=1;", [("a", "1")]),
        (';a="x y"', [("a", '"x y"')]),
        (';a = "x=;y"', [("a", '"x=;y"')]),
        (";t=[Environment].record;d=2|1", [("t", "[Environment].record"), ("d", "2|1")]),
        (";a==b", [("a", "=b")]),
    ],
)
def test_parameters(text: str, expected: list[tuple[str, str | None]]) -> None:
    assert list(Params.parse(text, "X")) == expected


@pytest.mark.parametrize(
    "text", [";;", ";a;;b", "a", "a;b", ";=1", ";a b", ";a=b c", ';a="x"y', ';a="x', '; a="x"y z', " ;a b=c"]
)
def test_malformed_parameters(text: str) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        Params.parse(text, "To", 10)
    assert caught.value.header == "To"


def test_offsets_of_parameter_errors_count_from_the_start_of_the_field() -> None:
    with pytest.raises(SipSyntaxError) as caught:
        Params.parse(";ok;a b", "To", 10)
    assert caught.value.offset == 14


def test_parameters_are_found_whatever_their_case() -> None:
    params = Params.parse(";Tag=1;LR", "X")
    assert (params.get("tag"), params.get("lr"), params.get("no")) == ("1", "", None)
    assert ("TAG" in params, "no" in params, len(params)) == (True, False, 2)


def test_the_first_of_two_equal_parameters_counts() -> None:
    assert Params.parse(";a=1;A=2", "X").get("a") == "1"


def test_values_are_unquoted_for_readers_and_kept_for_writers() -> None:
    params = Params.parse(r';a="x\"y"', "X")
    assert (params.get("a"), str(params)) == ('x"y', r';a="x\"y"')


def test_a_parameter_is_replaced_in_its_place() -> None:
    assert str(Params.parse(";a=1;b;A=2", "X").having("A", "3")) == ";A=3;b"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ";x"), ("1", ";x=1"), ("", ';x=""'), ("a b", ';x="a b"'), ("2001:db8::1", ";x=2001:db8::1")],
)
def test_a_new_parameter_is_quoted_if_it_must_be(value: str | None, shown: str) -> None:
    assert str(Params().having("x", value)) == shown


def test_a_parameter_name_must_be_a_token() -> None:
    with pytest.raises(LocalProtocolError):
        Params().having("a b", "1")


def test_a_parameter_is_removed() -> None:
    assert str(Params.parse(";a;b=1;B=2", "X").without("b")) == ";a"


def test_parameters_are_values() -> None:
    one, two = Params.parse(";a=1", "X"), Params([("a", "1")])
    assert one == two
    assert hash(one) == hash(two)
    assert one != Params.parse(";a=2", "X")
    assert repr(one) == "Params(';a=1')"


names = st.text(st.sampled_from("abcXYZ019-.!%*_+`'~"), min_size=1, max_size=8)


@given(st.lists(st.tuples(names, st.none() | names | st.text(max_size=8).map(quote)), max_size=6))
def test_parameters_survive_a_round_trip(items: list[tuple[str, str | None]]) -> None:
    params = Params(items)
    assert Params.parse(str(params), "X") == params
