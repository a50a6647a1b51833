"""Digest authentication of requests outside of dialogs: RFC 3261 section 22, RFC 7616, RFC 8760.

A nonce proves its own age, so that a challenge costs no memory; only nonces that were used with the right password are
remembered, to refuse a second use of the same count (RFC 7616 section 3.3). The Request-URI is not compared with the
one that was signed: RFC 3261 section 22.4 has proxies change it on the way. Knows nothing of sockets and sessions.
"""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from recorder.edge.users import Users, algorithms_of
from signaling.errors import SipSyntaxError
from signaling.sip import Request
from signaling.sip.digest import Challenge, Credentials, NonceVerdict, check_nonce, make_nonce, verify

NONCE_LIFETIME_S: Final = 300.0
"""Seconds for which a client may use a nonce again, with a rising count, instead of asking for another one."""
MAX_NONCES: Final = 5000
"""Nonces in use whose counts are remembered; those of an older time are answered stale."""
COUNT_WINDOW: Final = 32
"""Counts of one nonce that may arrive out of order, as UDP lets them."""

_NOBODY: Final = "0" * 64
"""Compared with when there is no such user, so that an answer takes as long."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request comes from a user that we know."""

    user: str


@dataclass(frozen=True, slots=True)
class Challenged:
    """Answer 401 with these WWW-Authenticate values."""

    challenges: tuple[str, ...]
    reason: str
    """Constant text, for logs."""


class Authenticator:
    """Checks the credentials of requests.

    Args:
        users: from `parse_users`; at least one.
        realm: shown to clients; part of what is hashed.
        key: secret of at least 32 bytes; frontends that share it take each other's nonces.

    """

    def __init__(self, users: Users, *, realm: str, key: bytes) -> None:
        self._realm = realm
        self._key = key
        self._used: OrderedDict[str, dict[int, bytes]] = OrderedDict()
        """Nonce to count to the request that used it."""
        self._forgotten_until = -1
        """Milliseconds of the latest nonce that was dropped from `_used`."""

        self.use(users)

    def __len__(self) -> int:
        """Return how many nonces are remembered."""
        return len(self._used)

    def use(self, users: Users) -> None:
        """Take other users; nonces in use stay used."""
        self._users = users
        self._algorithms = algorithms_of(users)

    def judge(self, request: Request, now: float) -> Accepted | Challenged:
        """Say whether a request comes from a user.

        Args:
            request: outside of a dialog.
            now: seconds of a clock that all who share the key share.

        """
        credentials = self._credentials(request)
        if credentials is None:
            return self._challenge(now, "no credentials")
        known = self._users.get((credentials.username, credentials.algorithm))
        right = verify(credentials, hashed_password=known or _NOBODY, method=request.method)
        if known is None or not right:
            return self._challenge(now, "unknown user or wrong password")
        fresh = check_nonce(credentials.nonce, self._key, realm=self._realm, now=now, lifetime=NONCE_LIFETIME_S)
        if fresh is not NonceVerdict.FRESH or not self._first_use(credentials, _fingerprint(request)):
            # The password is right, so the client can answer another challenge without asking anybody.
            return self._challenge(now, "nonce is not fresh", stale=True)
        return Accepted(credentials.username)

    def _credentials(self, request: Request) -> Credentials | None:
        """Return the first credentials for our realm that can be read."""
        for value in request.headers.get_all("Authorization"):
            try:
                credentials = Credentials.parse(value)
            except SipSyntaxError:
                continue
            if credentials is not None and credentials.realm == self._realm:
                return credentials
        return None

    def _challenge(self, now: float, reason: str, *, stale: bool = False) -> Challenged:
        nonce = make_nonce(self._key, realm=self._realm, now=now)
        # RFC 8760 section 2.4: the topmost that a client supports is the one it answers.
        values = tuple(str(Challenge(self._realm, nonce, algorithm, stale=stale)) for algorithm in self._algorithms)
        return Challenged(values, reason)

    def _first_use(self, credentials: Credentials, fingerprint: bytes) -> bool:
        """Whether nonce and count were not used before, or by the same request, which is then a retransmission."""
        count = _count(credentials)
        counts = self._used.get(credentials.nonce)
        if counts is None:
            if count < 1 or _milliseconds(credentials.nonce) <= self._forgotten_until:
                return False
            self._used[credentials.nonce] = {count: fingerprint}
            if len(self._used) > MAX_NONCES:
                dropped, _ = self._used.popitem(last=False)
                self._forgotten_until = max(self._forgotten_until, _milliseconds(dropped))
            return True
        if count in counts:
            return counts[count] == fingerprint
        if count <= max(counts) - COUNT_WINDOW or count < 1:
            return False
        counts[count] = fingerprint
        if len(counts) > COUNT_WINDOW:
            del counts[min(counts)]
        return True


def _count(credentials: Credentials) -> int:
    """Return the nonce count; without one (RFC 2069) a nonce is good for one request."""
    try:
        return int(credentials.nc, 16) if credentials.nc is not None else 1
    except ValueError:
        return 0


def _milliseconds(nonce: str) -> int:
    """Return when one of our nonces was made."""
    return int.from_bytes(base64.urlsafe_b64decode(nonce)[:8], "big")


def _fingerprint(request: Request) -> bytes:
    text = f"{request.via.branch}\n{request.via.sent_by}\n{request.call_id}\n{request.cseq}"
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
