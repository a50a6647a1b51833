"""RFC 4733, telephone-event, as a recorder sees it (checklist R9)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from media.pipeline import GapCause, Rendering, render
from tests.unit.media.pipeline.recordings import CaptureFile, Rtp, sound, stream, talk, wav_channels

SECOND = 8000
AUDIO = sound(2 * SECOND)


def event(sequence: int, start: int, durations: list[int], *, jitter_ms: float = 0.0) -> list[Rtp]:
    """Reports of one digit that started at frame `start`."""
    return [
        Rtp(
            sequence_number=sequence + number,
            timestamp=50_000 + start,
            payload=struct.pack("!BBH", 1, 10, duration),
            arrival_ms=start / 8 + number * 20 + (jitter_ms if number % 2 else 0),
            payload_type=101,
            marker=number == 0,
        )
        for number, duration in enumerate(durations)
    ]


def rendered(folder: Path, packets: list[Rtp]) -> Rendering:
    return render([CaptureFile(packets=packets, streams=[stream(0)]).write(folder)], folder / "out.wav")


def after(sequence: int, start: int) -> list[Rtp]:
    return talk(AUDIO[SECOND:], sequence=sequence, timestamp=50_000 + start, start_ms=start / 8)


def test_r9_the_sequence_number_increments_for_retransmitted_reports_too(tmp_path: Path) -> None:
    reports = event(1050, SECOND, [160, 320, 480, 480, 480])
    del reports[3]
    rendering = rendered(tmp_path, talk(AUDIO[:SECOND]) + reports + after(1055, SECOND + 480))
    assert rendering.streams[0].lost == 1
    assert [(gap.cause, gap.frames) for gap in rendering.gaps] == [(GapCause.TELEPHONE_EVENT, 480)]


def test_r9_the_receiver_must_use_the_event_timestamps_and_durations_to_determine_timing(tmp_path: Path) -> None:
    reports = event(1050, SECOND, [160, 320, 480, 640, 800, 800, 800])
    rendering = rendered(tmp_path, talk(AUDIO[:SECOND]) + reports + after(1057, SECOND + 800))
    assert [(gap.start_frame, gap.frames, gap.cause) for gap in rendering.gaps] == [
        (SECOND, 800, GapCause.TELEPHONE_EVENT)
    ]
    assert wav_channels(tmp_path / "out.wav", 1)[0].tobytes()[SECOND + 800 :] == AUDIO[SECOND:]


def test_r9_an_event_longer_than_0xffff_is_reported_in_segments_without_a_gap(tmp_path: Path) -> None:
    first = event(1050, SECOND, [30_000, 0xFFFF])
    second = event(1052, SECOND + 0xFFFF, [1000, 2000, 2000, 2000])
    start = SECOND + 0xFFFF + 2000
    rendering = rendered(tmp_path, talk(AUDIO[:SECOND]) + first + second + after(1056, start))
    assert [(gap.start_frame, gap.frames, gap.cause) for gap in rendering.gaps] == [
        (SECOND, 0xFFFF + 2000, GapCause.TELEPHONE_EVENT)
    ]


def test_r9_jitter_is_computed_from_the_first_packet_of_an_event(tmp_path: Path) -> None:
    reports = event(1050, SECOND, [160 * n for n in range(1, 51)])
    rendering = rendered(tmp_path, talk(AUDIO[:SECOND]) + reports + after(1100, SECOND + 8000))
    assert rendering.streams[0].jitter_max_ms == 0.0


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x01\x0a\x03"])
def test_r9_a_report_that_is_cut_covers_nothing_and_harms_nothing(tmp_path: Path, payload: bytes) -> None:
    cut = Rtp(
        sequence_number=1050, timestamp=50_000 + SECOND, payload=payload, arrival_ms=1000, payload_type=101, marker=True
    )
    rendering = rendered(tmp_path, [*talk(AUDIO[:SECOND]), cut, *after(1051, SECOND)])
    assert rendering.gaps == []
    assert wav_channels(tmp_path / "out.wav", 1)[0].tobytes() == AUDIO
