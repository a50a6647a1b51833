"""Codecs that keep state, from captures to files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from media.container import Codec, Stream
from media.pipeline import Rendering, render
from media.pipeline.codec.opus import OpusDecoder
from tests.unit.media.pipeline.codec.material import likeness, payloads
from tests.unit.media.pipeline.recordings import CaptureFile, Rtp, sound, stream, talk

OPUS = payloads("opus.rtp")
GSM = payloads("gsm.rtp")


def sent(packets: list[bytes], payload_type: int, units: int, *, number: int = 0) -> list[Rtp]:
    return [
        Rtp(
            sequence_number=65_520 + n,
            timestamp=2**32 - 5 * units + n * units,
            payload=payload,
            arrival_ms=n * 20,
            payload_type=payload_type,
            ssrc=0x5000 + number,
            stream=number,
        )
        for n, payload in enumerate(packets)
    ]


def table(codec: Codec, number: int = 0) -> Stream:
    return Stream(index=number, party=number, payload_types={96: codec, 3: Codec(name="GSM", clock_rate=8000)})


def rendered(folder: Path, capture: CaptureFile) -> tuple[Rendering, np.ndarray[tuple[int, int], np.dtype[np.int16]]]:
    rendering = render([capture.write(folder)], folder / "out.wav")
    read, rate = soundfile.read(folder / "out.wav", dtype="int16", always_2d=True)
    assert (rate, len(read)) == (rendering.sample_rate, rendering.frames)
    return rendering, read


def test_opus_is_rendered_at_its_clock(tmp_path: Path) -> None:
    capture = CaptureFile(
        packets=sent(OPUS, 96, 960), streams=[table(Codec(name="OPUS", clock_rate=48_000, channels=2))]
    )
    rendering, read = rendered(tmp_path, capture)
    assert (rendering.sample_rate, rendering.frames, rendering.gaps) == (48_000, 51 * 960, [])
    assert likeness(read[:, 0], 48_000)[0] > 0.93


def test_opus_is_rendered_at_the_rate_that_its_sender_names(tmp_path: Path) -> None:
    codec = Codec(name="OPUS", clock_rate=48_000, channels=2, fmtp="sprop-maxcapturerate=16000")
    packets = [packet for n, packet in enumerate(sent(OPUS, 96, 960)) if n not in (20, 21)]
    rendering, read = rendered(tmp_path, CaptureFile(packets=packets, streams=[table(codec)]))
    assert (rendering.sample_rate, rendering.frames) == (16_000, 51 * 320)
    assert [(gap.start_frame, gap.frames, str(gap.cause)) for gap in rendering.gaps] == [(6400, 640, "network")]
    assert not read[6400:7040].any()
    assert likeness(read[:6400, 0], 16_000)[0] > 0.9


def test_opus_in_any_order_is_decoded_in_its_own(tmp_path: Path) -> None:
    codec = Codec(name="OPUS", clock_rate=48_000)
    packets = sent(OPUS, 96, 960)
    shuffled = [replace(packets[n ^ 1], arrival_ms=n * 20) for n in range(50)] + [packets[50]]
    _, read = rendered(tmp_path, CaptureFile(packets=shuffled, streams=[table(codec)]))
    decoded = [part for part in OpusDecoder(48_000).decode(OPUS) if part is not None]
    assert (read[:, 0] == np.concatenate(decoded)).all()


def test_gsm_beside_g711(tmp_path: Path) -> None:
    packets = sent(GSM, 3, 160) + talk(sound(8000), ssrc=0x2000, stream=1)
    rendering, read = rendered(
        tmp_path, CaptureFile(packets=packets, streams=[table(Codec(name="OPUS", clock_rate=48_000)), stream(1)])
    )
    assert (rendering.sample_rate, rendering.gaps) == (8000, [])
    assert likeness(read[:, 0], 8000)[0] > 0.9


def test_opus_beside_g711_shares_the_higher_rate(tmp_path: Path) -> None:
    packets = sent(OPUS, 96, 960) + talk(sound(51 * 160), ssrc=0x2000, stream=1)
    rendering, read = rendered(
        tmp_path, CaptureFile(packets=packets, streams=[table(Codec(name="OPUS", clock_rate=48_000)), stream(1)])
    )
    assert (rendering.sample_rate, rendering.frames, rendering.gaps) == (48_000, 51 * 960, [])
    assert likeness(read[:, 0], 48_000)[0] > 0.93


@pytest.mark.parametrize("late", [False, True])
def test_a_payload_that_its_decoder_refuses_is_silence_with_a_warning(tmp_path: Path, late: bool) -> None:
    packets = sent(GSM, 3, 160)
    packets[20] = replace(packets[20], payload=b"\x00" * 33)
    if late:
        packets += [replace(p, sequence_number=p.sequence_number + 50, timestamp=p.timestamp + 8000) for p in packets]
        packets = [replace(packet, arrival_ms=n * 20) for n, packet in enumerate(packets)]
    rendering, read = rendered(
        tmp_path, CaptureFile(packets=packets, streams=[table(Codec(name="X", clock_rate=8000))])
    )
    assert rendering.warnings == [f"decode-failed: {2 if late else 1} packets of GSM"]
    assert not read[20 * 160 : 21 * 160].any()
    assert read[21 * 160 : 22 * 160].any()


def test_a_packet_after_its_turn_does_not_disturb_the_decoder(tmp_path: Path) -> None:
    packets = sent(GSM * 5, 3, 160)
    late = packets.pop(40)
    packets.append(replace(late, arrival_ms=packets[190].arrival_ms))
    packets.sort(key=lambda packet: packet.arrival_ms)
    rendering, read = rendered(
        tmp_path, CaptureFile(packets=packets, streams=[table(Codec(name="X", clock_rate=8000))])
    )
    assert rendering.gaps == []
    assert read[40 * 160 : 41 * 160].any()
