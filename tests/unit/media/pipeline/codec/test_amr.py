"""AMR and AMR-WB: payloads of an independent packer, and the bits of RFC 4867."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.container import Codec
from media.pipeline.codec import FrameFormat, Payloads, default_registry
from media.pipeline.codec.amr import Amr
from tests.unit.media.pipeline.codec.material import likeness, payloads

NARROWBAND = Amr(8000, octet_aligned=True, decoder_name="libopencore_amrnb")
EFFICIENT = Amr(8000, octet_aligned=False, decoder_name="libopencore_amrnb")
BITS = {0: 95, 1: 103, 2: 118, 3: 134, 4: 148, 5: 159, 6: 204, 7: 244, 8: 39, 15: 0}
"""Of each frame type of AMR."""


def format_of(name: str, rate: int, fmtp: str) -> FrameFormat:
    found = default_registry().find(Codec(name=name, clock_rate=rate, fmtp=fmtp))
    assert isinstance(found, FrameFormat)
    return found


def together(packets: list[bytes]) -> Payloads:
    lengths = np.array([len(packet) for packet in packets])
    return Payloads(np.frombuffer(b"".join(packets), np.uint8), np.cumsum(lengths) - lengths, lengths)


def efficient(frames: list[bytes]) -> bytes:
    """Pack frames of AMR in storage format as RFC 4867 §4.3 draws it, bit by bit."""
    bits = "1111"
    for number, frame in enumerate(frames):
        follows = number < len(frames) - 1
        bits += f"{int(follows)}{frame[0] >> 3 & 15:04b}{frame[0] >> 2 & 1}"
    for frame in frames:
        speech = "".join(f"{octet:08b}" for octet in frame[1:])
        bits += speech[: BITS[frame[0] >> 3 & 15]]
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)


@pytest.mark.parametrize(
    ("name", "rate", "file", "least"), [("AMR", 8000, "amr.rtp", 0.65), ("amr-wb", 16_000, "amr-wb.rtp", 0.9)]
)
def test_speech_of_an_independent_encoder_is_heard(name: str, rate: int, file: str, least: float) -> None:
    format_ = format_of(name, rate, "octet-align=1; mode-change-capability=2")
    packets = payloads(file)
    assert set(format_.durations(together(packets)).tolist()) == {rate // 25}
    decoded = [part for part in format_.decoder().decode(packets) if part is not None]
    assert len(decoded) == len(packets)
    assert likeness(np.concatenate(decoded), rate)[0] > least


def test_both_ways_of_packing_give_the_same_frames() -> None:
    for packet in payloads("amr.rtp"):
        frames = NARROWBAND.frames(packet)
        assert len(frames) == 2
        assert EFFICIENT.frames(efficient(frames)) == frames


def test_the_payload_of_rfc_4867_4_3_5_1() -> None:
    # One frame of 7.4 kbit/s: request 6 (10.2), type 4, good quality, 148 bits of speech, two bits of padding.
    speech = int("10" * 74, 2)
    bits = f"0110{0:b}{4:04b}1{speech:0148b}00"
    payload = int(bits, 2).to_bytes(len(bits) // 8)
    assert len(payload) == 20
    (frame,) = EFFICIENT.frames(payload)
    assert frame[0] == 4 << 3 | 1 << 2
    assert frame[1:] == (speech << 4).to_bytes(19)


def test_comfort_noise_and_frames_without_data_last_as_long_as_speech() -> None:
    speech = NARROWBAND.frames(payloads("amr.rtp")[0])
    sid = bytes([8 << 3 | 4]) + speech[0][1:6]
    nothing = bytes([15 << 3 | 4])
    packet = bytes([0xF0, 0x80 | sid[0], nothing[0]]) + sid[1:]
    assert NARROWBAND.frames(packet) == [sid, nothing]
    assert NARROWBAND.durations(together([packet])).tolist() == [320]
    (decoded,) = NARROWBAND.decoder().decode([packet])
    assert decoded is not None
    assert len(decoded) == 320


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xf0",
        b"\xf0\xbc",  # a table that goes on, and nothing behind it
        b"\xf0\x3c" + bytes(30),  # one octet of speech too few
        b"\xf0\x4c" + bytes(40),  # a reserved frame type
        b"\xf0" + b"\xfc" * 40,  # more frames than any packet has
    ],
)
def test_what_does_not_hold_what_it_lists_is_no_payload(payload: bytes) -> None:
    assert NARROWBAND.frames(payload) == []
    assert NARROWBAND.durations(together([payload])).tolist() == [0]
    assert NARROWBAND.decoder().decode([payload]) == [None]


@given(st.binary(max_size=100), st.sampled_from([NARROWBAND, EFFICIENT, Amr(16_000, False, ""), Amr(16_000, True, "")]))
def test_any_octets_are_read_without_an_error(payload: bytes, format_: Amr) -> None:
    assert len(format_.frames(payload)) <= 12


@pytest.mark.parametrize("fmtp", ["octet-align=1; interleaving=30", "octet-align=1;crc=1", "robust-sorting=1"])
def test_packings_that_are_not_read_are_undecodable(fmtp: str) -> None:
    assert default_registry().find(Codec(name="AMR", clock_rate=8000, fmtp=fmtp)) is None


def test_amr_has_one_clock_rate_and_channel() -> None:
    assert default_registry().find(Codec(name="AMR", clock_rate=16_000)) is None
    assert default_registry().find(Codec(name="AMR-WB", clock_rate=16_000, channels=2)) is None
