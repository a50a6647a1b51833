"""The second pass gives what the first one gave, whether it was kept or is read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from media.container import read_capture
from media.pipeline.codec import default_registry
from media.pipeline.flow import FlowPackets
from media.pipeline.passes import KEPT_BYTES, Passes
from media.pipeline.stream_table import StreamTable
from tests.unit.media.pipeline.recordings import CaptureFile, Rtp


def _seen(number: int, given: FlowPackets) -> tuple[object, ...]:
    index = given.ordered.index
    payloads = [
        given.ordered.octets[start : start + length].tobytes()
        for start, length in zip(index["payload_start"].tolist(), index["payload_length"].tolist(), strict=True)
    ]
    return number, given.key, given.overdue, index["extended_sequence_number"].tolist(), payloads


@pytest.mark.parametrize("kept_bytes", [0, 300_000, KEPT_BYTES])
def test_both_passes_give_the_same(kept_bytes: int, tmp_path: Path) -> None:
    """Nothing is kept, the first slice only, all of it; two parties, packets out of order and lost."""
    packets = [
        Rtp(
            sequence_number=n ^ 1 if n % 40 == 2 else n,
            timestamp=160 * (n ^ 1 if n % 40 == 2 else n),
            payload=bytes([n % 200 + party]) * 160,
            arrival_ms=n * 20.0,
            ssrc=7 + party,
            stream=party,
        )
        for n in range(4000)
        for party in (0, 1)
        if n % 50 != 7
    ]
    capture = read_capture(CaptureFile(packets=packets).write(tmp_path))
    passes = Passes([capture], StreamTable([capture], default_registry()), kept_bytes)
    first = [_seen(number, given) for number, given in passes.first()]
    assert first[-1][0] != 0
    assert [_seen(number, given) for number, given in passes.second()] == first
