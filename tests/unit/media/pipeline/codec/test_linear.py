"""L16, RFC 3551 §4.5.11."""

from __future__ import annotations

import numpy as np

from media.container import Codec
from media.pipeline.codec import Payloads, SampleFormat
from media.pipeline.codec.linear import Linear16, linear16_format


def format_of(channels: int = 1) -> Linear16:
    found = linear16_format(Codec(name="L16", clock_rate=44_100, channels=channels))
    assert found is not None
    return found


def test_samples_are_in_network_byte_order() -> None:
    octets = np.array([[0x00, 0x01, 0xFF, 0xFE, 0x7F, 0xFF]], np.uint8)
    assert format_of().samples(octets).tolist() == [[1, -2, 32767]]


def test_channels_are_averaged() -> None:
    octets = np.frombuffer(np.array([[100, 201], [-3, -4]], ">i2").tobytes(), np.uint8)[None, :]
    assert format_of(2).samples(octets).tolist() == [[150, -4]]


def test_octets_behind_the_last_whole_instant_are_left_out() -> None:
    payloads = Payloads(np.zeros(16, np.uint8), np.array([0, 7]), np.array([7, 8]))
    assert format_of(2).durations(payloads).tolist() == [1, 2]
    assert format_of(2).samples(np.zeros((3, 7), np.uint8)).shape == (3, 1)


def test_it_is_a_sample_format_without_a_law() -> None:
    assert isinstance(format_of(), SampleFormat)
    assert format_of().law is None


def test_more_channels_than_a_sound_card_are_refused() -> None:
    assert linear16_format(Codec(name="L16", clock_rate=8000, channels=9)) is None
