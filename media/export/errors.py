"""Errors of exports."""

from __future__ import annotations

from media.errors import MediaError
from media.healing.errors import SoundUnreadable

__all__ = ["ExportRefused", "SoundUnreadable"]


class ExportRefused(MediaError):
    """Local: the file does not have what is asked for (a second party, a stretch inside of it)."""
