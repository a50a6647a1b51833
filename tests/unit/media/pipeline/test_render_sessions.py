"""Recording sessions of one recording: sources with the same numbers are told apart, coverage is exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from media.pipeline import GapCause, render
from tests.unit.media.pipeline.recordings import CaptureFile, sound, stream, talk, wav_channels


def sessions(folder: Path) -> list[Path]:
    """Two sessions, one second apart; the sender uses SSRC, sequence numbers and timestamps of the first again."""
    first = CaptureFile(packets=talk(sound(4800, 1)), streams=[stream(0)], session="a" * 32)
    second = CaptureFile(
        packets=talk(sound(4800, 2), start_ms=1600), streams=[stream(0)], session="b" * 32, opened_ms=1500
    )
    return [first.write(folder), second.write(folder)]


def test_a_sender_that_begins_anew_with_the_same_numbers_is_another_source(tmp_path: Path) -> None:
    rendering = render(sessions(tmp_path), tmp_path / "out.wav", sessions=[0, 1])
    (channel,) = wav_channels(tmp_path / "out.wav", 1)
    assert channel[:4800].tobytes() == sound(4800, 1)
    assert channel[-4800:].tobytes() == sound(4800, 2)
    assert (rendering.gaps[0].cause, rendering.gaps[0].start_frame) == (GapCause.SOURCE_CHANGE, 4800)
    assert GapCause.NO_SESSION in {gap.cause for gap in rendering.gaps}
    assert rendering.streams[0].duplicates == 0


def test_captures_of_one_session_go_on_with_each_other(tmp_path: Path) -> None:
    """A writer that took over: same numbers space, other capture."""
    packets = talk(sound(8000, 3))
    first = CaptureFile(packets=packets[:25], streams=[stream(0)], session="a" * 32, end=None)
    second = CaptureFile(packets=packets[27:], streams=[stream(0)], session="b" * 32, opened_ms=530)
    paths = [first.write(tmp_path), second.write(tmp_path)]
    rendering = render(paths, tmp_path / "out.wav", sessions=[4, 4])
    assert [(gap.cause, gap.start_frame, gap.frames) for gap in rendering.gaps] == [
        (GapCause.WRITER_FAILOVER, 25 * 160, 320)
    ]


def test_an_ssrc_that_goes_on_in_the_next_session_keeps_its_clock(tmp_path: Path) -> None:
    """Timestamps continue: what is between the sessions has the length that the sender's clock says."""
    packets = talk(sound(8000, 3))
    first = CaptureFile(packets=packets[:25], streams=[stream(0)], session="a" * 32)
    second = CaptureFile(packets=packets[27:], streams=[stream(0)], session="b" * 32, opened_ms=530)
    paths = [first.write(tmp_path), second.write(tmp_path)]
    rendering = render(paths, tmp_path / "out.wav", sessions=[0, 1])
    (channel,) = wav_channels(tmp_path / "out.wav", 1)
    assert channel[27 * 160 :].tobytes() == sound(8000, 3)[27 * 160 :]
    assert sum(gap.frames for gap in rendering.gaps) == 320


def test_coverage_says_exactly_where_audio_was_received(tmp_path: Path) -> None:
    packets = talk(sound(8000, 1)) + talk(sound(3200, 2), stream=1, ssrc=0x2000, start_ms=100)
    del packets[10:12]
    path = CaptureFile(packets=sorted(packets, key=lambda one: one.arrival_ms)).write(tmp_path)
    rendering = render([path], tmp_path / "out.wav")
    left, right = rendering.parties
    assert left.coverage == [(0, 1600), (1920, 8000)]
    assert right.coverage == [(800, 4000)]
    for party in rendering.parties:
        assert party.frames == sum(end - start for start, end in party.coverage)
    assert np.all(wav_channels(tmp_path / "out.wav")[1][4000:] == 0xFF)
