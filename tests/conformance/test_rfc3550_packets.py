"""RFC 3550 §5.1, §8.2 and appendix A.1 to A.3, sentence by sentence (checklist R2, R3, R7)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from media.pipeline import Rendering, render
from media.rtp.ordering import Resequencer
from media.rtp.sequence import MAX_DROPOUT, MAX_MISORDER, extend_sequence_numbers
from media.rtp.source import STRAY, Located, SourceTracker
from tests.unit.media.pipeline.recordings import CaptureFile, Rtp, sound, stream, talk, wav_channels

SECOND = 8000


def located(packets: list[Rtp]) -> Located:
    return SourceTracker(8000).locate(
        np.array([packet.sequence_number % 65536 for packet in packets], np.uint16),
        np.array([packet.timestamp % 2**32 for packet in packets], np.uint32),
        np.array([len(packet.payload) for packet in packets], np.int64),
        np.array([int(packet.arrival_ms * 1e6) for packet in packets], np.int64),
        final=True,
    )


def rendered(folder: Path, packets: list[Rtp]) -> tuple[Rendering, bytes]:
    rendering = render([CaptureFile(packets=packets, streams=[stream(0)]).write(folder)], folder / "out.wav")
    return rendering, wav_channels(folder / "out.wav", 1)[0].tobytes()


def test_r2_the_sequence_number_may_be_used_by_the_receiver_to_detect_packet_loss_and_to_restore_packet_sequence(
    tmp_path: Path,
) -> None:
    audio = sound(SECOND)
    packets = talk(audio)
    packets[10], packets[11] = (
        replace(packets[11], arrival_ms=packets[10].arrival_ms),
        replace(packets[10], arrival_ms=packets[11].arrival_ms),
    )
    del packets[20]
    rendering, heard = rendered(tmp_path, packets)
    assert heard == audio[:3200] + b"\xff" * 160 + audio[3360:]
    assert (rendering.streams[0].lost, rendering.streams[0].late) == (1, 1)


def test_r2_sequence_number_wrapped_count_another_64k_cycle() -> None:
    numbers = np.array([65534, 65535, 0, 1], np.uint16)
    assert extend_sequence_numbers(numbers, 65533).tolist() == [65534, 65535, 65536, 65537]


def test_r2_in_order_with_permissible_gap() -> None:
    packets = talk(sound(100 * SECOND))
    result = located(packets[:10] + packets[10 + MAX_DROPOUT - 2 :])
    assert set(result.runs.tolist()) == {0}


def test_r2_duplicate_or_reordered_packet() -> None:
    packets = talk(sound(10 * SECOND))
    late = replace(packets[100], arrival_ms=packets[100 + MAX_MISORDER - 1].arrival_ms)
    result = located([*packets[: 100 + MAX_MISORDER], late, *packets[100 + MAX_MISORDER :]])
    assert set(result.runs.tolist()) == {0}
    assert result.extended_sequence_numbers[100 + MAX_MISORDER] - result.extended_sequence_numbers[0] == 100


def test_r2_two_sequential_packets_assume_that_the_other_side_restarted_without_telling_us() -> None:
    packets = talk(sound(SECOND))
    restarted = talk(sound(320), sequence=40_000, timestamp=900_000_000, start_ms=1000)
    assert located(packets + restarted).runs.tolist() == [0] * 50 + [1, 1]


def test_r2_a_very_large_jump_that_nothing_follows_is_not_valid() -> None:
    packets = talk(sound(SECOND))
    jump = replace(packets[25], sequence_number=40_000, timestamp=900_000_000)
    assert located([*packets[:25], jump, *packets[25:]]).runs[25] == STRAY


def test_r2_the_packet_loss_statistics_are_reset_by_a_restart(tmp_path: Path) -> None:
    packets = talk(sound(SECOND)) + talk(sound(SECOND), sequence=40_000, timestamp=900_000_000, start_ms=1000)
    assert rendered(tmp_path, packets)[0].streams[0].lost == 0


def test_r2_consecutive_rtp_packets_will_have_equal_timestamps_or_gaps_and_the_timestamp_wraps(tmp_path: Path) -> None:
    audio = sound(4 * SECOND)
    _, heard = rendered(tmp_path, talk(audio, timestamp=2**32 - 2 * SECOND - 77))
    assert heard == audio


def test_r3_all_packets_with_the_same_ssrc_form_part_of_the_same_timing_and_sequence_number_space(
    tmp_path: Path,
) -> None:
    audio = sound(2 * SECOND)
    other = talk(audio[SECOND:], ssrc=0xABCD, sequence=1050, timestamp=50_000 + SECOND, start_ms=1000)
    rendering, heard = rendered(tmp_path, talk(audio[:SECOND]) + other)
    assert heard == audio
    assert rendering.streams[0].ssrcs == [0x1000, 0xABCD]


def test_r7_expected_is_the_difference_between_the_highest_and_the_first_sequence_number_received() -> None:
    resequencer = Resequencer()
    numbers = np.array([65_530, 65_540, 65_535], np.int64)
    resequencer.order(np.zeros(3, np.int32), numbers, flush=True)
    assert resequencer.lost == 65_540 - 65_530 + 1 - 3


def test_r7_lost_does_not_count_a_duplicate_as_a_packet_that_came() -> None:
    resequencer = Resequencer()
    resequencer.order(np.zeros(4, np.int32), np.array([10, 10, 10, 13], np.int64), flush=True)
    # RFC 3550 A.3 would subtract duplicates from the loss; evidence of loss must not shrink by them.
    assert resequencer.lost == 2
