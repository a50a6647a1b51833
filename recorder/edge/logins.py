"""What the recorder proves its own requests with: SBCs and proxies may challenge those inside a dialog (RFC 3261 §22).

From a file like that of `recorder.edge.users`, the realm of each line being the challenger's. Holds hashes only.
"""

from __future__ import annotations

from typing import Final

from recorder.edge.users import UserLine, parse_lines
from signaling.sip.digest import Algorithm
from signaling.useragent import Login

KEY: Final = "sip.digest_logins"


class LoginTable:
    """Logins by realm and algorithm.

    Args:
        lines: in the order of the file.

    """

    def __init__(self, lines: list[UserLine]) -> None:
        self._lines: dict[tuple[str, Algorithm], list[Login]] = {}
        for line in lines:
            same = self._lines.setdefault((line.realm, line.algorithm), [])
            same.append(Login(line.user, line.hashed_password))

    def find(self, realm: str, algorithm: Algorithm, *, user: str = "") -> Login | None:
        """Return the login of a user, or without one the first that the realm has; None if there is none."""
        logins = self._lines.get((realm, algorithm), [])
        return next((login for login in logins if not user or login.username == user), None)


def parse_logins(text: str, *, path: str = "") -> LoginTable:
    """Make logins of a file's text.

    Raises:
        ConfigError: names every faulty line.

    """
    return LoginTable(parse_lines(text, path=path, setting=KEY))
