"""Compares a list of calls that should be there with the catalog: confirmed, to review, without audio, or missing.

The list is a CSV with a header. It comes from a CDR export or another system, so that its columns go by several names.
"""

from __future__ import annotations

import csv
import enum
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from storage.catalog import Catalog
from storage.catalog.records import RecordingState
from storage.catalog.reports import Candidate, ExpectedCall
from storage.cli.context import CommandFailed
from storage.cli.presentation import moment, or_dash, write_json
from storage.cli.report_days import Days
from storage.exit_codes import ExitCode
from storage.inputs import named

BATCH: Final = 500
"""Calls looked up in one statement."""

SHOWN: Final = 50
"""Lines of the table for people; --csv and --json have all."""

_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "record_identifier": ("record_identifier", "record_id", "recordid", "recording_id"),
    "call_uuid": ("call_uuid", "calluuid", "callid", "call_id"),
    "number": ("dn", "number", "extension", "agent", "agent_id", "ani", "caller", "calling", "src"),
    "started_at": ("started_at", "start", "start_time", "starttime", "calldate", "time"),
}
"""Header names that are understood, in lower case, by what they mean."""


class Verdict(enum.StrEnum):
    """What became of an expected call."""

    CONFIRMED = "confirmed"
    """A complete recording with audio."""
    REVIEW = "to-review"
    """A recording that is interrupted, still in work, or has losses; or several fit."""
    WITHOUT_RECORDING = "session-without-recording"
    """The recorder accepted the session, and there is no audio: no media arrived, or rendering failed."""
    MISSING = "missing"
    """The recorder knows of no such session."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the comparison."""

    call: ExpectedCall
    verdict: Verdict
    reason: str
    candidates: tuple[Candidate, ...]


async def reconcile(
    path: Path, catalog: Catalog, console: Console, *, days: Days, tolerance_s: float, as_json: bool, as_csv: bool
) -> ExitCode:
    """Compare a list with the catalog and print what differs; calls of other days are left out."""
    calls = [call for call in read_expected(path, tolerance_s) if _within(call, days)]
    findings = [finding async for finding in _findings(calls, catalog)]
    if as_json:
        write_json(console, {**days.json(), **_counted(findings), "calls": [_finding_json(one) for one in findings]})
    elif as_csv:
        _write_csv(findings)
    else:
        _print(console, days, findings)
    return ExitCode.OK


def read_expected(path: Path, tolerance_s: float) -> list[ExpectedCall]:
    """Return the calls of a list.

    Errors: `InputMissing`; `CommandFailed` with `USAGE`, which names the line.
    """
    try:
        with named(path, "name a CSV file of calls"), path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            return list(_calls(path, reader, _meanings(path, reader.fieldnames or ()), tolerance_s))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandFailed(f"{path} cannot be read as CSV: {error}", ExitCode.USAGE) from error


def judge(call: ExpectedCall, candidates: Sequence[Candidate]) -> Finding:
    """Say what became of a call. Pure."""
    if not candidates:
        return Finding(call, Verdict.MISSING, "no session with this identifier, or number and time", ())
    found = tuple(candidates)
    audible = [one for one in candidates if one.state in (RecordingState.COMPLETE, RecordingState.INTERRUPTED)]
    if len(audible) > 1 and call.record_identifier is None and call.call_uuid is None:
        return Finding(call, Verdict.REVIEW, f"{len(audible)} recordings fit by number and time", found)
    complete = [one for one in audible if one.state is RecordingState.COMPLETE]
    if any(not one.lost_s for one in complete):
        return Finding(call, Verdict.CONFIRMED, "", found)
    if audible:
        best = min(audible, key=lambda one: one.lost_s or 0.0)
        reason = "interrupted" if best.state is RecordingState.INTERRUPTED else ""
        lost = f"{best.lost_s:.3f} s lost" if best.lost_s else ""
        return Finding(call, Verdict.REVIEW, ", ".join(filter(None, (reason, lost))), found)
    if any(one.state in (RecordingState.RECORDING, RecordingState.FINALISING) for one in candidates):
        return Finding(call, Verdict.REVIEW, "not finalised yet", found)
    return Finding(call, Verdict.WITHOUT_RECORDING, candidates[0].state.value, found)


async def _findings(calls: Sequence[ExpectedCall], catalog: Catalog) -> AsyncIterator[Finding]:
    for start in range(0, len(calls), BATCH):
        batch = calls[start : start + BATCH]
        candidates: dict[int, list[Candidate]] = defaultdict(list)
        for candidate in await catalog.reports.match(batch):
            candidates[candidate.position].append(candidate)
        for call in batch:
            yield judge(call, candidates[call.position])


def _meanings(path: Path, header: Sequence[str]) -> dict[str, str]:
    """Return the column of the file for each thing that it can say."""
    by_name = {name.strip().lower().replace(" ", "_"): name for name in header}
    found = {
        meaning: by_name[name] for meaning, names in _COLUMNS.items() for name in reversed(names) if name in by_name
    }
    if not ("record_identifier" in found or "call_uuid" in found or {"number", "started_at"} <= found.keys()):
        raise CommandFailed(
            f"{path}: the header has neither record_identifier, nor call_uuid, nor dn (agent, ani) with started_at",
            ExitCode.USAGE,
        )
    return found


def _calls(
    path: Path, rows: Iterable[Mapping[str, str | None]], columns: Mapping[str, str], tolerance_s: float
) -> Iterator[ExpectedCall]:
    for line, row in enumerate(rows, start=2):
        said = {meaning: (row.get(column) or "").strip() or None for meaning, column in columns.items()}
        if not any(said.values()):
            continue
        if said.get("record_identifier") is None and said.get("call_uuid") is None:
            missing = [name for name in ("number", "started_at") if said.get(name) is None]
            if missing:
                raise CommandFailed(
                    f"{path}, line {line}: without an identifier a call needs {missing[0]}", ExitCode.USAGE
                )
        yield ExpectedCall(
            position=line,
            record_identifier=said.get("record_identifier"),
            call_uuid=said.get("call_uuid"),
            number=said.get("number"),
            started_at=_time(path, line, said.get("started_at")),
            tolerance_s=tolerance_s,
        )


def _time(path: Path, line: int, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CommandFailed(
            f"{path}, line {line}: {text!r} is not a time: write 2026-11-22T09:30:00Z (UTC without an offset)",
            ExitCode.USAGE,
        ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _within(call: ExpectedCall, days: Days) -> bool:
    return call.started_at is None or days.first <= call.started_at.astimezone(UTC).date() <= days.last


def _counted(findings: Iterable[Finding]) -> dict[str, int]:
    counts = Counter(finding.verdict for finding in findings)
    return {verdict.value: counts[verdict] for verdict in Verdict}


def _finding_json(finding: Finding) -> dict[str, object]:
    call = finding.call
    return {
        "line": call.position,
        "record_identifier": call.record_identifier,
        "call_uuid": call.call_uuid,
        "number": call.number,
        "started_at": call.started_at.isoformat() if call.started_at else None,
        "verdict": finding.verdict.value,
        "reason": finding.reason,
        "recordings": [str(one.recording_id) for one in finding.candidates],
    }


def _write_csv(findings: Iterable[Finding]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(
        ("line", "record_identifier", "call_uuid", "number", "started_at", "verdict", "reason", "recordings")
    )
    for finding in findings:
        row = _finding_json(finding)
        writer.writerow([*list(row.values())[:-1], " ".join(str(one.recording_id) for one in finding.candidates)])


def _print(console: Console, days: Days, findings: Sequence[Finding]) -> None:
    console.print(f"Expected calls of {days} (UTC): {len(findings)}")
    for verdict, count in _counted(findings).items():
        console.print(f"  {verdict:<26}{count:>9}")
    open_ones = [finding for finding in findings if finding.verdict is not Verdict.CONFIRMED]
    if not open_ones:
        return
    table = Table("line", "verdict", "call", "started (UTC)", "reason", "recording", box=None, pad_edge=False)
    for finding in open_ones[:SHOWN]:
        call = finding.call
        table.add_row(
            str(call.position),
            finding.verdict.value,
            or_dash(call.record_identifier or call.call_uuid or call.number),
            moment(call.started_at),
            or_dash(finding.reason),
            or_dash(" ".join(one.recording_id.hex[:8] for one in finding.candidates)),
        )
    console.print()
    console.print(table)
    if len(open_ones) > SHOWN:
        console.print(f"and {len(open_ones) - SHOWN} more: --csv or --json list all")
