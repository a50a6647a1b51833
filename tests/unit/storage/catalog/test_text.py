"""Text from the network, in a form that PostgreSQL can hold."""

from storage.catalog.text import KEY_LIMIT, key, optional_key, storable, storable_json


def test_ordinary_text_is_unchanged() -> None:
    assert storable("CALL0001 [Environment].record Grüße 电话") == "CALL0001 [Environment].record Grüße 电话"


def test_nul_becomes_an_escape() -> None:
    assert storable("a\0b") == "a\N{REPLACEMENT CHARACTER}0000b"


def test_an_undecodable_byte_becomes_an_escape() -> None:
    assert storable(b"\xff".decode("utf-8", "surrogateescape")) == "\N{REPLACEMENT CHARACTER}DCFF"


def test_the_escape_character_is_escaped_itself() -> None:
    assert storable("\N{REPLACEMENT CHARACTER}") == "\N{REPLACEMENT CHARACTER}FFFD"


def test_a_key_up_to_the_limit_is_unchanged() -> None:
    assert key("x" * KEY_LIMIT) == "x" * KEY_LIMIT


def test_a_longer_key_keeps_its_beginning_and_stays_distinct() -> None:
    first, second = key("x" * 5000 + "1"), key("x" * 5000 + "2")
    assert first.startswith("x" * 400)
    assert len(first) == KEY_LIMIT
    assert first != second


def test_an_absent_value_stays_absent() -> None:
    assert optional_key(None) is None


def test_text_inside_structures_is_escaped_and_other_values_pass() -> None:
    value = {"a\0": ["\udc80", 1, None, {"b": ("x\0",)}], "c": 1.5}
    assert storable_json(value) == {
        "a\N{REPLACEMENT CHARACTER}0000": [
            "\N{REPLACEMENT CHARACTER}DC80",
            1,
            None,
            {"b": ["x\N{REPLACEMENT CHARACTER}0000"]},
        ],
        "c": 1.5,
    }
