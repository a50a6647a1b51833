"""Keys: values that recordings of one call have in common, whatever their record identifiers are. Pure.

A key only makes candidates; it never proves anything. Order and choice are configuration (`copies.keys`).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from signaling.siprec.identifiers import Kind
from storage.catalog.copy_records import RecordingFacts

_CALL_UUID: Final = re.compile(r"([A-Z0-9]{32})[^A-Za-z0-9]")
"""Beginning of a record identifier as the Media Server makes it: the Call UUID, then something else."""
_SEPARATOR: Final = "\x1f"
"""Between the parts of a value; no parameter of a URI holds it."""


class KeyKind(enum.StrEnum):
    """Where a key comes from; the names are those of the configuration."""

    CALL = "call"
    """SIP Server application, Call UUID and recorded DN: what duplicated MSR sessions have in common."""
    CONNECTION = "connection"
    """T-lib connection id and recorded DN, started within seconds of each other."""
    IDENTIFIER_PREFIX = "identifier-prefix"
    """The Call UUID that record identifiers begin with."""
    SESSION = "session"
    """Identifiers of the call or its communication session that clients of any make pass on: Genesys UUID, UCID,
    global call id, SIP session id; also the Call UUID of MSR."""

    @property
    def names_the_call(self) -> bool:
        """Whether different calls of one agent cannot share it."""
        return self in (KeyKind.CALL, KeyKind.SESSION)


DEFAULT_KEYS: Final = (KeyKind.CALL, KeyKind.CONNECTION, KeyKind.IDENTIFIER_PREFIX, KeyKind.SESSION)

_SESSION_PARAMETERS: Final = frozenset(
    kind.value.lower()
    for kind in (Kind.GENESYS_UUID, Kind.UCID, Kind.AVAYA_UCID, Kind.GLOBAL_CALL_ID, Kind.SIP_SESSION_ID)
)


@dataclass(frozen=True, slots=True)
class Key:
    """One value of one kind."""

    kind: KeyKind
    value: str

    @property
    def text(self) -> str:
        """The value for people."""
        return self.value.replace(_SEPARATOR, " / ")


def keys_of(facts: RecordingFacts, kinds: Sequence[KeyKind] = DEFAULT_KEYS) -> tuple[Key, ...]:
    """Return the keys of a recording, in the order of `kinds`; none of a kind whose parts are not all known."""
    return tuple(Key(kind, value) for kind in kinds for value in _VALUES[kind](facts) if value)


def names_the_call(kind: str) -> bool:
    """Say whether a kind of key, by its name, belongs to one call only; the word of a person does."""
    return kind not in {one.value for one in KeyKind} or KeyKind(kind).names_the_call


def _call(facts: RecordingFacts) -> tuple[str, ...]:
    call = facts.call
    return _joined(call.sips_app_name, call.call_uuid, call.record_dn)


def _connection(facts: RecordingFacts) -> tuple[str, ...]:
    return _joined(facts.call.conn_id, facts.call.record_dn)


def _identifier_prefix(facts: RecordingFacts) -> tuple[str, ...]:
    found = _CALL_UUID.match(facts.record_identifier)
    return (found[1],) if found else ()


def _session(facts: RecordingFacts) -> tuple[str, ...]:
    values = [facts.call.call_uuid or ""]
    values += [value.partition(";")[0] for name, value in facts.parameters if name.lower() in _SESSION_PARAMETERS]
    return tuple(dict.fromkeys(values))


def _joined(*parts: str | None) -> tuple[str, ...]:
    known = [part for part in parts if part]
    return (_SEPARATOR.join(known),) if len(known) == len(parts) else ()


_VALUES: Final[Mapping[KeyKind, Callable[[RecordingFacts], tuple[str, ...]]]] = {
    KeyKind.CALL: _call,
    KeyKind.CONNECTION: _connection,
    KeyKind.IDENTIFIER_PREFIX: _identifier_prefix,
    KeyKind.SESSION: _session,
}
