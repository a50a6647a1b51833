"""Hold the sounds of two recordings against each other, whatever formats they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Final
from uuid import UUID

from media.healing import Comparison, Sound, compare, convert
from media.pipeline import GapCause
from recorder.depot import SCRATCH
from storage.files import FileStore


def received_s(sound: Sound) -> float:
    """Return how much audio a recording received, all parties together, seconds."""
    return sum(voice.audio.total for voice in sound.voices.values()) / sound.sample_rate


_SEAMS: Final = (GapCause.NO_SESSION, GapCause.WRITER_FAILOVER)


def best_first(recordings: Sequence[UUID], sounds: Mapping[UUID, Sound]) -> list[UUID]:
    """Order recordings by what they received; of equals the one that began first."""
    return sorted(
        recordings,
        key=lambda one: (-round(received_s(sounds[one]), 3), sounds[one].started_at_ns, one),
    )


def steadiest_first(recordings: Sequence[UUID], sounds: Mapping[UUID, Sound]) -> list[UUID]:
    """Order recordings for healing: unbroken ones before those that went on in another session or writer.

    Where a recording goes on, its parts are placed by arrival, within milliseconds; an unbroken one is exact.
    """
    return sorted(best_first(recordings, sounds), key=lambda one: _seams(sounds[one]))


def _seams(sound: Sound) -> int:
    return sum(gap.cause in _SEAMS for voice in sound.voices.values() for gap in voice.gaps)


def alike(sounds: Sequence[Sound], store: FileStore) -> list[Sound]:
    """Return the sounds in one format: as they are if they have one, else 16-bit samples at the highest rate."""
    formats = {(sound.sample_rate, sound.law) for sound in sounds}
    if len(formats) == 1:
        return list(sounds)
    rate = max(sound.sample_rate for sound in sounds)
    with ExitStack() as stack:
        # Mapped when opened: they last without their names.
        return [convert(sound, rate, stack.enter_context(store.begin(SCRATCH)).path) for sound in sounds]


def compare_sounds(base: Sound, other: Sound, store: FileStore) -> Comparison:
    """Compare two sounds; the laws of G.711 may differ, rates are made equal first."""
    if base.sample_rate != other.sample_rate:
        base, other = alike([base, other], store)
    return compare(base, other)
