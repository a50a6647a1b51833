"""RFC 3551, audio payload types and clocks (checklist R11)."""

from __future__ import annotations

import numpy as np
import pytest

from media.container import Codec
from media.pipeline.codec import Payloads, SampleFormat, default_registry
from media.pipeline.stream_table import STATIC_CODECS

TABLE_4 = {
    0: ("PCMU", 8000, 1),
    3: ("GSM", 8000, 1),
    4: ("G723", 8000, 1),
    5: ("DVI4", 8000, 1),
    6: ("DVI4", 16_000, 1),
    7: ("LPC", 8000, 1),
    8: ("PCMA", 8000, 1),
    9: ("G722", 8000, 1),
    10: ("L16", 44_100, 2),
    11: ("L16", 44_100, 1),
    12: ("QCELP", 8000, 1),
    13: ("CN", 8000, 1),
    15: ("G728", 8000, 1),
    16: ("DVI4", 11_025, 1),
    17: ("DVI4", 22_050, 1),
    18: ("G729", 8000, 1),
}


@pytest.mark.parametrize("payload_type", sorted(TABLE_4))
def test_r11_payload_types_for_audio_encodings_table_4(payload_type: int) -> None:
    codec = STATIC_CODECS[payload_type]
    assert (codec.name, codec.clock_rate, codec.channels) == TABLE_4[payload_type]


def test_r11_reserved_and_unassigned_payload_types_have_no_codec() -> None:
    assert not {1, 2, 19, 20, 21, 22, 23} & set(STATIC_CODECS)


def test_the_rtp_clock_rate_of_g711_is_the_sampling_rate_and_each_octet_is_a_sample() -> None:
    for payload_type in (0, 8):
        found = default_registry().find(STATIC_CODECS[payload_type])
        assert isinstance(found, SampleFormat)
        assert found.sample_rate == 8000
        assert found.durations(Payloads(np.zeros(160, np.uint8), np.array([0]), np.array([160]))).tolist() == [160]


def test_l16_has_the_most_significant_octet_of_a_sample_first_and_channels_interleaved_left_first() -> None:
    found = default_registry().find(Codec(name="L16", clock_rate=8000, channels=2))
    assert isinstance(found, SampleFormat)
    left, right = 0x0102, 0x0304
    octets = np.frombuffer(left.to_bytes(2, "big") + right.to_bytes(2, "big"), np.uint8)[None, :]
    assert found.samples(octets).tolist() == [[(left + right) // 2]]
