"""Users and their hashes, as a file brings them."""

from __future__ import annotations

from pathlib import Path

import pytest

from recorder.edge.users import algorithms_of, lines_of, parse_users, read_users
from recorder.errors import ConfigError
from signaling.sip.digest import Algorithm, hash_password

MD5 = hash_password("sbc", "tandem", "secret", Algorithm.MD5)


def test_lines_that_are_printed_are_lines_that_are_read() -> None:
    users = parse_users("\n".join(lines_of("sbc", realm="tandem", password="secret")), realm="tandem")
    assert users == {("sbc", algorithm): hash_password("sbc", "tandem", "secret", algorithm) for algorithm in Algorithm}
    assert "secret" not in "".join(lines_of("sbc", realm="tandem", password="secret"))


def test_the_form_of_htdigest_is_md5() -> None:
    assert parse_users(f"# comment\n\nsbc:tandem:{MD5.upper()}\n", realm="tandem") == {("sbc", Algorithm.MD5): MD5}


def test_other_realms_are_passed_over() -> None:
    users = parse_users(f"sbc:tandem:{MD5}\nsbc:elsewhere:{MD5}\n", realm="tandem")
    assert len(users) == 1


def test_the_strongest_algorithm_comes_first() -> None:
    present = [("a", Algorithm.MD5), ("a", Algorithm.SHA_256), ("b", Algorithm.SHA_512_256)]
    assert algorithms_of(present) == (Algorithm.SHA_512_256, Algorithm.SHA_256, Algorithm.MD5)
    assert algorithms_of(present[:1]) == (Algorithm.MD5,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sbc\n", "users line 1: write user:realm:ALGORITHM:hash; algorithms: MD5, SHA-256"),
        (f"# c\nsbc:tandem:MD4:{MD5}\n", "users line 2: write user:realm"),
        (
            "sbc:tandem:SHA-256:abc\n",
            "a hash of SHA-256 has 64 hexadecimal digits; make it with `recorder hash-password`",
        ),
        (f"sbc:tandem:{'x' * 32}\n", "a hash of MD5 has 32 hexadecimal digits"),
        (f"sbc:elsewhere:{MD5}\n", "no user of access.digest_realm = 'tandem'"),
        ("", "no user of access.digest_realm"),
    ],
)
def test_a_fault_names_line_and_remedy(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_users(text, realm="tandem", path="users")
    assert expected in str(caught.value)
    assert "access.digest_users" in str(caught.value)


def test_a_file_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("x")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="every user can read it; chmod o-rwx"):
        read_users(str(path))
    path.chmod(0o640)
    assert read_users(str(path)) == "x"


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"access\.digest_users = .*No such file"):
        read_users(str(tmp_path / "absent"))
