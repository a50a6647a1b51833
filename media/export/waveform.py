"""A picture of a recording: one row for each channel, loudness over time."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from media.export.sound import open_finished
from media.pipeline.codec.g711 import expand
from media.pipeline.errors import OutputFailed

WIDTH: Final = 1200
ROW_HEIGHT: Final = 120
"""Pixels."""
_PAPER, _LINE, _INK = (255, 255, 255), (208, 208, 208), ((24, 90, 157), (178, 74, 24))


def draw_waveform(source: Path, target: Path) -> None:
    """Write a PNG of all channels; raises `SoundUnreadable`, `OutputFailed`."""
    peaks = _peaks(source)
    image = Image.new("RGB", (WIDTH, ROW_HEIGHT * len(peaks)), _PAPER)
    draw = ImageDraw.Draw(image)
    for channel, row in enumerate(peaks):
        middle = channel * ROW_HEIGHT + ROW_HEIGHT // 2
        draw.line((0, middle, WIDTH, middle), fill=_LINE)
        for column, peak in enumerate(row.tolist()):
            height = round(peak / 32768 * (ROW_HEIGHT // 2 - 2))
            if height:
                draw.line((column, middle - height, column, middle + height), fill=_INK[channel % 2])
    try:
        image.save(target, format="PNG", optimize=True)
    except OSError as error:
        raise OutputFailed(str(target), str(error)) from error


def _peaks(source: Path) -> NDArray[np.int64]:
    """Return the highest absolute sample of each column, shape (channels, WIDTH)."""
    sound = open_finished(source)
    peaks = np.zeros((sound.channels, WIDTH), np.int64)
    done = 0
    for block in sound.blocks(0, sound.frames):
        frames = len(block[0])
        columns = (np.arange(done, done + frames) * WIDTH) // sound.frames
        for channel, row in enumerate(block):
            samples = expand(row.view(np.uint8), sound.law) if sound.law is not None else row.view(np.int16)
            np.maximum.at(peaks[channel], columns, np.abs(samples.astype(np.int64)))
        done += frames
    return peaks
