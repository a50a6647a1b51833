"""Finalising: captures in, one audio file and its report out. Runs in the curator, never in a writer.

`render` is the whole interface. Inside, a recording passes `intake` (captures to slices of packets), `flow` (slices to
ordered packets of each source), then in two `passes`: `survey` measures, `plan` lays out (`alignment`, `sender_clock`,
`drift`, `gaps`), `painting` puts samples in their places, `output` writes them. Codecs live in `codec`.
"""

from media.pipeline.errors import OutputFailed, TimelineTooLong, UnsupportedOutput
from media.pipeline.render import render
from media.pipeline.report import (
    Contributor,
    Gap,
    GapCause,
    GapKind,
    Layout,
    OutputFormat,
    PartyReport,
    Rendering,
    RenderingKind,
    RenderOptions,
    SegmentReport,
    StreamQuality,
)

__all__ = [
    "Contributor",
    "Gap",
    "GapCause",
    "GapKind",
    "Layout",
    "OutputFailed",
    "OutputFormat",
    "PartyReport",
    "RenderOptions",
    "Rendering",
    "RenderingKind",
    "SegmentReport",
    "StreamQuality",
    "TimelineTooLong",
    "UnsupportedOutput",
    "render",
]
