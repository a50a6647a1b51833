"""Audio files written from front to back: WAV by this package, FLAC and Ogg Opus by libsndfile.

Nothing here fsyncs or renames; the caller owns the target's life.
"""

from media.pipeline.output.base import Sink
from media.pipeline.output.compressed import FlacFile, OpusFile
from media.pipeline.output.wav import WavEncoding, WavFile, wav_header

__all__ = ["FlacFile", "OpusFile", "Sink", "WavEncoding", "WavFile", "wav_header"]
