"""Payload formats: how long a payload is in RTP time, and the audio in it.

`base` holds the ports, `g711` and `linear` what needs no library, `opus` and `gsm` what libsndfile decodes; `g722`,
`ffmpeg` (G.729), `amr`, `speex` and `ilbc` need an optional package. A codec that is not in the registry makes its
packets `undecodable`, never an error; captures keep them, so that they can be rendered again when it is.
"""

from media.pipeline.codec.amr import amr_format, amr_wb_format
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
from media.pipeline.codec.ffmpeg import g729_format
from media.pipeline.codec.g711 import g711_format
from media.pipeline.codec.g722 import g722_format
from media.pipeline.codec.gsm import gsm_format
from media.pipeline.codec.ilbc import ilbc_format
from media.pipeline.codec.linear import linear16_format
from media.pipeline.codec.opus import opus_format
from media.pipeline.codec.speex import speex_format

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
    for name, factory in (
        ("PCMU", g711_format),
        ("PCMA", g711_format),
        ("L16", linear16_format),
        ("OPUS", opus_format),
        ("GSM", gsm_format),
        ("G722", g722_format),
        ("G729", g729_format),
        ("AMR", amr_format),
        ("AMR-WB", amr_wb_format),
        ("ILBC", ilbc_format),
        ("SPEEX", speex_format),
    ):
        if factory is not None:
            registry.register(name, factory)
    return registry
