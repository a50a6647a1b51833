"""RFC 3389, comfort noise: a timestamp gap is silence, not loss (checklist R10)."""

from __future__ import annotations

from pathlib import Path

from media.pipeline import GapCause, GapKind, Rendering, render
from tests.unit.media.pipeline.recordings import CaptureFile, Rtp, sound, stream, talk

SECOND = 8000


def rendered(folder: Path, noise: list[Rtp], resumed: int) -> Rendering:
    """A second of speech, comfort noise, silence, and speech again from sequence number `resumed` at 4 s."""
    packets = talk(sound(SECOND)) + noise
    packets += talk(sound(SECOND, 2), sequence=resumed, timestamp=50_000 + 4 * SECOND, start_ms=4000)
    return render([CaptureFile(packets=packets, streams=[stream(0)]).write(folder)], folder / "out.wav")


def noise_at(sequence: int, second: float) -> Rtp:
    return Rtp(
        sequence_number=sequence,
        timestamp=50_000 + int(second * SECOND),
        payload=b"\x4e\x10",
        arrival_ms=second * 1000,
        payload_type=13,
    )


def test_r10_the_receiver_can_detect_silence_suppression_by_observing_that_the_timestamp_is_not_contiguous(
    tmp_path: Path,
) -> None:
    rendering = rendered(tmp_path, [], 1050)
    assert [(gap.kind, gap.cause, gap.frames) for gap in rendering.gaps] == [
        (GapKind.SILENT, GapCause.NOT_SENT, 3 * SECOND)
    ]
    assert rendering.streams[0].lost == 0


def test_r10_the_cn_payload_may_update_the_noise_during_a_silence(tmp_path: Path) -> None:
    rendering = rendered(tmp_path, [noise_at(1050, 1.0), noise_at(1051, 2.0), noise_at(1052, 3.0)], 1053)
    assert [(gap.kind, gap.cause, gap.start_frame, gap.frames) for gap in rendering.gaps] == [
        (GapKind.SILENT, GapCause.COMFORT_NOISE, SECOND, 3 * SECOND)
    ]


def test_r10_a_packet_missing_inside_the_silence_is_still_told(tmp_path: Path) -> None:
    rendering = rendered(tmp_path, [noise_at(1050, 1.0), noise_at(1052, 3.0)], 1053)
    assert rendering.streams[0].lost == 1
    assert sum(gap.frames for gap in rendering.gaps if gap.kind is GapKind.LOST) == 160
