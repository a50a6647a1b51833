"""Rendering a long recording takes no more memory than rendering a short one: measured in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import numpy as np

from media.container import RECORD, BlockEncoder, Codec, End, Session, Stream
from media.pipeline import render
from tests.unit.media.pipeline.recordings import START_NS

_FRAME_NS: Final = 20_000_000
_OCTETS: Final = 160
_BLOCK: Final = 500
"""Packets of each party in a block."""
_MORE_KB: Final = 24 * 1024
"""What four times the length may take more; the capture grows by 34 MB, the file by 29 MB."""


def write_capture(path: Path, minutes: int) -> None:
    """Write a call of two parties, all of it received."""
    encoder = BlockEncoder()
    streams = [
        Stream(index=party, party=party, payload_types={0: Codec(name="PCMU", clock_rate=8000)}) for party in (0, 1)
    ]
    session = Session(
        session=path.stem, writer="w", host="", wall_ns=START_NS, monotonic_ns=0, descriptor={}, streams=streams
    )
    packets = np.zeros((2 * _BLOCK, 12 + _OCTETS), np.uint8)
    packets[:, 0] = 0x80
    packets[:, 12:] = np.random.default_rng(1).integers(0, 127, (2 * _BLOCK, _OCTETS))
    records = np.zeros(2 * _BLOCK, RECORD)
    party, step = np.repeat([0, 1], _BLOCK), np.tile(np.arange(_BLOCK), 2)
    packets[:, 11] = party + 1
    records["stream"], records["length"], records["source"] = party, packets.shape[1], 1
    with path.open("wb") as file:
        file.write(encoder.open(session))
        for first in range(0, minutes * 60 * 50, _BLOCK):
            frames = step + first
            packets[:, 2:4] = (frames % 65_536).astype(">u2").view(np.uint8).reshape(-1, 2)
            packets[:, 4:8] = (frames * _OCTETS).astype(">u4").view(np.uint8).reshape(-1, 4)
            records["arrival_ns"] = START_NS + frames * _FRAME_NS
            index, octets = records.tobytes(), packets.tobytes()
            written_ns = START_NS + (first + _BLOCK) * _FRAME_NS
            file.write(encoder.packets(index, octets, len(records), written_ns) + index + octets)
        file.write(encoder.end(End(cause="bye", at_ns=written_ns, streams=[])))


def peaks(folder: Path, told: Connection) -> None:
    """Render 20 and 80 minutes and tell the peak after each, kB."""
    for minutes in (20, 80):
        capture = folder / f"{minutes:032x}.tcap"
        write_capture(capture, minutes)
        rendering = render([capture], folder / "out.wav")
        told.send((rendering.duration_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def test_memory_does_not_grow_with_the_length_of_a_recording(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=peaks, args=(tmp_path, theirs))
    process.start()
    theirs.close()
    (short_s, short), (long_s, long) = ours.recv(), ours.recv()
    process.join()
    assert (short_s, long_s) == (1200.0, 4800.0)
    assert long - short < _MORE_KB, f"{short} kB for 20 minutes, {long} kB for 80"
