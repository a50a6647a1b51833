"""Finalising of a two-party G.711 recording: real-time factor per core for each output format, and peak memory.

`python -m benchmarks.finalise [--minutes 10] [--rounds 5] [--loss 0.0]`. The capture has a block for each round of
a writer. A round renders once into a new file; the best round counts, because other programs only slow down.
"""

from __future__ import annotations

import argparse
import resource
import struct
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import machine_facts
from media.container import RECORD, BlockEncoder, Codec, End, Session, Stream
from media.pipeline import OutputFormat, Rendering, RenderOptions, render
from recorder.curator.allocation import keep_freed_memory

_START_NS = 1_772_366_400_000_000_000
_FRAME_NS = 20_000_000
_OCTETS = 160
_VISIT_FRAMES = 25
"""A block for each round of the writer, `media.sync_interval_ms` as it comes."""
_FORMATS = (OutputFormat.AUTO, OutputFormat.WAV_PCM16, OutputFormat.FLAC, OutputFormat.OGG_OPUS)
_GOALS = {OutputFormat.AUTO: 2000, OutputFormat.FLAC: 200}
"""Times real time per core."""


def write_capture(path: Path, minutes: float, loss: float) -> int:
    """Write the capture of a conversation and return its number of packets."""
    random = np.random.default_rng(711)
    codec = Codec(name="PCMU", clock_rate=8000)
    streams = [Stream(index=party, party=party, payload_types={0: codec}) for party in (0, 1)]
    encoder = BlockEncoder()
    packets = 0
    with path.open("wb") as file:
        session = Session(
            session=path.stem,
            writer="bench",
            host="",
            wall_ns=_START_NS,
            monotonic_ns=0,
            descriptor={},
            streams=streams,
        )
        file.write(encoder.open(session))
        for first in range(0, int(minutes * 60 * 50), _VISIT_FRAMES):
            records, datagrams = [], []
            for party in (0, 1):
                for frame in range(first, first + _VISIT_FRAMES):
                    if random.random() >= loss:
                        late = int(random.exponential(2e6))
                        records.append((_START_NS + frame * _FRAME_NS + late, 12 + _OCTETS, party, 1, 0))
                        header = struct.pack("!BBHII", 0x80, 0, frame % 65536, frame * _OCTETS, party + 1)
                        datagrams.append(header + random.bytes(_OCTETS))
            index, octets = np.array(records, RECORD).tobytes(), b"".join(datagrams)
            written_ns = _START_NS + (first + _VISIT_FRAMES) * _FRAME_NS
            file.write(encoder.packets(index, octets, len(records), written_ns) + index + octets)
            packets += len(records)
        file.write(encoder.end(End(cause="bye", at_ns=written_ns, streams=[])))
    return packets


def measure(capture: Path, format_: OutputFormat, rounds: int) -> tuple[Rendering, float, int]:
    """Return the report, the CPU seconds of the best round and the size of the file."""
    best, size = float("inf"), 0
    for _ in range(rounds):
        target = capture.with_suffix(".out")
        target.unlink(missing_ok=True)
        before = time.process_time()
        rendering = render([capture], target, RenderOptions(format=format_))
        best = min(best, time.process_time() - before)
        size = target.stat().st_size
    return rendering, best, size


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loss", type=float, default=0.0, help="share of packets that never arrived, 0..1")
    options = parser.parse_args()
    print(machine_facts(), flush=True)
    keep_freed_memory()  # as a curator does
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as directory:
        capture = Path(directory) / f"{1:032x}.tcap"
        packets = write_capture(capture, options.minutes, options.loss)
        megabytes = capture.stat().st_size / 1e6
        print(f"{options.minutes:g} min, 2 parties, {packets:,} packets, {megabytes:.1f} MB, loss {options.loss:.1%}")
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        for format_ in _FORMATS:
            rendering, seconds, size = measure(capture, format_, options.rounds)
            factor = rendering.duration_s / seconds
            goal = f"  (goal {_GOALS[format_]:,})" if format_ in _GOALS else ""
            print(
                f"{format_:10} -> {rendering.format:10} {factor:7,.0f} x real time{goal}, "
                f"{seconds / packets * 1e6:.2f} us per packet, {size / 1e6:.1f} MB, {len(rendering.gaps)} gaps"
            )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"peak memory {peak} MB ({memory} MB before the first rendering)")


if __name__ == "__main__":
    main()
