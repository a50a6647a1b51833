"""Finished files as healing reads them, and their conversion."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from media.healing import SoundUnreadable, convert, open_sound
from media.pipeline.codec import Law
from media.pipeline.output import WavEncoding, WavFile
from media.pipeline.output.wav import wav_header
from media.pipeline.report import GapKind
from tests.unit.media.healing.copies import START_NS, copy, linear, talk


def test_each_channel_is_a_voice_with_its_coverage_and_gaps(tmp_path: Path) -> None:
    sound = copy(tmp_path, "a", [talk(0, 2), talk(1, 1)], lost={0: [(0.5, 0.7)]}, paused={1: [(0.2, 0.4)]})
    assert (sound.sample_rate, sound.law, sound.frames, sound.seconds) == (8000, Law.MULAW, 16_000, 2.0)
    left, right = sound.voices[0], sound.voices[1]
    assert left.audio.pairs() == [(0, 4000), (5600, 16_000)]
    assert right.audio.pairs() == [(0, 1600), (3200, 8000)]
    assert left.paused.pairs() == []
    assert right.paused.pairs() == [(1600, 3200)]
    assert [gap.kind for gap in left.gaps] == [GapKind.LOST]
    assert left.read(0, 4000).tobytes() == talk(0, 2)[:4000].tobytes()


@pytest.mark.parametrize(("law", "nothing"), [(Law.MULAW, 0xFF), (Law.ALAW, 0xD5), (None, 0)])
def test_beyond_its_ends_a_voice_is_silent(tmp_path: Path, law: Law | None, nothing: int) -> None:
    values = np.arange(1, 101, dtype=np.uint8) if law else np.arange(1, 101, dtype=np.int16)
    voice = copy(tmp_path, "a", [values], law=law).voices[0]
    found = voice.read(-10, 110)
    assert found[:10].tolist() == found[110:].tolist() == [nothing] * 10
    assert found[10:110].tolist() == values.tolist()
    assert voice.read(200, 210).tolist() == [nothing] * 10
    assert voice.read(10, 5).tolist() == []


def test_linear_reading_expands_the_codes(tmp_path: Path) -> None:
    voice = copy(tmp_path, "a", [talk(0, 1)]).voices[0]
    assert voice.read_linear(100, 200).tolist() == linear(talk(0, 1))[100:200].tolist()


def test_a_file_of_more_than_4_gib_is_read_where_it_says(tmp_path: Path) -> None:
    """RF64: the sizes stand in the ds64 chunk."""
    path = tmp_path / "large.wav"
    header = wav_header(WavEncoding.MULAW, 8000, 2, 3_000_000_000)
    with path.open("wb") as file:
        file.write(header)
        file.seek(len(header) + 5_999_999_998)
        file.write(b"\x12\x34")
    sound = open_sound(path, started_at_ns=START_NS, coverage={}, gaps=[])
    assert sound.frames == 3_000_000_000
    assert sound.voices[1].read(2_999_999_999, 3_000_000_000).tolist() == [0x34]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        b"fLaC" + bytes(40),
        b"RIFF\0\0\0\0WAVE",
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0",
        b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 3, 1, 8000, 32000, 4, 32),
        b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 7, 0, 8000, 0, 0, 8),
        b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 7, 1, 8000, 8000, 1, 8) + b"data\xff\0\0\0",
    ],
)
def test_what_is_no_lossless_wav_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(SoundUnreadable, match="file"):
        open_sound(path, started_at_ns=0, coverage={}, gaps=[])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SoundUnreadable):
        open_sound(tmp_path / "none.wav", started_at_ns=0, coverage={}, gaps=[])


def test_a_file_without_frames_is_empty(tmp_path: Path) -> None:
    WavFile(tmp_path / "empty.wav", WavEncoding.PCM16, 8000, 2, 0).close()
    assert open_sound(tmp_path / "empty.wav", started_at_ns=0, coverage={}, gaps=[]).frames == 0


def test_conversion_of_the_encoding_changes_no_sample(tmp_path: Path) -> None:
    sound = copy(tmp_path, "a", [talk(0, 45), talk(1, 45)], lost={0: [(1, 2)]})
    converted = convert(sound, 8000, tmp_path / "linear.wav")
    assert (converted.law, converted.frames) == (None, sound.frames)
    assert converted.started_at_ns == sound.started_at_ns
    for party, voice in sound.voices.items():
        assert converted.voices[party].audio.pairs() == voice.audio.pairs()
        assert converted.voices[party].gaps == voice.gaps
        assert np.array_equal(converted.voices[party].read(0, sound.frames), voice.read_linear(0, sound.frames))


def test_conversion_of_the_rate_keeps_places_and_makes_no_seams(tmp_path: Path) -> None:
    time = np.arange(45 * 8000) / 8000
    wave = np.rint(8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    sound = copy(tmp_path, "a", [wave], law=None, lost={0: [(1.0001, 2.0001)]})
    converted = convert(sound, 16_000, tmp_path / "wide.wav")
    assert (converted.sample_rate, converted.frames) == (16_000, 90 * 8000)
    assert converted.voices[0].audio.pairs() == [(0, 16_002), (32_002, 720_000)]
    found = converted.voices[0].read(18 * 16_000, 22 * 16_000).astype(float)
    ideal = 8000 * np.sin(2 * np.pi * 440 * (np.arange(18 * 16_000, 22 * 16_000) / 16_000))
    assert np.abs(found - ideal).max() < 40


def test_nothing_is_converted_twice(tmp_path: Path) -> None:
    sound = copy(tmp_path, "a", [linear(talk(0, 1))], law=None)
    assert convert(sound, 8000, tmp_path / "b.wav") is sound
    assert not (tmp_path / "b.wav").exists()
