"""Copies of a call for tests: audio with known places, losses, and everything that may lie between two recorders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from media.healing import Sound, open_sound
from media.pipeline.codec import Law
from media.pipeline.codec.g711 import SILENCE, compress, expand
from media.pipeline.intervals import Intervals
from media.pipeline.output import WavEncoding, WavFile
from media.pipeline.report import Gap, GapCause, GapKind
from recorder.simulator import g711
from recorder.simulator.conversation import load_conversation

RATE: Final = 8000
START_NS: Final = 1_772_366_400_000_000_000

Codes = NDArray[np.uint8]
Linear = NDArray[np.int16]
_ENCODINGS: Final = {Law.MULAW: WavEncoding.MULAW, Law.ALAW: WavEncoding.ALAW, None: WavEncoding.PCM16}


@cache
def conversation() -> tuple[Codes, Codes]:
    """A minute of two people who talk by turns, mu-law."""
    left, right = load_conversation(g711.Law.PCMU).parties
    return left, right


def talk(party: int, seconds: float, *, at: float = 0.0) -> Codes:
    """A part of the conversation; it begins anew after a minute."""
    spoken = conversation()[party]
    return np.take(spoken, np.arange(round(at * RATE), round((at + seconds) * RATE)), mode="wrap")


def linear(codes: Codes) -> Linear:
    return expand(codes, Law.MULAW)


def mulaw(samples: NDArray[np.floating] | Linear) -> Codes:
    return compress(np.clip(np.rint(samples), -32768, 32767).astype(np.int16), Law.MULAW)


def silence(seconds: float) -> Codes:
    return np.full(round(seconds * RATE), 0xFF, np.uint8)


def noise(seconds: float, *, level: float = 20.0, seed: int = 1) -> Codes:
    """The hiss of a line."""
    return mulaw(np.random.default_rng(seed).normal(0, level, round(seconds * RATE)))


def tone(seconds: float, *, hertz: float = 425.0) -> Codes:
    """Ringing, as a gateway generates it."""
    return mulaw(8000 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE))


def music(seconds: float, *, loop_s: float = 7.5, at: float = 0.0) -> Codes:
    """Hold music: chords that change, and begin anew after `loop_s`."""
    generator = np.random.default_rng(11)
    time = np.arange(round(loop_s * RATE)) / RATE
    samples = np.zeros(len(time))
    for begin in np.arange(0, loop_s, 0.5):
        inside = (time >= begin) & (time < begin + 0.5)
        for hertz in generator.choice([220, 262, 294, 330, 392, 440, 523], 3, replace=False):
            decay = np.exp(-3 * (time[inside] - begin))
            samples[inside] += 3000 * decay * np.sin(2 * np.pi * hertz * time[inside])
    return np.take(mulaw(samples), np.arange(round(at * RATE), round((at + seconds) * RATE)), mode="wrap")


def copy(
    folder: Path,
    name: str,
    parties: Sequence[Codes | Linear],
    *,
    lost: Mapping[int, Sequence[tuple[float, float]]] | None = None,
    paused: Mapping[int, Sequence[tuple[float, float]]] | None = None,
    start_s: float = 0.0,
    law: Law | None = Law.MULAW,
    rate: int = RATE,
) -> Sound:
    """Write a finished recording.

    Args:
        folder: where.
        name: of the file.
        parties: all that was said, one array per party.
        lost: per party, seconds (from, to) of this copy's timeline that never arrived.
        paused: the same, not to be recorded.
        start_s: by the wall clock of its recorder.
        law: of `parties`; None for samples.
        rate: Hz.

    """
    frames = max(len(party) for party in parties)
    channels = np.full((frames, len(parties)), 0 if law is None else SILENCE[law], parties[0].dtype)
    coverage, gaps = {}, []
    for number, party in enumerate(parties):
        channels[: len(party), number] = party
        missing = []
        for kind, cause, seconds in (
            (GapKind.LOST, GapCause.NETWORK, (lost or {}).get(number, ())),
            (GapKind.PAUSED, GapCause.PAUSED, (paused or {}).get(number, ())),
        ):
            for begin, end in seconds:
                first, last = round(begin * rate), round(end * rate)
                channels[first:last, number] = 0 if law is None else SILENCE[law]
                missing.append((first, last))
                gaps.append(Gap(party=number, start_frame=first, frames=last - first, kind=kind, cause=cause))
        coverage[number] = Intervals.of(*missing).complement(0, len(party)).pairs()
    path = folder / f"{name}.wav"
    file = WavFile(path, _ENCODINGS[law], rate, len(parties), frames)
    file.write(channels)
    file.close()
    return open_sound(path, started_at_ns=START_NS + round(start_s * 1e9), coverage=coverage, gaps=gaps)


def random_losses(seconds: float, share: float, seed: int) -> list[tuple[float, float]]:
    """Packets of 20 ms lost independently of each other."""
    packets = round(seconds * 50)
    lost = np.random.default_rng(seed).random(packets) < share
    return [(number * 0.02, (number + 1) * 0.02) for number in np.flatnonzero(lost).tolist()]


def drifted(samples: Linear, ppm: float) -> Linear:
    """The same sound by a clock that is slower by so many parts per million."""
    count = int(len(samples) * (1 - ppm * 1e-6))
    places = np.arange(count) * (1 + ppm * 1e-6)
    moved: Linear = np.rint(np.interp(places, np.arange(len(samples)), samples)).astype(np.int16)
    return moved
