"""Audio files written from front to back: WAV by this package, FLAC and Ogg Opus by libsndfile.

Nothing here fsyncs or renames; the caller owns the target's life.
"""

from media.pipeline.output.base import NO_TAGS, Sink, Tags
from media.pipeline.output.choice import LAW_OF, open_sink, resolved
from media.pipeline.output.compressed import FlacFile, OpusFile
from media.pipeline.output.wav import WavEncoding, WavFile, wav_header

__all__ = [
    "LAW_OF",
    "NO_TAGS",
    "FlacFile",
    "OpusFile",
    "Sink",
    "Tags",
    "WavEncoding",
    "WavFile",
    "open_sink",
    "resolved",
    "wav_header",
]
