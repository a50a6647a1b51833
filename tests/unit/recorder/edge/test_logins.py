"""Logins for challenges to our own requests, as a file brings them."""

from __future__ import annotations

import pytest

from recorder.edge.logins import parse_logins
from recorder.edge.users import lines_of
from recorder.errors import ConfigError
from signaling.sip.digest import Algorithm, hash_password
from signaling.useragent import Login

TEXT = "\n".join(
    [
        *lines_of("first", realm="sbc", password="one"),
        *lines_of("second", realm="sbc", password="two"),
        *lines_of("third", realm="proxy", password="three"),
    ]
)


def expected(user: str, realm: str, password: str) -> Login:
    return Login(user, hash_password(user, realm, password, Algorithm.SHA_256))


def test_the_first_user_of_a_realm_answers_unless_one_is_named() -> None:
    logins = parse_logins(TEXT)
    assert logins.find("sbc", Algorithm.SHA_256) == expected("first", "sbc", "one")
    assert logins.find("sbc", Algorithm.SHA_256, user="second") == expected("second", "sbc", "two")
    assert logins.find("proxy", Algorithm.SHA_256) == expected("third", "proxy", "three")


def test_who_is_not_known_gets_nothing() -> None:
    logins = parse_logins(TEXT)
    assert logins.find("elsewhere", Algorithm.MD5) is None
    assert logins.find("sbc", Algorithm.MD5, user="third") is None
    assert parse_logins("").find("sbc", Algorithm.MD5) is None


def test_a_fault_names_key_file_and_line() -> None:
    with pytest.raises(ConfigError, match=r"sip.digest_logins: logins line 1: write user:realm"):
        parse_logins("sbc\n", path="logins")
