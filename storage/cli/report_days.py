"""The days that a report covers, as typed: whole UTC days, said back so that nobody misreads a figure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from storage.cli.context import CommandFailed
from storage.cli.times import parse_time
from storage.exit_codes import ExitCode

FromOption = Annotated[
    str, typer.Option("--from", metavar="DAY", help="First day: 2026-11-22, today, 7d. A time means its whole day.")
]
ToOption = Annotated[str, typer.Option("--to", metavar="DAY", help="Last day, included.")]


@dataclass(frozen=True, slots=True)
class Days:
    """`[first, end)`."""

    first: date
    end: date

    @staticmethod
    def parse(started_from: str, started_to: str, *, now: datetime) -> Days:
        """Return the days from the first one to the last one, both included."""
        first = parse_time(started_from, now=now).astimezone(UTC).date()
        last = parse_time(started_to, now=now).astimezone(UTC).date()
        if last < first:
            raise CommandFailed(f"--from {first} is after --to {last}", ExitCode.USAGE)
        return Days(first, last + timedelta(days=1))

    @property
    def last(self) -> date:
        """The last day covered."""
        return self.end - timedelta(days=1)

    def __str__(self) -> str:
        return f"{self.first} to {self.last}" if self.first != self.last else str(self.first)

    def json(self) -> dict[str, str]:
        """Return the documented form."""
        return {"from": self.first.isoformat(), "to": self.last.isoformat()}
