"""`recorder-admin copies explain`: why recordings were, or were not, taken as copies; in plain words and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from media.healing import Comparison, Method, PartyMatch
from recorder.admin.copies.listing import name_of
from recorder.pairing.candidates import why_not
from recorder.pairing.keys import DEFAULT_KEYS, Key, keys_of
from recorder.pairing.verdict import party_name
from storage.catalog import Catalog
from storage.catalog.copy_records import CopyPair, CopyState, RecordingFacts
from storage.cli.context import CliContext, CommandFailed, make_console, run_command
from storage.cli.copies_view import pair_json
from storage.cli.lookup import find_recording
from storage.cli.options import JsonArray, Reference
from storage.cli.presentation import clock, moment, printable, write_json
from storage.exit_codes import ExitCode


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """Options of the command."""

    reference: str
    other: str | None = None
    as_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything that is known about two recordings."""

    one: RecordingFacts
    other: RecordingFacts
    common: tuple[Key, ...]
    """Keys that both have."""
    pair: CopyPair | None

    def lines(self) -> Iterator[str]:
        """Yield the explanation for people."""
        one, other = (name_of(facts.record_identifier, facts.recording_id) for facts in (self.one, self.other))
        yield f"{one} and {other}"
        yield f"  {_span(self.one)}; {_span(self.other)}"
        if self.pair is None:
            yield from self._never_paired()
            return
        yield f"  joined by {printable(self.pair.key_kind)}: {printable(self.pair.key_reason)}"
        words = {
            CopyState.CANDIDATE: "perhaps copies: decided when both have ended and were finalised",
            CopyState.CONFIRMED: "copies of one call",
            CopyState.REJECTED: "not copies",
            CopyState.UNDECIDED: "not decided: nothing is merged and nothing removed",
        }
        yield f"  {words[self.pair.state]}" + (f": {printable(self.pair.reason)}" if self.pair.reason else "")
        if self.pair.decided_by:
            who = "an operator" if self.pair.decided_by == "operator" else "their sound"
            yield f"  decided by {who}, {moment(self.pair.decided_at)} UTC"
        if self.pair.comparison:
            yield from (f"  {line}" for line in _figures(msgspec.convert(self.pair.comparison, Comparison)))

    def _never_paired(self) -> Iterator[str]:
        if not self.common:
            yield "  never compared: no key in common"
            for facts in (self.one, self.other):
                keys = ", ".join(f"{key.kind.value} {printable(key.text)}" for key in keys_of(facts)) or "none"
                yield f"    keys of {str(facts.recording_id)[:8]}: {keys}"
            return
        for key in self.common:
            reason = why_not(self.one, self.other, key) or "they may be; a curator looks at them within seconds"
            yield f"  never compared, though {key.kind.value} is equal ({printable(key.text)}): {printable(reason)}"

    def as_json(self) -> dict[str, object]:
        """Return the documented form."""
        return {
            "one": str(self.one.recording_id),
            "other": str(self.other.recording_id),
            "common_keys": [{"kind": key.kind.value, "value": key.text} for key in self.common],
            "pair": pair_json(self.pair) if self.pair else None,
            "words": [line.strip() for line in self.lines()],
        }


async def explain(one: RecordingFacts, other: RecordingFacts, pairs: Sequence[CopyPair]) -> Explanation:
    """Put together what is known about two recordings."""
    theirs = set(keys_of(other, DEFAULT_KEYS))
    both = {one.recording_id, other.recording_id}
    return Explanation(
        one=one,
        other=other,
        common=tuple(key for key in keys_of(one, DEFAULT_KEYS) if key in theirs),
        pair=next((pair for pair in pairs if pair.both == both), None),
    )


async def run(options: ExplainOptions, catalog: Catalog, console: Console) -> ExitCode:
    """Explain two recordings, or one and everything that it was ever paired with."""
    one = await facts_of(catalog, options.reference)
    groups = await catalog.copies.groups(limit=1, rejected=True, recording_id=one.recording_id)
    pairs = [pair for group in groups for pair in group.pairs]
    if options.other is not None:
        others = [await facts_of(catalog, options.other)]
        if others[0].recording_id == one.recording_id:
            raise CommandFailed("these are one and the same recording", ExitCode.USAGE)
    else:
        ids = [(pair.both - {one.recording_id}) for pair in pairs if one.recording_id in pair.both]
        others = [facts for both in ids for other in both if (facts := await catalog.copies.facts(other))]
    found = [await explain(one, other, pairs) for other in others]
    if options.as_json:
        write_json(console, [explanation.as_json() for explanation in found])
        return ExitCode.OK
    if not found:
        keys = ", ".join(f"{key.kind.value} {printable(key.text)}" for key in keys_of(one)) or "none"
        console.print(f"{name_of(one.record_identifier, one.recording_id)} was paired with no other recording.")
        console.print(f"Its keys: {keys}", soft_wrap=True)
    for explanation in found:
        for line in explanation.lines():
            console.print(line, soft_wrap=True)
    return ExitCode.OK


async def facts_of(catalog: Catalog, reference: str) -> RecordingFacts:
    """Return what pairing knows of the recording that a command names; `CommandFailed` when there is none."""
    detail = await find_recording(catalog, reference)
    facts = await catalog.copies.facts(detail.summary.recording_id)
    if facts is None:
        raise CommandFailed(f"recording {reference} is gone", ExitCode.NOT_FOUND)
    return facts


def explain_copies(
    ctx: typer.Context,
    reference: Reference,
    other: Annotated[
        str | None, typer.Argument(metavar="OTHER", help="Another one; without it, all it was paired with.")
    ] = None,
    as_json: JsonArray = False,
) -> None:
    """Say why recordings were, or were not, taken as copies of one call.

    Example: recorder-admin copies explain 3f2a91c0 77b0c2de
    """
    options = ExplainOptions(reference=reference, other=other, as_json=as_json)

    async def command(catalog: Catalog, _: CliContext) -> ExitCode:
        return await run(options, catalog, make_console())

    run_command(ctx, as_json=as_json, command=command)


def _span(facts: RecordingFacts) -> str:
    end = moment(facts.ended_at) if facts.ended_at else "still recorded"
    return f"{str(facts.recording_id)[:8]} from {moment(facts.started_at)} to {end}"


def _figures(comparison: Comparison) -> Iterator[str]:
    yield (
        f"both ran for {clock(comparison.overlap_s)}; by the clocks the second began "
        f"{comparison.clock_offset / comparison.sample_rate:+.3f} s from the first, "
        f"by the sound {comparison.offset / comparison.sample_rate:+.6f} s"
    )
    for match in comparison.parties:
        yield _party(match, comparison.sample_rate)
    for words, parties in (("the first", comparison.lone), ("the second", comparison.other_lone)):
        if parties:
            yield f"heard in {words} only: {', '.join(party_name(party) for party in parties)}"


def _party(match: PartyMatch, sample_rate: int) -> str:
    how = {
        Method.EXACT: "equal sample by sample",
        Method.CORRELATED: f"alike, correlation {match.score:.2f}",
        Method.NONE: "nothing alike",
    }[match.method]
    place = "" if match.offset is None else f", offset {match.offset / sample_rate:+.6f} s"
    drift = "" if match.drift_ppm is None else f", clocks apart by {match.drift_ppm:+.1f} ppm"
    return (
        f"{party_name(match.party)} with {party_name(match.other)}: {how}{place}{drift};"
        f" compared {match.compared_s:.1f} s, same {match.matched_s:.1f} s, of it telling {match.telling_s:.1f} s,"
        f" different {match.contradicted_s:.1f} s"
    )
