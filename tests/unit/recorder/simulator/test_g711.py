"""The oracle's own companding against values printed in ITU-T G.711."""

import numpy as np
import pytest

from recorder.simulator.g711 import Law, decode, encode, levels


@pytest.mark.parametrize(
    ("octet", "sample"),
    [(0x00, -32124), (0x80, 32124), (0xFF, 0), (0x7F, 0), (0xFE, 8), (0x7E, -8), (0xEF, 132), (0x8F, 16764)],
)
def test_mu_law_levels(octet: int, sample: int) -> None:
    # G.711 table 2a: decision value numbers times four, because 14 bits are aligned to 16.
    assert levels(Law.PCMU)[octet] == sample


@pytest.mark.parametrize(
    ("octet", "sample"),
    [(0xD5, 8), (0x55, -8), (0xD4, 24), (0x54, -24), (0xAA, 32256), (0x2A, -32256), (0xC5, 264), (0xF5, 528)],
)
def test_a_law_levels(octet: int, sample: int) -> None:
    # G.711 table 1a: 13 bits aligned to 16, even bits inverted.
    assert levels(Law.PCMA)[octet] == sample


@pytest.mark.parametrize("law", list(Law))
def test_encoding_a_level_gives_an_octet_of_that_level(law: Law) -> None:
    octets = np.arange(256, dtype=np.uint8)
    again = encode(decode(octets, law), law)
    assert np.array_equal(decode(again, law), decode(octets, law))


@pytest.mark.parametrize("law", list(Law))
def test_encoding_takes_the_nearest_level(law: Law) -> None:
    samples = np.arange(-32768, 32768, dtype=np.int16)
    chosen = np.abs(decode(encode(samples, law), law).astype(int) - samples)
    nearest = np.abs(levels(law).astype(int)[None, :] - samples.astype(int)[::97, None]).min(axis=1)
    assert np.array_equal(chosen[::97], nearest)


@pytest.mark.parametrize("law", list(Law))
def test_silence_is_the_smallest_amplitude(law: Law) -> None:
    smallest = np.abs(levels(law).astype(int)).min()
    assert {int(o) for o in np.flatnonzero(np.abs(levels(law).astype(int)) == smallest)} == set(law.silence)
