"""The example of docs/storage-format.md is what the encoder writes and the reader reads."""

from __future__ import annotations

import re
from pathlib import Path

from media.container import read_capture
from tests.unit.media.container.captures import NOW, Builder, end, source

DOCUMENT = Path(__file__).parents[4] / "docs" / "storage-format.md"
PACKET = bytes.fromhex("80000001000000A011223344FFFFFFFF")
ARRIVAL = NOW + 250_000_000


def example() -> bytes:
    text = DOCUMENT.read_text().split("example:begin")[1].split("example:end")[0]
    lines = re.findall(r"^[0-9a-f]{6}  ((?:[0-9a-f]{2} ?)+) ", text, re.MULTILINE)
    return bytes.fromhex("".join(lines))


def test_the_encoder_writes_the_documented_bytes() -> None:
    built = Builder()
    built.event(source(ARRIVAL))
    index = built.packets(PACKET, arrival_ns=ARRIVAL)
    index.end(end(1, 16, ARRIVAL))
    documented = example()
    # The time at which the PACKETS block was composed is the one thing that the example chose by itself.
    assert len(documented) == len(built.data)
    assert documented[: built.edges[1]] == built.data[: built.edges[1]]


def test_the_reader_reads_the_documented_bytes(tmp_path: Path) -> None:
    path = tmp_path / "example.tcap"
    path.write_bytes(example())
    capture = read_capture(path)
    assert capture.complete
    assert capture.session.host == "192.0.2.10"
    assert capture.events == [source(ARRIVAL)]
    assert capture.end == end(1, 16, ARRIVAL)
    (batch,) = capture.packets()
    assert batch.packet(0) == PACKET
    assert batch.records.tolist() == [(ARRIVAL, 16, 0, 1, 0)]
