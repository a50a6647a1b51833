"""The second pass gives what the first one gave, whether it was kept or is read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from media.container import read_capture
from media.pipeline import intake, render
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


def _call(folder: Path) -> Path:
    """Two parties, 1.3 MB, packets out of order and lost."""
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
    return CaptureFile(packets=packets).write(folder)


@pytest.mark.parametrize("kept_bytes", [0, 600_000, KEPT_BYTES])
def test_both_passes_give_the_same(kept_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept, the first slices only, all of them."""
    monkeypatch.setattr(intake, "BATCH_BYTES", 256 << 10)
    capture = read_capture(_call(tmp_path))
    passes = Passes([capture], StreamTable([capture], default_registry()), {}, kept_bytes)
    first = [_seen(number, given) for number, given in passes.first()]
    assert first[-1][0] != 0
    assert [_seen(number, given) for number, given in passes.second()] == first


@pytest.mark.parametrize("batch_bytes", [64 << 10, 256 << 10])
def test_how_much_is_read_at_a_time_changes_no_byte(
    batch_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture, whole, pieces = _call(tmp_path), tmp_path / "whole.wav", tmp_path / "pieces.wav"
    at_once = render([capture], whole)
    monkeypatch.setattr(intake, "BATCH_BYTES", batch_bytes)
    piece_by_piece = render([capture], pieces)
    assert pieces.read_bytes() == whole.read_bytes()
    # The mean of the jitter is summed up in another order.
    assert piece_by_piece.gaps == at_once.gaps
    assert piece_by_piece.parties == at_once.parties
    assert [(one.lost, one.late, one.duplicates) for one in piece_by_piece.streams] == [
        (one.lost, one.late, one.duplicates) for one in at_once.streams
    ]
