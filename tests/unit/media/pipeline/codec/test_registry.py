"""Which codec decodes what."""

from __future__ import annotations

import numpy as np

from media.container import Codec
from media.pipeline.codec import CodecRegistry, Payloads, default_registry
from media.pipeline.codec.linear import linear16_format


def test_what_needs_no_library_is_always_there() -> None:
    registry = default_registry()
    for name in ("PCMU", "PCMA", "L16", "l16"):
        assert registry.find(Codec(name=name, clock_rate=8000)) is not None


def test_an_unknown_codec_is_none() -> None:
    assert default_registry().find(Codec(name="MADE-UP", clock_rate=8000)) is None


def test_a_codec_without_clock_is_none() -> None:
    assert default_registry().find(Codec(name="PCMU", clock_rate=0)) is None


def test_a_codec_can_be_added_and_replaced() -> None:
    registry = CodecRegistry()
    registry.register("odd", linear16_format)
    assert registry.find(Codec(name="ODD", clock_rate=8000)) == linear16_format(Codec(name="L16", clock_rate=8000))
    registry.register("ODD", lambda _: None)
    assert registry.find(Codec(name="ODD", clock_rate=8000)) is None


def test_octets_beyond_a_payload_read_as_zero() -> None:
    payloads = Payloads(np.array([7, 8, 9], np.uint8), np.array([0, 1, 3]), np.array([1, 2, 0]))
    assert payloads.octet(0).tolist() == [7, 8, 0]
    assert payloads.octet(1).tolist() == [0, 9, 0]
    assert payloads.octet(5).tolist() == [0, 0, 0]
