"""Captures rendered to files, compared sample by sample."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from media.pipeline import (
    GapCause,
    GapKind,
    OutputFormat,
    Rendering,
    RenderingKind,
    RenderOptions,
    render,
)
from media.pipeline.gaps import KIND_OF, STRENGTH
from tests.unit.media.pipeline.recordings import START_NS, CaptureFile, sound, stream, talk, wav_channels


def gaps(rendering: Rendering) -> list[tuple[int, int, int, str]]:
    return [(gap.party, gap.start_frame, gap.frames, str(gap.cause)) for gap in rendering.gaps]


def codes(audio: bytes) -> list[int]:
    return list(audio)


def test_two_parties_come_out_bit_exact_in_two_channels(tmp_path: Path) -> None:
    left, right = sound(16_000, 1), sound(16_000, 2)
    packets = talk(left) + talk(right, ssrc=0x2000, stream=1, timestamp=2**32 - 800, sequence=65_530)
    capture = CaptureFile(packets=packets).write(tmp_path)
    target = tmp_path / "out.wav"
    rendering = render([capture], target)
    assert (rendering.format, rendering.sample_rate, rendering.channels) == (OutputFormat.WAV_MULAW, 8000, 2)
    assert (rendering.frames, rendering.duration_s, rendering.started_at_ns) == (16_000, 2.0, START_NS - 20_000_000)
    assert (rendering.gaps, rendering.warnings, rendering.complete) == ([], [], True)
    first, second = wav_channels(target)
    assert first.tobytes() == left
    assert second.tobytes() == right


def test_a_law_is_kept_as_a_law(tmp_path: Path) -> None:
    audio = sound(8000)
    packets = talk(audio, payload_type=8)
    rendering = render([CaptureFile(packets=packets, streams=[stream(0)]).write(tmp_path)], tmp_path / "out.wav")
    assert (rendering.format, rendering.channels) == (OutputFormat.WAV_ALAW, 1)
    assert wav_channels(tmp_path / "out.wav", 1)[0].tobytes() == audio


def test_a_lost_packet_keeps_its_place_and_is_declared(tmp_path: Path) -> None:
    audio = sound(8000)
    packets = [packet for packet in talk(audio) if packet.sequence_number not in (1010, 1011, 1030)]
    rendering = render([CaptureFile(packets=packets, streams=[stream(0)]).write(tmp_path)], tmp_path / "out.wav")
    assert gaps(rendering) == [(0, 1600, 320, "network"), (0, 4800, 160, "network")]
    assert {gap.kind for gap in rendering.gaps} == {GapKind.LOST}
    expected = bytearray(audio)
    expected[1600:1920] = b"\xff" * 320
    expected[4800:4960] = b"\xff" * 160
    assert wav_channels(tmp_path / "out.wav", 1)[0].tobytes() == bytes(expected)
    quality = rendering.streams[0]
    assert (quality.packets, quality.lost, quality.duplicates, quality.late) == (47, 3, 0, 0)
    assert quality.longest_gap_ms == 40.0


def test_an_empty_capture_gives_no_file(tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    rendering = render([CaptureFile().write(tmp_path)], target)
    assert (rendering.kind, rendering.frames) == (RenderingKind.NO_MEDIA, 0)
    assert not target.exists()


def test_a_rendering_is_json(tmp_path: Path) -> None:
    packets = talk(sound(8000))[::2]
    rendering = render([CaptureFile(packets=packets).write(tmp_path)], tmp_path / "out.wav")
    again = msgspec.json.decode(msgspec.json.encode(rendering), type=Rendering)
    assert again == rendering


@pytest.mark.parametrize("format_", [OutputFormat.WAV_PCM16, OutputFormat.FLAC, OutputFormat.OGG_OPUS])
def test_the_same_captures_give_the_same_bytes(tmp_path: Path, format_: OutputFormat) -> None:
    capture = CaptureFile(packets=talk(sound(40_000))).write(tmp_path)
    options = RenderOptions(format=format_)
    for name in ("one", "two"):
        render([capture], tmp_path / name, options)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_an_absent_party_is_declared(tmp_path: Path) -> None:
    rendering = render([CaptureFile(packets=talk(sound(80_000))).write(tmp_path)], tmp_path / "out.wav")
    assert gaps(rendering) == [(1, 0, 80_000, "no-media")]
    assert np.all(wav_channels(tmp_path / "out.wav")[1] == 0xFF)
    assert [warning.split(":")[0] for warning in rendering.warnings] == ["one-way"]


def test_causes_all_have_a_kind() -> None:
    assert set(KIND_OF) == set(GapCause) == set(STRENGTH)
