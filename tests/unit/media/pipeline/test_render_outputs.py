"""Formats, layouts and rates, read back by independent readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from media.container import Codec, Stream
from media.pipeline import (
    Layout,
    OutputFailed,
    OutputFormat,
    Rendering,
    RenderOptions,
    UnsupportedOutput,
    render,
)
from media.pipeline.codec import Law
from media.pipeline.codec.g711 import compress, expand
from tests.unit.media.pipeline.recordings import CaptureFile, Rtp, sound, stream, talk, wav_channels

SECOND = 8000
LEFT, RIGHT = sound(3 * SECOND, 1), sound(3 * SECOND, 2)


def samples(audio: bytes, law: Law = Law.MULAW) -> list[int]:
    return [int(sample) for sample in expand(np.frombuffer(audio, np.uint8), law)]


def conversation(folder: Path) -> Path:
    return CaptureFile(packets=talk(LEFT) + talk(RIGHT, ssrc=0x2000, stream=1)).write(folder)


def rendered(folder: Path, options: RenderOptions) -> Rendering:
    return render([conversation(folder)], folder / "out", options)


@pytest.mark.parametrize("format_", [OutputFormat.WAV_PCM16, OutputFormat.FLAC])
def test_linear_formats_hold_the_decoded_samples(tmp_path: Path, format_: OutputFormat) -> None:
    rendering = rendered(tmp_path, RenderOptions(format=format_))
    read, rate = soundfile.read(tmp_path / "out", dtype="int16")
    assert (rendering.format, rate) == (format_, 8000)
    assert read[:, 0].tolist() == samples(LEFT)
    assert read[:, 1].tolist() == samples(RIGHT)


def test_the_default_is_read_by_libsndfile(tmp_path: Path) -> None:
    rendered(tmp_path, RenderOptions())
    read, _ = soundfile.read(tmp_path / "out", dtype="int16")
    assert read[:, 0].tolist() == samples(LEFT)
    assert read[:, 1].tolist() == samples(RIGHT)


def test_one_law_can_be_written_as_the_other(tmp_path: Path) -> None:
    rendered(tmp_path, RenderOptions(format=OutputFormat.WAV_ALAW))
    expected = compress(expand(np.frombuffer(LEFT, np.uint8), Law.MULAW), Law.ALAW)
    assert wav_channels(tmp_path / "out")[0].tobytes() == expected.tobytes()


def test_opus_has_the_length_of_the_timeline(tmp_path: Path) -> None:
    rendering = rendered(tmp_path, RenderOptions(format=OutputFormat.OGG_OPUS))
    assert soundfile.info(tmp_path / "out").duration == rendering.duration_s == 3.0


def test_the_mix_is_the_sum_of_the_parties(tmp_path: Path) -> None:
    rendering = rendered(tmp_path, RenderOptions(format=OutputFormat.WAV_PCM16, layout=Layout.MIX))
    read, _ = soundfile.read(tmp_path / "out", dtype="int16")
    total = np.clip(np.array(samples(LEFT)) + np.array(samples(RIGHT)), -32768, 32767)
    assert rendering.channels == 1
    assert read.tolist() == total.tolist()


def test_the_mix_in_the_default_format_is_encoded_again(tmp_path: Path) -> None:
    rendering = rendered(tmp_path, RenderOptions(layout=Layout.MIX))
    total = np.clip(np.array(samples(LEFT)) + np.array(samples(RIGHT)), -32768, 32767).astype(np.int16)
    assert rendering.format is OutputFormat.WAV_MULAW
    assert wav_channels(tmp_path / "out", 1)[0].tobytes() == compress(total, Law.MULAW).tobytes()


@pytest.mark.parametrize(("party", "audio"), [(0, LEFT), (1, RIGHT)])
@pytest.mark.parametrize("layout", list(Layout))
def test_a_single_party_stays_bit_exact(tmp_path: Path, party: int, audio: bytes, layout: Layout) -> None:
    rendering = rendered(tmp_path, RenderOptions(party=party, layout=layout))
    assert [report.party for report in rendering.parties] == [party]
    assert wav_channels(tmp_path / "out", 1)[0].tobytes() == audio


def test_a_party_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOutput, match="no party 2"):
        rendered(tmp_path, RenderOptions(party=2))


def test_a_party_number_beyond_reason_is_refused(tmp_path: Path) -> None:
    capture = CaptureFile(packets=talk(LEFT), streams=[stream(0, party=900)]).write(tmp_path)
    with pytest.raises(UnsupportedOutput, match="party 900"):
        render([capture], tmp_path / "out")


def test_another_sample_rate_is_resampled(tmp_path: Path) -> None:
    rendering = rendered(tmp_path, RenderOptions(sample_rate=16_000))
    info = soundfile.info(tmp_path / "out")
    assert (rendering.format, rendering.frames) == (OutputFormat.WAV_PCM16, 48_000)
    assert (info.samplerate, info.frames) == (16_000, 48_000)


def test_parties_of_different_rates_share_the_higher_one(tmp_path: Path) -> None:
    wide = Codec(name="L16", clock_rate=16_000)
    time = np.arange(3 * 16_000) / 16_000
    tone = np.rint(8000 * np.sin(2 * np.pi * 5000 * time)).astype(">i2").tobytes()
    packets = talk(LEFT) + [
        Rtp(
            sequence_number=n,
            timestamp=n * 320,
            payload=tone[n * 640 : (n + 1) * 640],
            arrival_ms=n * 20,
            payload_type=96,
            ssrc=0x2000,
            stream=1,
        )
        for n in range(150)
    ]
    table = [stream(0), Stream(index=1, party=1, payload_types={96: wide})]
    rendering = render([CaptureFile(packets=packets, streams=table).write(tmp_path)], tmp_path / "out")
    read, rate = soundfile.read(tmp_path / "out", dtype="int16")
    assert (rendering.format, rate, rendering.frames) == (OutputFormat.WAV_PCM16, 16_000, 48_000)
    assert read[:, 1].astype(">i2").tobytes() == tone
    # Every second sample of the upsampled party lies where the original one lay.
    original, upsampled = np.array(samples(LEFT), float), read[::2, 0].astype(float)
    assert np.corrcoef(original, upsampled)[0, 1] > 0.95


def test_levels_and_speech_are_reported(tmp_path: Path) -> None:
    rendering = rendered(tmp_path, RenderOptions())
    for report, audio in zip(rendering.parties, (LEFT, RIGHT), strict=True):
        values = np.array(samples(audio), float)
        assert report.level_dbfs == pytest.approx(20 * np.log10(np.sqrt(np.mean(values**2)) / 32768), abs=0.01)
        assert (report.frames, report.speech_share) == (3 * SECOND, 1.0)
        assert report.clipped == int((np.abs(values) >= 32_124).sum())


def test_a_failing_target_leaves_no_success(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed):
        render([conversation(tmp_path)], tmp_path / "absent" / "out.wav")


@pytest.mark.parametrize(
    "format_", [OutputFormat.AUTO, OutputFormat.WAV_PCM16, OutputFormat.FLAC, OutputFormat.OGG_OPUS]
)
def test_a_file_says_what_it_is(tmp_path: Path, format_: OutputFormat) -> None:
    capture = CaptureFile(packets=talk(sound(8000))).write(tmp_path)
    plain = render([capture], tmp_path / "plain", RenderOptions(format=format_))
    tagged = render(
        [capture], tmp_path / "tagged", RenderOptions(format=format_, title="Grüße_1", comment="recording 7")
    )
    assert tagged.frames == plain.frames
    with soundfile.SoundFile(tmp_path / "tagged") as file:
        assert (file.title, file.comment) == ("Grüße_1", "recording 7")
        assert file.date == "2026-03-01T11:59:59+00:00"
        assert file.software.startswith("Tandem")
        samples = file.read(dtype="int16")
    assert (samples == soundfile.read(tmp_path / "plain", dtype="int16")[0]).all()
