"""Payload formats: how long a payload is in RTP time, and the audio in it.

`base` holds the ports, `g711` and `linear` what needs no library. Further codecs register themselves in a
`CodecRegistry`; one that is not there makes its packets `undecodable`, never an error.
"""

from media.pipeline.codec.base import (
    CodecRegistry,
    FrameDecoder,
    FrameFormat,
    Law,
    PayloadFormat,
    Payloads,
    SampleFormat,
    Samples,
)
from media.pipeline.codec.g711 import g711
from media.pipeline.codec.linear import linear16

__all__ = [
    "CodecRegistry",
    "FrameDecoder",
    "FrameFormat",
    "Law",
    "PayloadFormat",
    "Payloads",
    "SampleFormat",
    "Samples",
    "default_registry",
]


def default_registry() -> CodecRegistry:
    """Return a registry with every codec that this installation can decode."""
    registry = CodecRegistry()
    registry.register("PCMU", g711)
    registry.register("PCMA", g711)
    registry.register("L16", linear16)
    return registry
