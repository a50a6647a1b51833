"""Which copy comes first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import msgspec

from media.healing import Sound
from media.pipeline import GapCause
from recorder.curator.copies.comparing import best_first, steadiest_first
from tests.unit.media.healing.copies import copy, talk

WHOLE, RESUMED = UUID(int=1), UUID(int=2)


def resumed(sound: Sound) -> Sound:
    """The same sound, whose gaps are those between two sessions."""
    voices = {
        party: replace(voice, gaps=tuple(msgspec.structs.replace(gap, cause=GapCause.NO_SESSION) for gap in voice.gaps))
        for party, voice in sound.voices.items()
    }
    return replace(sound, voices=voices)


def test_the_copy_with_most_audio_is_best_and_the_unbroken_one_carries_the_timeline(tmp_path: Path) -> None:
    parties = [talk(0, 6), talk(1, 6)]
    sounds = {
        WHOLE: copy(tmp_path, "whole", parties, lost={0: [(1, 2)]}),
        RESUMED: resumed(copy(tmp_path, "resumed", parties, lost={0: [(3, 3.2)], 1: [(3, 3.2)]})),
    }
    assert best_first(list(sounds), sounds) == [RESUMED, WHOLE]
    assert steadiest_first(list(sounds), sounds) == [WHOLE, RESUMED]
