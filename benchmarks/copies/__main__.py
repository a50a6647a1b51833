"""Pairing and healing of two copies of a call: CPU seconds of comparing, deciding, placing and writing the master.

`python -m benchmarks.copies [--minutes 10] [--rounds 5] [--loss 0.02] [--law-of-other PCMU|PCMA]`. Two speakers with
the hiss of a line, so that no second repeats itself; each copy loses packets of its own. The best round counts, because
other programs only slow down. Goal: 1 s for ten minutes of G.711 in one law.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.machine import machine_facts
from media.healing import Comparison, Healing, Sound, by_audio, compare, convert, first_strand, heal
from media.pipeline.codec import Law
from media.pipeline.codec.g711 import compress
from recorder.pairing.verdict import judge
from tests.unit.media.healing.copies import Codes, copy, linear, random_losses, talk

GOAL_S: Final = 1.0


def hissing(party: int, seconds: float) -> Codes:
    """A speaker of whom no second occurs twice."""
    hiss = np.random.default_rng(party).normal(0, 20, round(seconds * 8000))
    return compress(np.clip(linear(talk(party, seconds)) + hiss, -32768, 32767).astype(np.int16), Law.MULAW)


def make(folder: Path, seconds: float, loss: float, other_law: Law) -> tuple[Sound, Sound]:
    """Write both copies."""
    spoken = [hissing(party, seconds) for party in (0, 1)]
    lost = [{party: random_losses(seconds, loss, 10 * number + party) for party in (0, 1)} for number in (1, 2)]
    theirs = spoken if other_law is Law.MULAW else [compress(linear(party), other_law) for party in spoken]
    return (
        copy(folder, "one", spoken, lost=lost[0]),
        copy(folder, "other", theirs, lost=lost[1], start_s=0.137, law=other_law),
    )


def pair_and_heal(one: Sound, other: Sound, folder: Path) -> tuple[Comparison, Healing]:
    """Do what the curator does, without the catalog."""
    comparison = compare(one, other)
    verdict = judge(comparison, call_named=True)
    if verdict.state != "confirmed":
        raise SystemExit(f"not taken as copies: {verdict.reason}")
    if one.law != other.law:
        one, other = convert(one, 8000, folder / "one16.wav"), convert(other, 8000, folder / "other16.wav")
    first = first_strand(one)
    healing = heal([first, by_audio(other, comparison, first)], folder / "master.wav")
    return comparison, healing


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loss", type=float, default=0.02, help="share of packets that each copy loses, 0..1")
    parser.add_argument("--law-of-other", type=Law, default=Law.MULAW, choices=[Law.MULAW, Law.ALAW])
    options = parser.parse_args()
    print(machine_facts(), flush=True)
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as directory:
        folder = Path(directory)
        one, other = make(folder, options.minutes * 60, options.loss, options.law_of_other)
        best = float("inf")
        for _ in range(options.rounds):
            before = time.process_time()
            comparison, healing = pair_and_heal(one, other, folder)
            best = min(best, time.process_time() - before)
        print(
            f"{options.minutes:g} min, 2 parties, loss {options.loss:.1%} of each copy, other copy"
            f" {options.law_of_other}: {best:.3f} s CPU (goal {GOAL_S * options.minutes / 10:g} s),"
            f" {len(healing.gaps)} gaps left, {len(healing.provenance)} stretches, {comparison.matched_s:.0f} s same"
        )


if __name__ == "__main__":
    main()
