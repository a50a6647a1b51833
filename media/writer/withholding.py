"""What a frontend says after a standstill, put into effect: which sessions may keep what waits for them (ADR 24).

Knows no clock and no connection; whether there was a standstill is `standstill`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import msgspec

from media.writer.packet_source import PacketSource
from media.writer.protocol import Command, ListSessions, SettleSessions
from media.writer.reading import Reading
from media.writer.roster import Roster
from media.writer.standstill import Standstill
from media.writer.stream import LiveSession

_log: Final = logging.getLogger(__name__)


class Withholding:
    """Mutes sessions of one writer, and lets the others have what waited.

    Args:
        standstill: of its loop.
        roster: its sessions.
        reading: what their packets pass through.
        source: where these come from.

    """

    def __init__(self, standstill: Standstill, roster: Roster, reading: Reading, source: PacketSource) -> None:
        self._standstill, self._roster, self._reading, self._source = standstill, roster, reading, source
        self._told = standstill.number

    def news(self) -> bool:
        """Whether a standstill was noticed, or decided about, since this was asked last: frontends should know."""
        self._standstill.look()
        told, self._told = self._told, self._standstill.number
        return told != self._told

    def must_wait(self, command: Command) -> bool:
        """Whether a command has to wait: its session's packets are neither read now nor known to be wanted."""
        return self._standstill.look() and not isinstance(command, ListSessions | SettleSessions)

    def waits(self, now: float, wall_ns: int) -> bool:
        """Whether no packets may be read now; errors as `give_up`."""
        if self._standstill.look() and self._standstill.overdue:
            self.give_up(now, wall_ns)
        return self._standstill.number > 0

    def settle(self, number: int, untold: Iterable[str], now: float, wall_ns: int) -> None:
        """Record what waits, but nothing of the sessions named: those wait for their next command, muted.

        Errors: as `Intake.take_rtp`.
        """
        for name in untold:
            session = self._roster.by_name.get(name)
            if session is not None:
                self._mute(session, now, wall_ns)
        self._standstill.settle(number)
        if not self._standstill.look():
            self._reading.intake.release()

    def give_up(self, now: float, wall_ns: int) -> None:
        """Drop what waits for every session, and go on: nobody says what was agreed.

        Whoever was agreed with sends elsewhere by now, or is recorded as by any writer without a frontend; but of the
        time in which others could not tell us, nobody answers for a packet.

        Errors: as `Intake.take_rtp`.
        """
        sessions = list(self._roster.by_name.values())
        if sessions:
            _log.error("no frontend says what was agreed during a standstill: what came meanwhile is dropped")
        before = [{index: stream.spec for index, stream in session.streams.items()} for session in sessions]
        self.settle(self._standstill.number, [session.identifier for session in sessions], now, wall_ns)
        for session in sessions:
            self._source.drain(session)
        for session, specs in zip(sessions, before, strict=True):
            for index, spec in specs.items():
                self._roster.change(session.streams[index], spec)
            self._source.refresh(session)

    def _mute(self, session: LiveSession, now: float, wall_ns: int) -> None:
        """Record nothing more of a session; no event of its capture says so, because it is no pause of the client's."""
        for stream in session.streams.values():
            self._roster.change(stream, msgspec.structs.replace(stream.spec, recording=False))
            self._reading.change(stream, now, wall_ns)
        self._source.refresh(session)
