"""The users who may authenticate by digest, from a file of hashes (RFC 7616 section 3.4.2: H(A1), never the password).

One user per line: `user:realm:ALGORITHM:hash`, or `user:realm:hash` for MD5 as the tool `htdigest` writes it. A user
may have a line for each algorithm. `recorder hash-password` prints such lines.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from recorder.errors import ConfigError
from signaling.sip.digest import Algorithm, hash_password

KEY: Final = "access.digest_users"
_DIGITS: Final = {Algorithm.MD5: 32, Algorithm.SHA_256: 64, Algorithm.SHA_512_256: 64}
_OTHERS_MAY_READ: Final = 0o004
_MAX_FILE: Final = 1 << 20
"""Bytes; ten thousand users."""

Users = dict[tuple[str, Algorithm], str]
"""User name and algorithm to H(A1)."""


def read_users(path: str, *, setting: str = KEY) -> str:
    """Return the text of a users file.

    Raises:
        ConfigError: it cannot be read, or everybody can read it; names `setting`.

    """
    try:
        with Path(path).open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS_MAY_READ:
                raise ConfigError([f"{setting} = {path!r}: every user can read it; chmod o-rwx"])
            return file.read(_MAX_FILE).decode("utf-8")
    except OSError as error:
        raise ConfigError([f"{setting} = {path!r}: {error.strerror}; give a file that this user can read"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{setting} = {path!r}: not UTF-8: {error}"]) from None


class UserLine(NamedTuple):
    """One line of a users file."""

    user: str
    realm: str
    algorithm: Algorithm
    hashed_password: str
    """H(A1) in lower-case hexadecimal digits."""


def parse_users(text: str, *, realm: str, path: str = "") -> Users:
    """Make users of a file's text; other realms are passed over.

    Raises:
        ConfigError: names every faulty line.

    """
    lines = parse_lines(text, path=path)
    users = {(line.user, line.algorithm): line.hashed_password for line in lines if line.realm == realm}
    if not users:
        raise ConfigError(
            [f"{KEY}: {path}: no user of access.digest_realm = {realm!r}; add one with `recorder hash-password`"]
        )
    return users


def parse_lines(text: str, *, path: str = "", setting: str = KEY) -> list[UserLine]:
    """Read the lines of a users file.

    Raises:
        ConfigError: names every faulty line, and `setting`.

    """
    found: list[UserLine] = []
    faults = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.strip().split(":")
        if len(fields) == 3:
            fields.insert(2, Algorithm.MD5.value)
        algorithm = _algorithm(fields[2]) if len(fields) == 4 else None
        if algorithm is None or not fields[0]:
            faults.append(f"{setting}: {path} line {number}: write user:realm:ALGORITHM:hash; algorithms: {_known()}")
        elif len(fields[3]) != _DIGITS[algorithm] or not _is_hexadecimal(fields[3]):
            faults.append(
                f"{setting}: {path} line {number}: a hash of {algorithm.value} has {_DIGITS[algorithm]} hexadecimal"
                " digits; make it with `recorder hash-password`"
            )
        else:
            found.append(UserLine(fields[0], fields[1], algorithm, fields[3].lower()))
    if faults:
        raise ConfigError(faults)
    return found


def algorithms_of(users: Iterable[tuple[str, Algorithm]]) -> tuple[Algorithm, ...]:
    """Return the algorithms that users have hashes for, strongest first (RFC 8760 section 2.4)."""
    present = {algorithm for _, algorithm in users}
    return tuple(one for one in (Algorithm.SHA_512_256, Algorithm.SHA_256, Algorithm.MD5) if one in present)


def lines_of(user: str, *, realm: str, password: str) -> list[str]:
    """Return the lines of a users file for one user, one for each algorithm, strongest first."""
    return [
        f"{user}:{realm}:{one.value}:{hash_password(user, realm, password, one)}"
        for one in algorithms_of((user, algorithm) for algorithm in Algorithm)
    ]


def _algorithm(name: str) -> Algorithm | None:
    return next((one for one in Algorithm if one.value == name.upper()), None)


def _known() -> str:
    return ", ".join(one.value for one in Algorithm)


def _is_hexadecimal(text: str) -> bool:
    return all(character in "0123456789abcdefABCDEF" for character in text)
