"""What `recorder simulate` prints at the end, for people and for scripts. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from recorder.simulator.oracle import Verdict
from recorder.simulator.simulation import CallOutcome, RunOutcome

_SHOWN: Final = 20
"""Lines of faults shown; the rest is counted."""


def report_lines(outcome: RunOutcome, verdicts: list[Verdict] | None, journal: Path | None) -> list[str]:
    """Return the report for people; the last line sums it up."""
    sender = outcome.sender
    lines = [
        f"sent {sender.packets:,} packets, {sender.failed} refused by the system;"
        f" late by {sender.lateness.percentile_ms(0.5):.1f} ms (median),"
        f" {sender.lateness.percentile_ms(0.99):.1f} ms (p99), {sender.lateness.max_ms:.1f} ms (max);"
        f" {sender.reports} sender reports, {sender.received_reports} receiver reports"
    ]
    failed = [call for call in outcome.calls if not call.completed]
    faults = [_failure(call) for call in failed]
    faults += [str(difference) for verdict in verdicts or () for difference in verdict.differences]
    lines += faults[:_SHOWN]
    if len(faults) > _SHOWN:
        lines.append(f"... and {len(faults) - _SHOWN} more")
    if faults and journal is not None:
        lines.append(f"what was sent is in {journal}")
    return [*lines, summary_line(outcome, verdicts)]


def _failure(call: CallOutcome) -> str:
    status = f"{call.status} " if call.status else ""
    return f"call {call.call} ({call.record_identifier}): failed: {status}{call.detail}"


def all_good(outcome: RunOutcome, verdicts: list[Verdict] | None) -> bool:
    """Tell whether every call went through and, if compared, every recording equals what was sent."""
    return all(call.completed for call in outcome.calls) and all(verdict.equal for verdict in verdicts or ())


def summary_line(outcome: RunOutcome, verdicts: list[Verdict] | None) -> str:
    """Return the last line of the report."""
    calls = len(outcome.calls)
    if verdicts is None:
        completed = sum(call.completed for call in outcome.calls)
        return f"completed {completed} of {calls} calls; recordings were not compared (use --verify)"
    direct = [verdict for verdict in verdicts if not verdict.healed]
    healed = [verdict for verdict in verdicts if verdict.healed]
    equal = sum(verdict.equal for verdict in direct)
    sent, recorded = _packets(direct)
    verb = "sent = recorded" if all_good(outcome, verdicts) else "sent and recorded DIFFER"
    line = f"verified {equal} of {calls} calls: {verb} ({sent:,} packets, {sent - recorded:,} lost)"
    if healed:
        sent, recorded = _packets(healed)
        line += (
            f"; {sum(verdict.equal for verdict in healed)} of {len(healed)} pairs of copies healed to what was sent"
            f" ({sent:,} packets, {sent - recorded:,} lost)"
        )
    return line


def _packets(verdicts: list[Verdict]) -> tuple[int, int]:
    """Return how many packets had to be recorded, and how many were."""
    return sum(verdict.sent for verdict in verdicts), sum(verdict.recorded for verdict in verdicts)


def json_lines(outcome: RunOutcome, verdicts: list[Verdict] | None) -> list[str]:
    """Return the report for scripts: one JSON object."""
    lateness = outcome.sender.lateness
    report: dict[str, Any] = {
        "equal": all_good(outcome, verdicts) if verdicts is not None else None,
        "completed": sum(call.completed for call in outcome.calls),
        "calls": [asdict(call) for call in outcome.calls],
        "packets": outcome.sender.packets,
        "packets_refused_by_system": outcome.sender.failed,
        "receiver_reports": outcome.sender.received_reports,
        "late_ms": {
            "p50": lateness.percentile_ms(0.5),
            "p99": lateness.percentile_ms(0.99),
            "max": lateness.max_ms,
        },
        "verdicts": [{**asdict(verdict), "equal": verdict.equal} for verdict in verdicts or ()],
        "summary": summary_line(outcome, verdicts),
    }
    return json.dumps(report, indent=2).splitlines()
