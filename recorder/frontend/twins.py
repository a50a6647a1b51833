"""Which writers hold copies of a call now, so that a further copy of it goes to another one. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from recorder.pairing.keys import Key, KeyKind, keys_of
from storage.catalog.copy_records import RecordingFacts
from storage.catalog.records import CallFacts, Door

_KINDS: Final = tuple(kind for kind in KeyKind if kind.names_the_call)
"""Keys that different calls cannot share: a guess would only crowd the writers."""

_NOBODY: Final = UUID(int=0)
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class Twins:
    """The live sessions of one frontend by what names their calls."""

    def __init__(self) -> None:
        self._writers: dict[Key, dict[UUID, str]] = {}
        self._keys: dict[UUID, tuple[Key, ...]] = {}

    def writers(self, segment: UUID, descriptor: Mapping[str, object]) -> frozenset[str]:
        """Return the writers that hold a copy of the call that a session's descriptor tells of. Obligation: `drop`."""
        keys = self._keys_of(segment, descriptor)
        return frozenset(writer for key in keys for writer in self._writers.get(key, {}).values())

    def put(self, segment: UUID, descriptor: Mapping[str, object], writer: str) -> None:
        """Note where a session is, or is about to be."""
        for key in self._keys_of(segment, descriptor):
            self._writers.setdefault(key, {})[segment] = writer

    def drop(self, segment: UUID) -> None:
        """Forget a session; one that is not known is no error."""
        for key in self._keys.pop(segment, ()):
            copies = self._writers.get(key, {})
            copies.pop(segment, None)
            if not copies:
                self._writers.pop(key, None)

    def _keys_of(self, segment: UUID, descriptor: Mapping[str, object]) -> tuple[Key, ...]:
        """Return what names the call of a session, worked out once."""
        keys = self._keys.get(segment)
        if keys is None:
            keys = self._keys[segment] = call_keys(descriptor)
        return keys


def call_keys(descriptor: Mapping[str, object]) -> tuple[Key, ...]:
    """Return what names the call, out of a session's descriptor."""
    call, parameters = descriptor.get("call"), descriptor.get("parameters")
    facts = RecordingFacts(
        recording_id=_NOBODY,
        record_identifier=str(descriptor.get("record_identifier", "")),
        door=Door(str(descriptor.get("door", Door.SIP.value))),
        call=msgspec.convert(call or {}, CallFacts),
        parameters=_pairs(parameters),
        started_at=_NEVER,
        ended_at=None,
    )
    return keys_of(facts, _KINDS)


def _pairs(parameters: object) -> tuple[tuple[str, str], ...]:
    pairs: Sequence[Sequence[str]] = parameters if isinstance(parameters, list) else []
    return tuple([(str(name), str(value)) for name, value in pairs])
