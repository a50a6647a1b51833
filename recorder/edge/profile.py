"""Peer profiles: how one kind of recording client is treated, as data, and which client is of which kind. Pure.

RFC 7866 section 6.1.1 leaves much to local policy, and clients differ (their quirks are in the shipped profiles'
comments). No other module may ask which vendor a client is of. Does not read files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import translate
from typing import Final, Literal

import msgspec

from recorder.edge.networks import Network, contains
from signaling.sdp.offer_answer import AnswerPolicy
from signaling.sip import Request

DEFAULT: Final = "default"
"""Name of the profile of clients that no other profile fits."""

SOURCES: Final = ("request-uri", "metadata", "session-id", "call-id")
"""Where identifiers come from: `record=` of the Request-URI, the metadata's own identifier of the recording session,
the Session-ID header field (RFC 7989), the Call-ID."""
NAMED_SOURCES: Final = ("request-uri", "from", "header")
"""Further ones, which name something: `request-uri:NAME` is a parameter of the Request-URI, `from:NAME` one of the From
header field or its URI, `header:NAME` a header field's value."""


class Source(msgspec.Struct, frozen=True):
    """One place to take an identifier from."""

    kind: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Source:
        """Read `KIND` or `KIND:NAME`.

        Raises:
            ValueError: it is neither.

        """
        kind, colon, name = text.partition(":")
        if (kind in NAMED_SOURCES and name) if colon else kind in SOURCES:
            return cls(kind, name)
        known = ", ".join([*SOURCES, *(f"{named}:NAME" for named in NAMED_SOURCES)])
        raise ValueError(f"{text!r} is no source of identifiers; known: {known}")


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Marks of a kind of client. Of each sort that is given one entry must fit; without any, nothing fits."""

    networks: tuple[Network, ...] = ()
    """The source address lies in one of these."""
    user_agents: tuple[re.Pattern[str], ...] = ()
    headers: tuple[tuple[str, re.Pattern[str]], ...] = ()
    """A header field of this name is there, and its value fits."""
    request_uris: tuple[re.Pattern[str], ...] = ()

    def fits(self, request: Request, source: str) -> bool:
        """Whether a request from the address `source` bears the marks."""
        if not (self.networks or self.user_agents or self.headers or self.request_uris):
            return False
        if self.networks and not contains(self.networks, source):
            return False
        if self.user_agents and not _any_fits(self.user_agents, request.headers.get("User-Agent") or ""):
            return False
        if self.request_uris and not _any_fits(self.request_uris, request.uri.text):
            return False
        return not self.headers or any(
            wanted.match(value) for name, wanted in self.headers for value in request.headers.get_all(name)
        )


class PeerProfile(msgspec.Struct, frozen=True, kw_only=True):
    """How a kind of client is treated."""

    name: str
    description: str = ""
    match: Match = Match()
    answer: AnswerPolicy = AnswerPolicy()
    """Which codecs and transports are accepted, and how."""
    parties: tuple[int, ...] = ()
    """Party of m-line 1, 2, ...; party 0 is the left channel and `dn`. m-lines beyond keep their position."""
    answer_delay_ms: float | None = None
    """Shortest time between an INVITE and its 200; None: `sip.answer_delay_ms`."""
    metadata_type: str = "mirror"
    """Content type of metadata requests of ours; `mirror`: what the client sent."""
    strict: bool = False
    """Refuse a SIPREC INVITE that breaks a rule, instead of recording it with a warning. For conformance runs."""
    record_identifier: tuple[Source, ...] = (Source("request-uri"), Source("metadata"), Source("call-id"))
    """The first source that yields something names the recording."""
    call_uuid: tuple[Source, ...] = ()
    """Names the call across recorders; empty: what the door finds."""
    call_headers: tuple[re.Pattern[str], ...] = ()
    """Header fields of the INVITE with such names are kept with the call data."""
    own_offers: Literal["reinvite", "update", "none", "unknown"] = "unknown"
    """How the client takes an offer of ours with a new media address, if that is known."""
    digest_user: str = ""
    """User of `sip.digest_logins` that answers this client's challenges; empty: the first of its realm."""
    snapshot_requests: bool = True
    """Ask by UPDATE for a snapshot of the metadata when a part is missing, if its Allow lists UPDATE."""
    mask_events: bool = False
    """Keyed digits (RFC 4733) are recorded neither as events nor as the tones of their time."""
    plain_invites: bool = True
    """Record an INVITE that is neither MSR nor SIPREC; else it gets 403."""

    def party_of(self, index: int) -> int:
        """Return the party of the m-line at this position, both from 0."""
        return self.parties[index] if index < len(self.parties) else index

    def call_data_in(self, headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """Return the header fields that are call data, as received and in order."""
        if not self.call_headers:
            return ()
        return tuple((name, value) for name, value in headers if _any_fits(self.call_headers, name))


ANY_CLIENT: Final = PeerProfile(name=DEFAULT)
"""What the shipped default profile says as well."""


class ProfileTable:
    """The profiles in use.

    Args:
        profiles: in the order in which they are tried. One named `default` is added if there is none.

    """

    def __init__(self, profiles: Iterable[PeerProfile] = ()) -> None:
        self._profiles = {profile.name: profile for profile in profiles}
        self._profiles.setdefault(DEFAULT, ANY_CLIENT)

    def __iter__(self) -> Iterator[PeerProfile]:
        return iter(self._profiles.values())

    def choose(self, request: Request, source: str) -> PeerProfile:
        """Return the first profile that fits an INVITE from the address `source`."""
        return next((one for one in self if one.match.fits(request, source)), self._profiles[DEFAULT])

    def named(self, name: str) -> PeerProfile:
        """Return the profile called `name`; the default one if it is gone since the session began."""
        return self._profiles.get(name) or self._profiles[DEFAULT]


def pattern(glob: str) -> re.Pattern[str]:
    """Return a pattern for text with `*` and `?`, without regard to case.

    Raises:
        ValueError: it fits everything, or holds the bracket of a character set.

    """
    if not glob.strip("*"):
        raise ValueError(f"{glob!r} fits every client; remove it")
    return re.compile(translate(glob.replace("[", "[[]")), re.IGNORECASE)


def _any_fits(patterns: Iterable[re.Pattern[str]], text: str) -> bool:
    return bool(text) and any(one.match(text) for one in patterns)  # no pattern fits an empty text
