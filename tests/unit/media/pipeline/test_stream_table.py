"""Party, codec and clock of packets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media.container import Capture, Codec, Stream, Streams, read_capture
from media.pipeline.codec import Payloads, default_registry
from media.pipeline.stream_table import UNKNOWN, PacketKind, StreamTable, durations
from tests.unit.media.pipeline.recordings import EVENTS, PCMA, PCMU, CaptureFile, at, stream

OPUS_LIKE = Codec(name="MADE-UP", clock_rate=48_000)


def capture(folder: Path, *events: Streams, streams: list[Stream] | None = None) -> Capture:
    named = [stream(0), stream(1)] if streams is None else streams
    return read_capture(CaptureFile(streams=named, events=events, ended_ms=9000.0).write(folder))


def table(folder: Path, *events: Streams, streams: list[Stream] | None = None) -> StreamTable:
    return StreamTable([capture(folder, *events, streams=streams)], default_registry())


def codec_at(
    found: StreamTable, stream: int, payload_type: int, arrival_ms: float = 0.0
) -> tuple[str, PacketKind, int]:
    rows = found.rows_of(0, np.array([stream]), np.array([at(arrival_ms)]))
    use = found.codecs[int(found.codecs_of(rows, np.array([payload_type], np.uint8))[0])]
    return use.codec.name, use.kind, use.clock_rate


def test_the_table_in_force_decides(tmp_path: Path) -> None:
    one = Stream(index=0, party=0, payload_types={96: PCMU})
    other = Stream(index=0, party=0, payload_types={96: PCMA})
    found = table(tmp_path, Streams(at_ns=at(1000), cause="reinvite", streams=[other]), streams=[one])
    assert codec_at(found, 0, 96, 999)[0] == "PCMU"
    assert codec_at(found, 0, 96, 1000)[0] == "PCMA"


def test_a_payload_type_of_another_version_is_still_understood(tmp_path: Path) -> None:
    one = Stream(index=0, party=0, payload_types={0: PCMU})
    other = Stream(index=0, party=0, payload_types={96: PCMA})
    found = table(tmp_path, Streams(at_ns=at(1000), cause="reinvite", streams=[other]), streams=[one])
    assert codec_at(found, 0, 96, 500)[0] == "PCMA"


@pytest.mark.parametrize(("payload_type", "name"), [(0, "PCMU"), (8, "PCMA"), (9, "G722"), (13, "CN"), (18, "G729")])
def test_static_payload_types_need_no_mapping(tmp_path: Path, payload_type: int, name: str) -> None:
    found = table(tmp_path, streams=[Stream(index=0, party=0, payload_types={})])
    assert codec_at(found, 0, payload_type)[0] == name


def test_an_unknown_payload_type_is_undecodable_on_the_clock_of_the_audio(tmp_path: Path) -> None:
    found = table(tmp_path, streams=[Stream(index=0, party=0, payload_types={96: OPUS_LIKE})])
    assert codec_at(found, 0, 120) == ("UNKNOWN", PacketKind.UNDECODABLE, 48_000)


def test_events_run_on_the_clock_of_the_audio(tmp_path: Path) -> None:
    streams = [Stream(index=0, party=0, payload_types={96: OPUS_LIKE, 101: EVENTS})]
    assert codec_at(table(tmp_path, streams=streams), 0, 101) == ("TELEPHONE-EVENT", PacketKind.EVENT, 48_000)


def test_events_keep_their_clock_where_some_audio_has_it(tmp_path: Path) -> None:
    streams = [Stream(index=0, party=0, payload_types={96: OPUS_LIKE, 0: PCMU, 101: EVENTS})]
    assert codec_at(table(tmp_path, streams=streams), 0, 101)[2] == 8000


def test_a_stream_that_a_table_no_longer_names_keeps_its_last_row(tmp_path: Path) -> None:
    found = table(tmp_path, Streams(at_ns=at(1000), cause="reinvite", streams=[stream(0)]))
    rows = found.rows_of(0, np.array([1, 1]), np.array([at(500), at(1500)]))
    assert rows[0] == rows[1] != UNKNOWN


def test_a_stream_that_a_table_does_not_yet_name_takes_its_first_row(tmp_path: Path) -> None:
    event = Streams(at_ns=at(1000), cause="reinvite", streams=[stream(0), stream(1)])
    found = table(tmp_path, event, streams=[stream(0)])
    rows = found.rows_of(0, np.array([1, 1]), np.array([at(500), at(1500)]))
    assert rows[0] == rows[1] != UNKNOWN


def test_a_stream_that_no_table_names_is_unknown(tmp_path: Path) -> None:
    found = table(tmp_path, streams=[stream(0), stream(2)])
    assert found.rows_of(0, np.array([7, 1]), np.array([at(0), at(0)])).tolist() == [UNKNOWN, UNKNOWN]


def test_parties_take_their_last_label(tmp_path: Path) -> None:
    renamed = Streams(at_ns=at(1), cause="update", streams=[stream(0, label="new"), stream(1, label="")])
    assert table(tmp_path, renamed).parties == {0: "new", 1: "label-1"}


def test_a_party_is_paused_while_none_of_its_streams_records(tmp_path: Path) -> None:
    off = Streams(at_ns=at(1000), cause="pause", streams=[stream(0, recording=False), stream(1)])
    half = Streams(at_ns=at(2000), cause="x", streams=[stream(0, recording=False), stream(2, party=0), stream(1)])
    on = Streams(at_ns=at(3000), cause="resume", streams=[stream(0), stream(1)])
    pauses = table(tmp_path, off, half, on).pauses(0)
    assert {party: found.pairs() for party, found in pauses.items()} == {0: [(at(1000), at(2000))]}


def test_durations_by_kind(tmp_path: Path) -> None:
    found = table(
        tmp_path,
        streams=[Stream(index=0, party=0, ptime_ms=30.0, payload_types={4: Codec(name="G723", clock_rate=8000)})],
    )
    octets = np.array([5, 0x8A, 0x03, 0x20, 1, 2], np.uint8)

    def measured(payload_type: int, start: int, length: int) -> int:
        row = found.rows_of(0, np.array([0]), np.array([at(0)]))
        use = found.codecs[int(found.codecs_of(row, np.array([payload_type], np.uint8))[0])]
        return int(durations(use, Payloads(octets, np.array([start]), np.array([length])))[0])

    assert measured(0, 0, 6) == 6
    assert measured(13, 0, 1) == 0
    assert (measured(4, 0, 6), measured(4, 0, 0)) == (240, 0)


def test_an_event_lasts_as_long_as_it_says(tmp_path: Path) -> None:
    found = table(tmp_path)
    row = found.rows_of(0, np.array([0]), np.array([at(0)]))
    use = found.codecs[int(found.codecs_of(row, np.array([101], np.uint8))[0])]
    payloads = Payloads(np.array([5, 0x8A, 0x03, 0x20], np.uint8), np.array([0, 0]), np.array([4, 2]))
    assert durations(use, payloads).tolist() == [800, 0]
