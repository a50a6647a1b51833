"""Challenges to requests of the recorder, RFC 3261 §22.2 and §22.3, RFC 7616, RFC 8760.

Remembers what the servers of a dialog ask for, and signs its requests. Does not send, and does not know where
credentials come from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from signaling.errors import SipSyntaxError
from signaling.sip import Response
from signaling.sip.digest import Algorithm, Challenge, sign

if TYPE_CHECKING:
    from signaling.useragent.core import Core, DialogEntry
    from signaling.useragent.exchange import ClientExchange

MAX_ROUNDS: Final = 4
"""Challenges to one request: a proxy, the client, and a stale nonce of each."""
_FIELDS: Final = {
    401: ("WWW-Authenticate", "Authorization"),
    407: ("Proxy-Authenticate", "Proxy-Authorization"),
}


class Login(NamedTuple):
    """What a server knows the recorder by."""

    username: str
    hashed_password: str
    """H(A1) of RFC 7616 §3.4.2, for one realm and one algorithm."""


Logins: TypeAlias = Callable[[str, str, Algorithm], Login | None]
"""Returns the login of a dialog for a realm and an algorithm; None if there is none."""


class Protection(NamedTuple):
    """Who asks: the header field that answers, and the realm."""

    answered_by: str
    realm: str


class Proof:
    """A challenge and how it is answered."""

    __slots__ = ("challenge", "count", "login")

    def __init__(self, challenge: Challenge, login: Login) -> None:
        self.challenge = challenge
        self.login = login
        self.count = 0
        """Requests that were sent with this nonce."""


def take_challenges(core: Core, entry: DialogEntry, exchange: ClientExchange, response: Response) -> bool:
    """Learn what a 401 or 407 asks for; False if sending the request again would not help.

    RFC 8760 §2.4: of the challenges of one realm the topmost that we can answer counts. One that was answered for
    this request already says that the password is wrong, unless it is stale (RFC 7616 §3.3).
    """
    if response.status not in _FIELDS or len(exchange.proved) >= MAX_ROUNDS:
        return False
    asked_by, answered_by = _FIELDS[response.status]
    taken: set[Protection] = set()
    for value in response.headers.get_all(asked_by):
        try:
            challenge = Challenge.parse(value, asked_by)
        except SipSyntaxError:
            continue
        if challenge is None:
            continue
        protection = Protection(answered_by, challenge.realm)
        login = core.logins(entry.identifier, challenge.realm, challenge.algorithm)
        if login is None or protection in taken:
            continue
        if protection in exchange.proved and not challenge.stale:
            return False
        entry.proofs[protection] = Proof(challenge, login)
        taken.add(protection)
    exchange.proved += tuple(taken)
    return bool(taken)


def credentials(core: Core, entry: DialogEntry, method: str, uri: str) -> tuple[tuple[str, str], ...]:
    """Return the header fields that prove who sends the next request; `spend` once it is on its way.

    RFC 3261 §22.3: once a proxy has asked, requests of the same dialog bring their credentials unasked.
    """
    return tuple(
        (
            protection.answered_by,
            str(
                sign(
                    proof.challenge,
                    username=proof.login.username,
                    hashed_password=proof.login.hashed_password,
                    method=method,
                    uri=uri,
                    cnonce=core.token(),
                    count=proof.count + 1,
                )
            ),
        )
        for protection, proof in entry.proofs.items()
    )


def spend(entry: DialogEntry) -> None:
    """Count a use of every nonce (RFC 7616 §3.4: "the nc value" rises with each request)."""
    for proof in entry.proofs.values():
        proof.count += 1
