"""G.711 tables against an independent implementation and the values of the standard."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from media.container import Codec
from media.pipeline.codec import Law, Payloads
from media.pipeline.codec.g711 import SILENCE, compress, expand, g711_format

ALL = np.arange(256, dtype=np.uint8)


def by_libsndfile(codes: bytes, subtype: str) -> list[int]:
    read = soundfile.read(
        io.BytesIO(codes), dtype="int16", samplerate=8000, channels=1, format="RAW", subtype=subtype, endian="FILE"
    )
    return [int(sample) for sample in read[0]]


@pytest.mark.parametrize(("law", "subtype"), [(Law.MULAW, "ULAW"), (Law.ALAW, "ALAW")])
def test_all_codes_decode_as_libsndfile_decodes_them(law: Law, subtype: str) -> None:
    assert expand(ALL, law).tolist() == by_libsndfile(ALL.tobytes(), subtype)


@pytest.mark.parametrize(
    ("law", "code", "value"),
    [
        (Law.MULAW, 0x00, -32124),
        (Law.MULAW, 0x80, 32124),
        (Law.MULAW, 0xFF, 0),
        (Law.MULAW, 0x7F, 0),
        (Law.ALAW, 0xD5, 8),
        (Law.ALAW, 0x55, -8),
        (Law.ALAW, 0xAA, 32256),
        (Law.ALAW, 0x2A, -32256),
    ],
)
def test_values_of_the_standard(law: Law, code: int, value: int) -> None:
    assert expand(np.array([code], np.uint8), law).tolist() == [value]


@pytest.mark.parametrize("law", list(Law))
def test_encoding_what_was_decoded_gives_the_code_back(law: Law) -> None:
    back = compress(expand(ALL, law), law)
    expected = ALL.copy()
    if law is Law.MULAW:
        expected[0x7F] = 0xFF
    assert back.tolist() == expected.tolist()


@pytest.mark.parametrize("law", list(Law))
def test_every_sample_is_encoded_to_a_nearest_code(law: Law) -> None:
    samples = np.arange(-32768, 32768, dtype=np.int32)
    chosen = expand(compress(samples.astype(np.int16), law), law).astype(np.int32)
    levels = np.sort(expand(ALL, law).astype(np.int32))
    position = np.clip(np.searchsorted(levels, samples), 1, 255)
    best = np.minimum(np.abs(samples - levels[position - 1]), np.abs(samples - levels[position]))
    assert (np.abs(samples - chosen) == best).all()


@pytest.mark.parametrize("law", list(Law))
def test_silence_is_the_least_positive_value(law: Law) -> None:
    positive = [value for value in expand(ALL, law).tolist() if value >= 0]
    assert expand(np.array([SILENCE[law]], np.uint8), law).tolist() == [min(positive)]


def test_an_octet_is_a_timestamp_unit() -> None:
    format_ = g711_format(Codec(name="pcmu", clock_rate=16_000))
    assert format_ is not None
    assert (format_.law, format_.sample_rate) == (Law.MULAW, 16_000)
    payloads = Payloads(np.zeros(9, np.uint8), np.array([0, 3]), np.array([3, 6]))
    assert format_.durations(payloads).tolist() == [3, 6]
    assert format_.samples(np.array([[0x00, 0xFF]], np.uint8)).tolist() == [[-32124, 0]]


def test_several_channels_are_not_supported() -> None:
    assert g711_format(Codec(name="PCMA", clock_rate=8000, channels=2)) is None
