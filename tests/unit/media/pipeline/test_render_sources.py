"""Sources that come, go, restart, overlap and change codec: all of them are kept, each in its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from media.container import Clock, RecordFlag
from media.pipeline import OutputFormat, Rendering, RenderOptions, render
from media.pipeline.codec import Law
from media.pipeline.codec.g711 import compress, expand
from tests.unit.media.pipeline.recordings import CaptureFile, Rtp, at, sound, stream, talk, wav_channels

SECOND = 8000


def rendered(folder: Path, *captures: CaptureFile, options: RenderOptions | None = None) -> Rendering:
    return render([capture.write(folder) for capture in captures], folder / "out.wav", options)


def alone(packets: list[Rtp], **more: object) -> CaptureFile:
    return CaptureFile(packets=packets, streams=[stream(0)], **more)  # type: ignore[arg-type]


def mono(folder: Path) -> bytes:
    return wav_channels(folder / "out.wav", 1)[0].tobytes()


def causes(rendering: Rendering, party: int = 0) -> list[tuple[int, int, str]]:
    return [(gap.start_frame, gap.frames, str(gap.cause)) for gap in rendering.gaps if gap.party == party]


def test_a_new_ssrc_is_a_new_source_and_both_are_kept(tmp_path: Path) -> None:
    audio = sound(2 * SECOND)
    packets = talk(audio[:SECOND]) + talk(
        audio[SECOND:], ssrc=0x9999, sequence=7, timestamp=4_000_000_000, start_ms=1000
    )
    rendering = rendered(tmp_path, alone(packets))
    assert mono(tmp_path) == audio
    assert rendering.gaps == []
    assert (rendering.streams[0].ssrcs, rendering.streams[0].lost) == ([0x1000, 0x9999], 0)


@pytest.mark.parametrize("off_ms", [-30, 30])
def test_sources_that_nearly_meet_are_put_end_to_end(tmp_path: Path, off_ms: int) -> None:
    audio = sound(2 * SECOND)
    packets = talk(audio[:SECOND]) + talk(audio[SECOND:], ssrc=0x9999, start_ms=1000 + off_ms)
    rendering = rendered(tmp_path, alone(packets))
    assert mono(tmp_path) == audio
    assert rendering.gaps == []


def test_a_break_between_sources_is_declared(tmp_path: Path) -> None:
    packets = talk(sound(SECOND)) + talk(sound(SECOND), ssrc=0x9999, start_ms=1500)
    assert causes(rendered(tmp_path, alone(packets))) == [(SECOND, SECOND // 2, "source-change")]


def test_sources_that_sound_together_are_mixed(tmp_path: Path) -> None:
    first, second = sound(2 * SECOND, 1), sound(2 * SECOND, 2)
    packets = talk(first) + talk(second, ssrc=0x9999, start_ms=1000)
    rendering = rendered(tmp_path, alone(sorted(packets, key=lambda packet: packet.arrival_ms)))
    heard = mono(tmp_path)
    assert heard[:SECOND] == first[:SECOND]
    assert heard[2 * SECOND :] == second[SECOND:]
    one, other = (
        expand(np.frombuffer(part, np.uint8), Law.MULAW).astype(int) for part in (first[SECOND:], second[:SECOND])
    )
    total = np.clip(one + other, -32768, 32767).astype(np.int16)
    assert heard[SECOND : 2 * SECOND] == compress(total, Law.MULAW).tobytes()
    assert [warning.split(":")[0] for warning in rendering.warnings] == ["overlap"]


def test_a_restart_with_the_same_ssrc_is_kept(tmp_path: Path) -> None:
    audio = sound(2 * SECOND)
    packets = talk(audio[:SECOND]) + talk(audio[SECOND:], sequence=60_000, timestamp=9, start_ms=1000)
    rendering = rendered(tmp_path, alone(packets))
    assert mono(tmp_path) == audio
    assert (rendering.streams[0].restarts, rendering.streams[0].lost) == (1, 0)


def test_a_restart_of_the_sequence_alone_stays_sample_exact(tmp_path: Path) -> None:
    audio = sound(2 * SECOND)
    packets = talk(audio[:SECOND]) + talk(audio[SECOND:], sequence=900, timestamp=50_000 + SECOND, start_ms=1013)
    rendering = rendered(tmp_path, alone(packets))
    assert mono(tmp_path) == audio
    assert rendering.streams[0].lost == 0


def test_a_media_clock_that_stood_still_during_hold_moves_on_with_the_wall_clock(tmp_path: Path) -> None:
    audio = sound(2 * SECOND)
    packets = talk(audio[:SECOND]) + talk(audio[SECOND:], sequence=1050, timestamp=50_000 + SECOND, start_ms=31_000)
    rendering = rendered(tmp_path, alone(packets))
    assert rendering.frames == 32 * SECOND
    assert causes(rendering) == [(SECOND, 30 * SECOND, "source-change")]


def test_a_stray_packet_is_counted_and_not_heard(tmp_path: Path) -> None:
    audio = sound(2 * SECOND)
    packets = talk(audio)
    packets.insert(50, replace(packets[50], sequence_number=41_000, timestamp=3_333_333_333))
    rendering = rendered(tmp_path, alone(packets))
    assert mono(tmp_path) == audio
    assert rendering.streams[0].strays == 1


def test_every_packet_has_its_own_size(tmp_path: Path) -> None:
    audio = sound(SECOND)
    packets, position = [], 0
    for number, size in enumerate([160, 80, 240, 1, 37, 480, 160, 3, 799] * 5):
        chunk = audio[position : position + size]
        if chunk:
            packets.append(
                Rtp(sequence_number=number, timestamp=position, payload=chunk, arrival_ms=(position + len(chunk)) / 8)
            )
        position += size
    rendering = rendered(tmp_path, alone(packets))
    assert mono(tmp_path) == audio
    assert rendering.gaps == []


def test_a_codec_change_in_the_middle_decodes_each_packet_by_its_type(tmp_path: Path) -> None:
    audio = sound(2 * SECOND)
    packets = talk(audio[:SECOND]) + talk(
        audio[SECOND:], payload_type=8, sequence=1050, timestamp=50_000 + SECOND, start_ms=1000
    )
    rendering = rendered(tmp_path, alone(packets))
    assert rendering.format is OutputFormat.WAV_PCM16
    heard = np.frombuffer((tmp_path / "out.wav").read_bytes()[44:], "<i2")
    codes = np.frombuffer(audio, np.uint8)
    assert heard[:SECOND].tolist() == expand(codes[:SECOND], Law.MULAW).tolist()
    assert heard[SECOND:].tolist() == expand(codes[SECOND:], Law.ALAW).tolist()
    assert rendering.streams[0].codecs == ["PCMA/8000", "PCMU/8000"]


def test_reordered_and_duplicated_packets_stand_once_in_their_places(tmp_path: Path) -> None:
    audio = sound(4 * SECOND)
    packets = talk(audio)
    order = np.arange(len(packets)) + np.random.default_rng(5).normal(0, 8, len(packets))
    shuffled = [packets[number] for number in np.argsort(order)]
    times = sorted(packet.arrival_ms for packet in packets)
    arrived = [replace(packet, arrival_ms=time) for packet, time in zip(shuffled, times, strict=True)]
    arrived += [replace(packet, arrival_ms=packet.arrival_ms + 90) for packet in packets[::10]]
    arrived.sort(key=lambda packet: packet.arrival_ms)
    rendering = rendered(tmp_path, alone(arrived))
    quality = rendering.streams[0]
    assert mono(tmp_path) == audio
    assert rendering.gaps == []
    assert (quality.packets, quality.duplicates, quality.lost) == (220, 20, 0)
    assert quality.late > 50


def test_a_packet_of_the_far_past_still_fills_its_gap(tmp_path: Path) -> None:
    audio = sound(20 * SECOND)
    packets = talk(audio)
    late = packets.pop(100)
    packets.append(replace(late, arrival_ms=packets[550].arrival_ms))
    packets.sort(key=lambda packet: packet.arrival_ms)
    rendering = rendered(tmp_path, alone(packets))
    assert mono(tmp_path) == audio
    assert rendering.gaps == []


def test_a_takeover_by_another_writer_joins_to_the_sample(tmp_path: Path) -> None:
    audio = sound(6 * SECOND)
    packets = talk(audio, sequence=65_400, timestamp=2**32 - 20_000)
    first = alone(packets[:120], end=None)
    second = alone(packets[150:], session="2" * 32, writer="writer-2", opened_ms=2950.0)
    rendering = rendered(tmp_path, first, second)
    expected = audio[: 120 * 160] + b"\xff" * 30 * 160 + audio[150 * 160 :]
    assert mono(tmp_path) == expected
    assert causes(rendering) == [(120 * 160, 30 * 160, "writer-failover")]
    assert rendering.streams[0].lost == 30
    assert not rendering.complete
    assert [segment.complete for segment in rendering.segments] == [False, True]


def test_packets_that_two_captures_hold_are_heard_once(tmp_path: Path) -> None:
    audio = sound(60 * SECOND)
    packets = talk(audio)
    first = alone(packets[:2000], end=None)
    second = alone(
        [replace(packet, flags=RecordFlag.RECOVERED) for packet in packets[1500:2000]] + packets[2000:],
        session="2" * 32,
        writer="writer-2",
        opened_ms=40_000.0,
    )
    rendering = rendered(tmp_path, first, second)
    assert mono(tmp_path) == audio
    assert rendering.gaps == []
    assert (rendering.streams[0].duplicates, rendering.streams[0].lost) == (500, 0)


def test_the_order_in_which_captures_are_named_does_not_matter(tmp_path: Path) -> None:
    packets = talk(sound(6 * SECOND))
    paths = [
        alone(packets[:120], end=None).write(tmp_path),
        alone(packets[120:], session="2" * 32, writer="writer-2", opened_ms=2400.0).write(tmp_path),
    ]
    one = render(paths, tmp_path / "one.wav")
    other = render(paths[::-1], tmp_path / "other.wav")
    assert one == other
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "other.wav").read_bytes()


def test_the_next_session_of_a_recording_follows_by_wall_clock(tmp_path: Path) -> None:
    first = alone(talk(sound(2 * SECOND)), ended_ms=2000.0)
    second = alone(talk(sound(SECOND, 3), ssrc=0x77, start_ms=5000), session="2" * 32, opened_ms=4500.0)
    rendering = rendered(tmp_path, first, second)
    assert rendering.frames == 6 * SECOND
    # The first session ended 20 ms after its last packet, the second one opened half a second before its first.
    assert causes(rendering) == [
        (2 * SECOND, 160, "source-change"),
        (2 * SECOND + 160, 20_000, "no-session"),
        (5 * SECOND - 3840, 3840, "source-change"),
    ]
    assert mono(tmp_path)[5 * SECOND :] == sound(SECOND, 3)


def test_a_capture_that_was_cut_is_rendered_to_its_last_whole_block(tmp_path: Path) -> None:
    audio = sound(4 * SECOND)
    path = alone(talk(audio), end=None).write(tmp_path)
    path.write_bytes(path.read_bytes()[:-900])
    rendering = render([path], tmp_path / "out.wav")
    heard = mono(tmp_path)
    assert len(heard) == 4 * SECOND - 10 * 160
    assert audio.startswith(heard)
    assert (rendering.complete, rendering.segments[0].damage) == (False, "cut-body")
    assert rendering.warnings == [f"capture-incomplete: {'0' * 31}1: damage cut-body"]


def test_a_file_that_is_no_capture_is_left_out(tmp_path: Path) -> None:
    audio = sound(SECOND)
    (tmp_path / "other.tcap").write_bytes(b"RIFF" * 30)
    rendering = render([tmp_path / "other.tcap", alone(talk(audio)).write(tmp_path)], tmp_path / "out.wav")
    assert mono(tmp_path) == audio
    assert not rendering.complete
    assert rendering.warnings == ["capture-unreadable: other.tcap is not a capture and was left out"]


@pytest.mark.parametrize("step_ms", [-7_200_000, -3000, 4000])
def test_a_step_of_the_wall_clock_moves_no_audio(tmp_path: Path, step_ms: int) -> None:
    left, right = sound(6 * SECOND, 1), sound(6 * SECOND, 2)
    packets = talk(left) + talk(right[: 5 * SECOND], ssrc=0x2000, stream=1, start_ms=1000)
    moved = [
        replace(packet, arrival_ms=packet.arrival_ms + (step_ms if packet.arrival_ms >= 3000 else 0))
        for packet in sorted(packets, key=lambda packet: packet.arrival_ms)
    ]
    clock = Clock(at_ns=at(3050 + step_ms), step_ns=step_ms * 1_000_000)
    capture = CaptureFile(packets=moved, events=[clock], in_order=True)
    rendering = rendered(tmp_path, capture)
    first, second = wav_channels(tmp_path / "out.wav")
    assert rendering.frames == 6 * SECOND
    assert first.tobytes() == left
    assert second.tobytes()[SECOND:] == right[: 5 * SECOND]


def test_a_source_for_each_packet_does_not_fill_the_memory(tmp_path: Path) -> None:
    flood = [
        Rtp(sequence_number=n, timestamp=n, payload=b"\1" * 10, arrival_ms=n, ssrc=n + 5_000_000) for n in range(1500)
    ]
    rendering = rendered(tmp_path, alone(flood))
    assert [warning.split(":")[0] for warning in rendering.warnings] == ["too-many-sources", "overlap"]


def test_late_sources_do_not_hold_back_the_output(tmp_path: Path) -> None:
    packets = talk(sound(SECOND)) + talk(
        sound(SECOND), sequence=1050, timestamp=50_000 + 900 * SECOND, start_ms=900_000
    )
    rendering = rendered(tmp_path, alone(packets))
    assert rendering.frames == 901 * SECOND
    assert causes(rendering) == [(SECOND, 899 * SECOND, "not-sent")]
