"""The intake with all that looks at packets on their way: put together once, told of every stream in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from media.writer.arena import Arena
from media.writer.config import WriterConfig
from media.writer.decryption import Decryption
from media.writer.intake import Intake
from media.writer.masking import Masking
from media.writer.reporter import Reporter
from media.writer.roster import Roster
from media.writer.sources import SwitchPolicy
from media.writer.standstill import Standstill
from media.writer.stream import LiveStream
from media.writer.table import PortTable

_S_TO_NS: Final = 1_000_000_000
_PATIENCE: Final = 3
"""Visits that a report waits for packets of its stream."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a writer's packets pass through."""

    intake: Intake
    decryption: Decryption
    reporter: Reporter

    def enter(self, stream: LiveStream, now: float, wall_ns: int, *, adopt: bool) -> None:
        """Begin with a connected stream; `adopt` goes on with what a predecessor noted."""
        self.decryption.enter(stream, wall_ns, adopt=adopt)
        self.reporter.enter(stream, now, adopt=adopt)

    def change(self, stream: LiveStream, now: float, wall_ns: int) -> None:
        """Put the keys and addresses of a changed specification in force."""
        self.decryption.change(stream, wall_ns)
        self.reporter.change(stream, now)

    def leave(self, stream: LiveStream, wall_ns: int) -> None:
        """End with a stream that is still connected."""
        self.decryption.leave(stream, wall_ns)
        self.reporter.leave(stream)


def begin_reading(
    config: WriterConfig,
    arena: Arena,
    table: PortTable,
    roster: Roster,
    *,
    standstill: Standstill,
    wall_ns: Callable[[], int],
) -> Reading:
    """Put the parts together for the streams of a roster."""
    policy = SwitchPolicy(
        same_host_ns=int(config.same_host_silence_s * _S_TO_NS),
        same_ssrc_ns=int(config.same_ssrc_silence_s * _S_TO_NS),
        other_host_ns=int(config.other_host_silence_s * _S_TO_NS),
    )
    decryption = Decryption(table, roster.slots, roster.streams, arena.indices)
    reporter = Reporter(
        table,
        arena.statistics,
        minimum_s=config.report_interval_s,
        patience_s=_PATIENCE * config.sync_interval_s,
    )
    intake = Intake(
        table,
        roster.slots,
        roster.streams,
        told_drops=arena.told_drops,
        policy=policy,
        decryption=decryption,
        masking=Masking(table, roster.streams),
        reporter=reporter,
        standstill=standstill,
        wall_ns=wall_ns,
    )
    return Reading(intake, decryption, reporter)
