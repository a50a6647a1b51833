"""Finished files in other forms, compared sample by sample with what went in; files are read by soundfile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from media.export import Channels, Conversion, ExportRefused, SoundUnreadable, convert, draw_waveform
from media.pipeline.codec import Law
from media.pipeline.codec.g711 import expand
from media.pipeline.errors import UnsupportedOutput
from media.pipeline.output.choice import open_sink
from media.pipeline.report import OutputFormat

FRAMES = 20_000


def master(folder: Path, format_: OutputFormat, *, channels: int = 2, rate: int = 8000) -> tuple[Path, np.ndarray]:
    """A finished file of the recorder's own writers and its interleaved frames."""
    random = np.random.default_rng(5)
    if format_ in (OutputFormat.WAV_MULAW, OutputFormat.WAV_ALAW):
        frames: np.ndarray = random.integers(0, 256, (FRAMES, channels), np.uint8)
    else:
        frames = random.integers(-20_000, 20_000, (FRAMES, channels), np.int16)
    path = folder / f"master{'.flac' if format_ is OutputFormat.FLAC else '.wav'}"
    sink = open_sink(format_, path, rate, channels, FRAMES)
    sink.write(frames)
    sink.close()
    return path, frames


def heard(path: Path) -> np.ndarray:
    """All frames as 16-bit samples, by libsndfile."""
    return np.asarray(soundfile.read(str(path), dtype="int16", always_2d=True)[0])


@pytest.mark.parametrize(("format_", "law"), [(OutputFormat.WAV_MULAW, Law.MULAW), (OutputFormat.WAV_ALAW, Law.ALAW)])
def test_one_party_of_g711_keeps_its_codes(tmp_path: Path, format_: OutputFormat, law: Law) -> None:
    source, frames = master(tmp_path, format_)
    made = convert(source, tmp_path / "out.wav", Conversion(channels=Channels.RIGHT))
    assert (made.format, made.channels, made.frames) == (format_, 1, FRAMES)
    data = (tmp_path / "out.wav").read_bytes()
    assert frames[:, 1].tobytes() in data
    assert (heard(tmp_path / "out.wav")[:, 0] == expand(frames[:, 1].copy(), law)).all()


@pytest.mark.parametrize("target", [OutputFormat.WAV_PCM16, OutputFormat.FLAC])
@pytest.mark.parametrize("source_format", [OutputFormat.WAV_MULAW, OutputFormat.WAV_PCM16, OutputFormat.FLAC])
def test_lossless_formats_keep_every_sample(tmp_path: Path, source_format: OutputFormat, target: OutputFormat) -> None:
    source, frames = master(tmp_path, source_format)
    out = tmp_path / ("out.flac" if target is OutputFormat.FLAC else "out.wav")
    convert(source, out, Conversion(format=target))
    expected = expand(frames, Law.MULAW) if source_format is OutputFormat.WAV_MULAW else frames
    assert (heard(out) == expected).all()


def test_a_mix_is_the_limited_sum(tmp_path: Path) -> None:
    source, frames = master(tmp_path, OutputFormat.WAV_PCM16)
    convert(source, tmp_path / "out.wav", Conversion(channels=Channels.MIX))
    expected = np.clip(frames.astype(np.int64).sum(axis=1), -32768, 32767)
    assert (heard(tmp_path / "out.wav")[:, 0] == expected).all()


def test_a_stretch_is_exact_to_the_sample(tmp_path: Path) -> None:
    source, frames = master(tmp_path, OutputFormat.WAV_PCM16)
    made = convert(source, tmp_path / "out.wav", Conversion(start_s=0.25, end_s=1.5))
    assert made.frames == 10_000
    assert (heard(tmp_path / "out.wav") == frames[2000:12_000]).all()


def test_a_stretch_of_flac(tmp_path: Path) -> None:
    source, frames = master(tmp_path, OutputFormat.FLAC)
    convert(source, tmp_path / "out.wav", Conversion(start_s=1.0, end_s=99.0))
    assert (heard(tmp_path / "out.wav") == frames[8000:]).all()


def test_blocks_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media.export.sound.BLOCK_FRAMES", 777)
    source, frames = master(tmp_path, OutputFormat.WAV_PCM16)
    shares: list[float] = []
    convert(source, tmp_path / "out.flac", Conversion(format=OutputFormat.FLAC), shares.append)
    assert (heard(tmp_path / "out.flac") == frames).all()
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_opus_has_the_length(tmp_path: Path) -> None:
    source, _ = master(tmp_path, OutputFormat.WAV_MULAW)
    convert(source, tmp_path / "out.opus", Conversion(format=OutputFormat.OGG_OPUS, channels=Channels.MIX))
    facts = soundfile.info(str(tmp_path / "out.opus"))
    assert facts.channels == 1
    assert facts.duration == pytest.approx(FRAMES / 8000, abs=0.05)


@pytest.mark.parametrize(
    ("wanted", "channels", "message"),
    [
        (Conversion(channels=Channels.RIGHT), 1, "one party only"),
        (Conversion(start_s=3.0), 2, "2.5 s long"),
        (Conversion(start_s=1.0, end_s=1.0), 2, "nothing between"),
        (Conversion(start_s=-1.0), 2, "nothing between"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path: Path, wanted: Conversion, channels: int, message: str) -> None:
    source, _ = master(tmp_path, OutputFormat.WAV_PCM16, channels=channels)
    with pytest.raises(ExportRefused, match=message):
        convert(source, tmp_path / "out.wav", wanted)
    assert not (tmp_path / "out.wav").exists()


def test_a_rate_that_opus_has_not_is_refused(tmp_path: Path) -> None:
    source, _ = master(tmp_path, OutputFormat.WAV_PCM16, rate=44_100)
    with pytest.raises(UnsupportedOutput):
        convert(source, tmp_path / "out.opus", Conversion(format=OutputFormat.OGG_OPUS))


@pytest.mark.parametrize("name", ["noise.wav", "noise.flac"])
def test_what_is_no_sound_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"noise" * 100)
    with pytest.raises(SoundUnreadable):
        convert(tmp_path / name, tmp_path / "out.wav", Conversion())


def test_the_picture_shows_where_there_is_sound(tmp_path: Path) -> None:
    frames = np.zeros((12_000, 2), np.int16)
    frames[:6000, 0] = 30_000
    frames[6000:, 1] = -30_000
    sink = open_sink(OutputFormat.WAV_PCM16, tmp_path / "a.wav", 8000, 2, len(frames))
    sink.write(frames)
    sink.close()
    draw_waveform(tmp_path / "a.wav", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert (image.format, image.size) == ("PNG", (1200, 240))
        paper = (255, 255, 255)
        above_left, above_right = [image.getpixel((column, 30)) for column in (300, 900)]
        below_left, below_right = [image.getpixel((column, 150)) for column in (300, 900)]
    assert (above_left != paper, above_right == paper) == (True, True)
    assert (below_left == paper, below_right != paper) == (True, True)
