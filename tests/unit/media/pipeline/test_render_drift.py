"""Two media clocks of different speed: parties stay together, and no sample is changed or lost."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from media.container import Codec, Stream
from media.pipeline import OutputFormat, Rendering, RenderOptions, render
from tests.unit.media.pipeline.codec.material import payloads
from tests.unit.media.pipeline.recordings import AUDIO_TYPES, CaptureFile, Rtp, sound, stream, talk, wav_channels

SECOND = 8000
OCTETS = 160
LONG = sound(200 * SECOND)


def drifting(audio: bytes, ppm: float, *, start_ms: float = 0.0) -> list[Rtp]:
    """A party whose clock is so much slower than the recorder's: its packets come ever later."""
    packets = talk(audio, ssrc=2, stream=1)
    return [replace(packet, arrival_ms=start_ms + packet.arrival_ms * (1 + ppm * 1e-6)) for packet in packets]


def rendered(folder: Path, packets: list[Rtp], *, correct_drift: bool = True) -> Rendering:
    capture = CaptureFile(packets=packets).write(folder)
    return render([capture], folder / "out.wav", RenderOptions(correct_drift=correct_drift))


def places(folder: Path, packets: list[Rtp], channel: int = 1) -> list[int]:
    """Where each packet begins in the file; all of its samples but the last must be there, in their order."""
    audio = wav_channels(folder / "out.wav")[channel].tobytes()
    found, near = [], 0
    for packet in packets:
        near = audio.index(packet.payload[:-1], near)
        found.append(near)
    return found


@pytest.mark.parametrize("ppm", [150.0, -150.0, 400.0])
def test_packets_of_both_parties_lie_where_they_came(tmp_path: Path, ppm: float) -> None:
    fast = drifting(LONG, ppm)
    rendering = rendered(tmp_path, talk(LONG) + fast)
    found = np.array(places(tmp_path, fast))
    due = np.array([packet.arrival_ms for packet in fast]) * 8
    assert np.ptp(found - due) <= 2
    assert set(np.diff(found)) == {OCTETS, OCTETS + (1 if ppm > 0 else -1)}
    others = np.array(places(tmp_path, talk(LONG), 0))
    assert set(np.diff(others)) == {OCTETS}
    # Both by arrival: within half a millisecond, from the first packet to the last.
    assert np.abs((found - due) - others[0]).max() <= 4
    assert rendering.gaps == []
    (warning,) = rendering.warnings
    count = round(abs(ppm) * 1e-6 * len(LONG))
    assert warning.startswith("drift-corrected: party 1: ")
    assert abs(int(warning.split()[3]) - count) <= 1


def test_a_slip_repeats_the_sample_before_it(tmp_path: Path) -> None:
    fast = drifting(LONG, 150.0)
    rendered(tmp_path, talk(LONG) + fast)
    audio = wav_channels(tmp_path / "out.wav")[1].tobytes()
    found = places(tmp_path, fast)
    slipped = [place + OCTETS for place, after in itertools.pairwise(found) if after - place > OCTETS]
    assert len(slipped) > 200
    assert all(audio[place] == audio[place - 1] for place in slipped)


def test_a_party_that_joins_late_is_placed_by_the_clock_of_the_other(tmp_path: Path) -> None:
    # Both clocks are slow alike: their order in time is the senders', and nothing has to slip.
    slow = [replace(packet, arrival_ms=packet.arrival_ms * (1 + 300e-6)) for packet in talk(LONG)]
    late = LONG[120 * SECOND :]
    packets = drifting(late, 300.0, start_ms=120_000 * (1 + 300e-6))
    rendering = rendered(tmp_path, slow + packets)
    assert abs(places(tmp_path, packets)[0] - 120 * SECOND) <= 2
    assert rendering.warnings == []


@pytest.mark.parametrize("ppm", [0.0, 30.0])
def test_what_nobody_hears_moves_nothing(tmp_path: Path, ppm: float) -> None:
    fast = drifting(LONG, ppm)
    rendering = rendered(tmp_path, talk(LONG) + fast)
    assert LONG in wav_channels(tmp_path / "out.wav")[1].tobytes()
    assert rendering.warnings == []


def test_jitter_is_no_drift(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    late = np.maximum.accumulate(np.arange(len(LONG) // OCTETS) * 20 + generator.exponential(40, len(LONG) // OCTETS))
    packets = [replace(packet, arrival_ms=float(time)) for packet, time in zip(drifting(LONG, 0.0), late, strict=True)]
    rendering = rendered(tmp_path, talk(LONG) + packets)
    assert LONG in wav_channels(tmp_path / "out.wav")[1].tobytes()
    assert rendering.warnings == []


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    rendering = rendered(tmp_path, talk(LONG) + drifting(LONG, -200.0), correct_drift=False)
    left, right = (wav_channels(tmp_path / "out.wav")[channel].tobytes().index(LONG) for channel in (0, 1))
    # 40 ms, half of it at either end.
    assert abs(left - right) == pytest.approx(160, abs=20)
    assert rendering.streams[1].drift_ppm == pytest.approx(-200, abs=1)


def test_frames_of_a_decoder_slip_as_well(tmp_path: Path) -> None:
    frames = payloads("gsm.rtp") * 200
    packets = [
        Rtp(sequence_number=number, timestamp=number * 160, payload=frame, arrival_ms=number * 20 * (1 + 200e-6),
            ssrc=2, payload_type=3, stream=1)
        for number, frame in enumerate(frames)
    ]  # fmt: skip
    types = {**AUDIO_TYPES, 3: Codec(name="GSM", clock_rate=8000)}
    streams = (stream(0), Stream(index=1, party=1, label="gsm", payload_types=types, recording=True))
    capture = CaptureFile(packets=talk(LONG) + packets, streams=streams).write(tmp_path)
    sounds = {}
    for corrects in (True, False):
        options = RenderOptions(format=OutputFormat.WAV_PCM16, correct_drift=corrects)
        rendering = render([capture], tmp_path / "out.wav", options)
        assert [warning.split(":")[0] for warning in rendering.warnings] == ["drift-corrected"] * corrects
        sounds[corrects] = soundfile.read(tmp_path / "out.wav", dtype="int16", always_2d=True)[0][:, 1]
    corrected, plain = sounds[True], np.trim_zeros(sounds[False])
    # Taking the repeated samples out gives what was decoded.
    at = int(np.flatnonzero(corrected)[0])
    for value in plain.tolist():
        while corrected[at] != value:
            assert corrected[at] == corrected[at - 1]
            at += 1
        at += 1
    assert not corrected[at:].any()
