"""Finished files in other forms: another format, one party, a mix, a stretch, a picture. File to file, nothing else.

`convert` makes audio, `waveform` the picture, `sound` reads whatever format. May import `media.healing` (the reader of
our WAV files) and `media.pipeline` (formats). Knows nothing of the catalog.
"""

from media.export.convert import Channels, Conversion, convert
from media.export.errors import ExportRefused, SoundUnreadable
from media.export.waveform import draw_waveform

__all__ = ["Channels", "Conversion", "ExportRefused", "SoundUnreadable", "convert", "draw_waveform"]
