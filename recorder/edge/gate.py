"""In front of the user agent: who may ask for anything, how often, and with which proof. Before any expensive work.

The order is by cost. A stranger's network is dropped (by the kernel already, where it can); what belongs to a known
dialog passes; the rest is counted against its source, then against the whole, then asked for credentials. RFC 3261
section 26 names the threats, section 22 the proof. Sans-IO like the user agent behind it.
"""

from __future__ import annotations

import enum
import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from recorder.edge.authentication import Accepted, Authenticator
from recorder.edge.glance import MAX_KEEP_ALIVE, glance
from recorder.edge.networks import Network, contains
from recorder.edge.rate import RateLimit, Verdict
from signaling.dialog.flow import DEFAULT_PORTS, Flow
from signaling.errors import SipSyntaxError
from signaling.sip import Request, build_response, parse_message
from signaling.useragent import Identity, Logins, Outgoing, UserAgent

MAX_REMEMBERED: Final = 20_000
"""Dialogs whose late messages still pass after their end; as many as one frontend has at most."""
MAX_TALLIED: Final = 1000
"""Sources and reasons that are counted one by one between two reports."""
_AFTERWARDS_S: Final = 32.0
"""64*T1: a BYE may be repeated for so long (RFC 3261 section 17.1.2.2)."""
_OTHERS: Final = "others"
_TAG_PREFIX: Final = "edge."
"""Begins the To-tag of answers given here; the ACK of such an answer goes no further."""


class Reason(enum.StrEnum):
    """Why a message went no further."""

    NETWORK = "network is not in the allow list"
    RATE = "too many requests of this source"
    TOTAL_RATE = "too many requests in all"
    CREDENTIALS = "credentials are missing or wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """What the settings say."""

    allow: tuple[Network, ...]
    """Sources that may send by UDP and TCP."""
    allow_tls: tuple[Network, ...]
    requests_per_s: float
    """Of one source, outside of known dialogs; 0 is no limit."""
    burst: int
    total_requests_per_s: float
    """Of all sources together."""
    methods: frozenset[str] = frozenset()
    """Methods that need credentials outside of dialogs."""


class Fate(enum.Enum):
    """What becomes of a message that is not answered here."""

    PASS = enum.auto()
    DROP = enum.auto()


class Gate:
    """Judges messages before the user agent sees them.

    Args:
        rules: from the settings.
        authenticator: None asks nobody for credentials.

    """

    def __init__(self, rules: AccessRules, authenticator: Authenticator | None = None) -> None:
        self.is_live: Callable[[str], bool] = lambda dialog_id: False
        """Whether a dialog of this name is established; set by whoever knows."""
        self.refused = 0
        """Messages that went no further, ever."""
        self._rules = rules
        self._authenticator = authenticator
        self._by_source = RateLimit(rules.requests_per_s, rules.burst)
        self._in_all = RateLimit(rules.total_requests_per_s, max(rules.burst, rules.total_requests_per_s))
        self._recent: OrderedDict[str, float] = OrderedDict()
        """Dialog to the monotonic seconds until which its messages pass."""
        self._tally: Counter[tuple[str, Reason]] = Counter()
        self._ignored: Counter[str] = Counter()

    def judge(self, data: bytes, flow: Flow, now: float) -> Fate | Outgoing:
        """Say what becomes of a message; an `Outgoing` is the answer to send in its place.

        Args:
            data: one datagram, or one message cut out of a stream.
            flow: how it came.
            now: monotonic seconds.

        """
        if len(data) <= MAX_KEEP_ALIVE:
            return Fate.PASS
        source = flow.remote[0]
        if not contains(self._rules.allow_tls if flow.transport == "tls" else self._rules.allow, source):
            self._count(source, Reason.NETWORK)
            return Fate.DROP
        seen = glance(data)
        if seen.dialog_id is not None and self._is_known(seen.dialog_id, now):
            return Fate.PASS
        if seen.method == "ACK" and seen.local_tag.startswith(_TAG_PREFIX):
            return Fate.DROP
        for limit, key, reason in ((self._by_source, source, Reason.RATE), (self._in_all, "", Reason.TOTAL_RATE)):
            verdict = limit.take(key, now)
            if verdict is not Verdict.PASS:
                self._count(source, reason)
                if verdict is Verdict.IGNORE and reason is Reason.RATE:
                    self._ignored[source] += 1
                if verdict is Verdict.IGNORE or not seen.method or seen.method == "ACK":
                    return Fate.DROP
                return _answer(data, flow, 503, [("Retry-After", str(limit.retry_after_s(key)))])
        if self._authenticator is not None and seen.opens and seen.method in self._rules.methods:
            return self._ask_for_credentials(self._authenticator, data, flow, now)
        return Fate.PASS

    def report(self) -> list[tuple[str, Reason, int]]:
        """Return and forget what was refused since the last time: source, reason, how often; most often first."""
        told = [(source, reason, count) for (source, reason), count in self._tally.most_common()]
        self._tally.clear()
        return told

    def floods(self, at_least: int) -> list[str]:
        """Return the sources that were ignored so often since the last call."""
        busy = [source for source, times in self._ignored.items() if times >= at_least]
        self._ignored.clear()
        return busy

    def _is_known(self, dialog_id: str, now: float) -> bool:
        if self.is_live(dialog_id):
            self._recent.pop(dialog_id, None)
            self._recent[dialog_id] = now + _AFTERWARDS_S
            if len(self._recent) > MAX_REMEMBERED:
                self._recent.popitem(last=False)
            return True
        return self._recent.get(dialog_id, 0.0) > now

    def _ask_for_credentials(
        self, authenticator: Authenticator, data: bytes, flow: Flow, now: float
    ) -> Fate | Outgoing:
        try:
            request = parse_message(data)
        except SipSyntaxError:
            return Fate.PASS  # the user agent answers what cannot be read, and opens nothing for it
        if not isinstance(request, Request):
            return Fate.PASS
        judged = authenticator.judge(request, now)
        if isinstance(judged, Accepted):
            return Fate.PASS
        self._count(flow.remote[0], Reason.CREDENTIALS)
        return _answer(data, flow, 401, [("WWW-Authenticate", value) for value in judged.challenges])

    def _count(self, source: str, reason: Reason) -> None:
        self.refused += 1
        key = (source, reason)
        self._tally[key if key in self._tally or len(self._tally) < MAX_TALLIED else (_OTHERS, reason)] += 1


def _answer(data: bytes, flow: Flow, status: int, headers: Sequence[tuple[str, str]]) -> Fate | Outgoing:
    """Answer without keeping anything (RFC 3261 section 8.2.7): a repeated request gets the same To-tag again.

    By UDP only the source itself is answered, whatever a `maddr` in its Via says.
    """
    try:
        request = parse_message(data)
        if not isinstance(request, Request):
            return Fate.DROP
        seen = request.seen_from(*flow.remote)
        text = f"{seen.via.branch}\n{seen.via.sent_by}\n{seen.call_id}\n{seen.cseq}"
        tag = _TAG_PREFIX + hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        answer = build_response(seen, status, to_tag=tag, headers=headers).encode()
    except SipSyntaxError:
        return Fate.DROP
    if flow.reliable:
        return Outgoing(answer, flow)
    port = flow.remote[1] if "rport" in seen.via.params else seen.via.port or DEFAULT_PORTS["udp"]
    return Outgoing(answer, Flow("udp", flow.local, (flow.remote[0], port)))


class GuardedAgent(UserAgent):
    """A user agent that sees only what its gate lets through.

    Args:
        identity: see `UserAgent`.
        gate: judges every message.
        token: see `UserAgent`.
        trace: see `UserAgent`.
        logins: see `UserAgent`.
        may_act: whether this process still speaks for the site. Once it does not, it hears and says nothing: one that
            was frozen may have been replaced meanwhile.

    """

    def __init__(
        self,
        identity: Identity,
        gate: Gate,
        *,
        token: Callable[[], str],
        trace: bool = False,
        logins: Logins | None = None,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(identity, token=token, trace=trace, logins=logins)
        self._gate = gate
        self._may_act = may_act
        self._answers: list[Outgoing] = []

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Take a message, unless somebody else speaks for the site by now."""
        if self._may_act():
            super().receive(data, flow, now)

    def take(self, data: bytes, flow: Flow, now: float) -> None:
        """Judge a message, then take it, answer it, or drop it.

        What repeats a request that was let in is judged no more: a client that waits too long would use its rate up,
        and be told 503 for a session that is being set up.
        """
        fate = self._gate.judge(data, flow, now)
        if fate is Fate.PASS:
            super().take(data, flow, now)
        elif isinstance(fate, Outgoing):
            self._answers.append(fate)

    def outgoing(self) -> list[Outgoing]:
        """Return and forget the messages to send, those of the gate first."""
        if not self._may_act():
            super().outgoing()
            return []
        answers, self._answers = self._answers, []
        return answers + super().outgoing() if answers else super().outgoing()
