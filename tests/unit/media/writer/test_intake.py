"""What becomes of datagrams: kept, told, or kept out. R1, R3, R8 of the checklist."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from media.container import (
    Capture,
    Drops,
    Foreign,
    RecordFlag,
    RtcpLimit,
    Source,
    Ssrc,
    read_capture,
)
from media.writer.capture_file import CaptureFile
from media.writer.config import PortPair
from media.writer.intake import Intake
from media.writer.kernel import numeric_address
from media.writer.protocol import Codec, StreamSpec
from media.writer.sources import SourceLock, SwitchPolicy
from media.writer.stream import LiveSession, LiveStream
from media.writer.table import PortTable
from tests.unit.media.container.captures import session
from tests.unit.media.writer.datagrams import MS, NOW, Received, datagrams

POLICY = SwitchPolicy(same_host_ns=200 * MS, same_ssrc_ns=1000 * MS, other_host_ns=5000 * MS)
ANNOUNCED, STRANGER = "192.0.2.1", "198.51.100.9"


def rtp(sequence: int, *, ssrc: int = 7, payload_type: int = 0, size: int = 160, first: int = 0x80) -> bytes:
    return (
        struct.pack(">BBHII", first, payload_type, sequence & 0xFFFF, sequence * 160, ssrc) + bytes([sequence]) * size
    )


def report(ssrc: int = 7) -> bytes:
    return struct.pack(">BBHI", 0x80, 201, 1, ssrc)


class Bench:
    """Two sessions: A on rows 0 and 1, B on row 2."""

    def __init__(self, directory: Path, announced: str = ANNOUNCED) -> None:
        self.table = PortTable(3)
        self.told = np.zeros((3, 2), np.uint32)
        self.sessions: list[LiveSession | None] = []
        self.streams: list[LiveStream | None] = [None] * 3
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for slot, rows in enumerate(([0, 1], [2])):
            file = CaptureFile(directory / f"{slot}.tcap", session())
            live = LiveSession(identifier=str(slot), slot=slot, requested=[], file=file, host="h", streams={})
            self.sessions.append(live)
            for index, row in enumerate(rows):
                spec = StreamSpec(
                    index=index,
                    party=index,
                    payload_types={0: Codec(name="PCMU", clock_rate=8000), 101: Codec(name="T", clock_rate=8000)},
                    port=20000 + 2 * row,
                )
                lock = SourceLock(numeric_address(announced, 4000, family=socket.AF_INET))
                pair = PortPair(spec.port, self.socket, None, "h")
                self.streams[row] = live.streams[index] = LiveStream(spec, row, pair, socket.AF_INET, lock)
                self.table.clear(row, session=slot, stream=index)
                self.table.payload_known[row, [0, 101]] = True
        self.intake = Intake(
            self.table, self.sessions, self.streams, told_drops=self.told, policy=POLICY, wall_ns=lambda: NOW
        )

    def take(self, *by_row: list[Received], rtcp: bool = False, recovered: bool = False) -> None:
        rows, counts = np.arange(len(by_row)), np.array([len(one) for one in by_row])
        take = self.intake.take_rtcp if rtcp else self.intake.take_rtp
        take(datagrams([one for several in by_row for one in several]), rows, counts, recovered=recovered)

    def capture(self, slot: int = 0) -> Capture:
        live = self.sessions[slot]
        assert live is not None
        live.file.flush()
        return read_capture(live.file.path)

    def packets(self, slot: int = 0, stream: int | None = None) -> list[bytes]:
        return [
            batch.packet(one)
            for batch in self.capture(slot).packets()
            for one in range(len(batch.records))
            if stream is None or batch.records["stream"][one] == stream
        ]

    def records(self, slot: int = 0) -> list[tuple[int, ...]]:
        """(arrival in ms, length, stream, source, flags) of each packet."""
        return [
            (
                (int(one["arrival_ns"]) - NOW) // MS,
                *(int(one[name]) for name in ("length", "stream", "source", "flags")),
            )
            for batch in self.capture(slot).packets()
            for one in batch.records
        ]

    def events(self, kind: type, slot: int = 0) -> list[object]:
        return [event for event in self.capture(slot).events if isinstance(event, kind)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path)
    yield found
    found.socket.close()
    for live in found.sessions:
        assert live is not None
        live.file.close()


def test_packets_reach_their_session_and_stream_in_order_of_arrival(bench: Bench) -> None:
    one = [Received(rtp(number, ssrc=1), at_ms=number * 20) for number in range(5)]
    two = [Received(rtp(number, ssrc=2), at_ms=number * 20 + 3) for number in range(4)]
    three = [Received(rtp(number, ssrc=3, size=80), at_ms=number) for number in range(3)]
    for part in (slice(0, 2), slice(2, None)):  # the first batch is judged, the second ordinary
        bench.take(one[part], two[part], three[part])
    assert bench.packets(0, 0) == [received.data for received in one]
    assert bench.packets(0, 1) == [received.data for received in two]
    assert bench.packets(1) == [received.data for received in three]
    assert bench.records(0)[:2] == [(0, 172, 0, 1, 0), (20, 172, 0, 1, 0)]
    assert bench.table.packets.tolist() == [5, 4, 3]
    assert bench.table.octets.tolist() == [5 * 172, 4 * 172, 3 * 92]
    assert (bench.table.first_arrival_ns - NOW).tolist() == [0, 3 * MS, 0]
    assert (bench.table.last_arrival_ns - NOW).tolist() == [80 * MS, 63 * MS, 2 * MS]
    assert bench.intake.packets == 12


def test_first_source_and_ssrc_are_told_before_the_packets(bench: Bench) -> None:
    bench.take([Received(rtp(9, ssrc=0xABCD), at_ms=4)])
    assert bench.capture().events == [
        Source(at_ns=NOW + 4 * MS, stream=0, source=1, host=ANNOUNCED, port=4000, cause="announced"),
        Ssrc(
            at_ns=NOW + 4 * MS,
            stream=0,
            ssrc=0xABCD,
            source=1,
            sequence_number=9,
            rtp_timestamp=9 * 160,
            payload_type=0,
        ),
    ]


def test_sockets_without_datagrams_change_nothing(bench: Bench) -> None:
    bench.take([Received(rtp(1))], [], [Received(rtp(1))])
    bench.take([], [], [Received(rtp(2))])
    assert (len(bench.packets(0)), len(bench.packets(1))) == (1, 2)


def test_what_is_not_rtp_is_counted_and_kept_out(bench: Bench) -> None:
    garbage = [b"", b"\x80", b"GET / HTTP/1.1\r\n", rtp(1)[:11], rtp(1, first=0x40), rtp(1, first=0x8F)[:40]]
    bench.take([Received(rtp(1))], [*(Received(one) for one in garbage), Received(rtp(2))])
    bench.take([Received(rtp(2)), Received(b"\x00" * 100), Received(rtp(3))])
    assert bench.table.malformed.tolist() == [1, len(garbage), 0]
    assert bench.packets(0, 1) == [rtp(2)]
    assert bench.packets(0, 0) == [rtp(1), rtp(2), rtp(3)]


def test_strangers_are_counted_told_once_and_kept_out(bench: Bench) -> None:
    bench.take([Received(rtp(1), at_ms=0)])
    for round_ in (20, 40):
        bench.take(
            [
                Received(rtp(2), at_ms=round_),
                Received(rtp(50, ssrc=9), host=STRANGER, at_ms=round_ + 1),
                Received(rtp(3), at_ms=round_ + 2),
            ]
        )
    assert bench.table.foreign.tolist() == [2, 0, 0]
    assert bench.packets(0, 0) == [rtp(1), rtp(2), rtp(3), rtp(2), rtp(3)]
    assert bench.events(Foreign) == [Foreign(stream=0, host=STRANGER, port=4000, at_ns=NOW + 21 * MS)]
    assert len(bench.events(Ssrc)) == 1


def test_a_flood_of_strangers_costs_bounded_events_and_no_packet_of_the_call(bench: Bench) -> None:
    bench.take([Received(rtp(0))], [Received(rtp(0))])
    for batch in range(10):
        flood = [Received(rtp(1), host=f"10.0.{batch}.{number}", at_ms=batch) for number in range(40)]
        bench.take([*flood, Received(rtp(batch + 1), at_ms=batch)], [Received(rtp(batch + 1), at_ms=batch)])
    assert bench.table.foreign.tolist() == [400, 0, 0]
    assert len(bench.packets(0, 0)) == len(bench.packets(0, 1)) == 11
    assert len(bench.events(Foreign)) == 16


def test_an_unannounced_source_is_kept_as_provisional_until_the_announced_one_speaks(bench: Bench) -> None:
    bench.take([Received(rtp(1), host=STRANGER, at_ms=0), Received(rtp(2), host=STRANGER, at_ms=20)])
    bench.take(
        [
            Received(rtp(3), host=STRANGER, at_ms=40),
            Received(rtp(100, ssrc=8), at_ms=50),
            Received(rtp(4), host=STRANGER, at_ms=60),
            Received(rtp(101, ssrc=8), at_ms=70),
        ]
    )
    bench.take([Received(rtp(5), host=STRANGER, at_ms=80), Received(rtp(102, ssrc=8), at_ms=90)])
    provisional = int(RecordFlag.PROVISIONAL)
    kept = [(at, source, flags) for at, _, _, source, flags in bench.records()]
    assert kept[:3] == [(0, 1, provisional), (20, 1, provisional), (40, 1, provisional)]
    assert [one for one in kept if one[1] == 2] == [(50, 2, 0), (70, 2, 0), (90, 2, 0)]
    assert (80, 1, provisional) not in kept
    assert [event.cause for event in bench.events(Source) if isinstance(event, Source)] == ["learned", "announced"]


def test_a_switch_after_silence_takes_only_what_came_after_it(bench: Bench) -> None:
    bench.take([Received(rtp(1), at_ms=0)])
    bench.take([Received(rtp(number), port=4444, at_ms=50 * number) for number in range(2, 8)])
    assert [(at, source) for at, _, _, source, _ in bench.records()] == [(0, 1), (200, 2), (250, 2), (300, 2), (350, 2)]
    assert bench.table.foreign[0] == 2
    bench.take([Received(rtp(8), port=4444, at_ms=400)])
    assert bench.records()[-1][3] == 2


def test_a_source_that_is_accepted_while_the_clock_is_set_back_loses_nothing(bench: Bench) -> None:
    """Its first visit holds times before the step and after it."""
    bench.take([Received(rtp(1), at_ms=0), Received(rtp(2), at_ms=-5000), Received(rtp(3), at_ms=-4980)])
    bench.take([Received(rtp(4), at_ms=-4960)])
    assert [at for at, *_ in bench.records()] == [0, -5000, -4980, -4960]
    assert bench.table.foreign[0] == 0


def test_silence_is_measured_across_a_step_of_the_clock(bench: Bench) -> None:
    """Else a stranger is let in by a step forward, and a source that has moved kept out by a step back."""
    hour_ms = 3_600_000
    bench.take([Received(rtp(1), at_ms=0)])
    bench.table.clock_stepped(hour_ms * MS)
    bench.take([Received(rtp(2), port=4444, at_ms=hour_ms + 20)])
    assert bench.table.foreign[0] == 1
    bench.table.clock_stepped(-2 * hour_ms * MS)
    bench.take([Received(rtp(3), port=4444, at_ms=-hour_ms + 220)])
    assert [(at, source) for at, _, _, source, _ in bench.records()] == [(0, 1), (-hour_ms + 220, 2)]


def test_a_new_ssrc_is_a_new_source_and_never_dropped(bench: Bench) -> None:
    """R3: SSRC change mid-stream = new source, never dropped."""
    bench.take([Received(rtp(1, ssrc=1)), Received(rtp(2, ssrc=1)), Received(rtp(90, ssrc=2))])
    bench.take([Received(rtp(91, ssrc=2)), Received(rtp(3, ssrc=1)), Received(rtp(92, ssrc=2))])
    assert len(bench.packets()) == 6
    assert [event.ssrc for event in bench.events(Ssrc) if isinstance(event, Ssrc)] == [1, 2]


def test_a_flood_of_ssrcs_is_kept_and_told_sixteen_times_at_most(bench: Bench) -> None:
    for batch in range(10):
        bench.take([Received(rtp(number, ssrc=batch * 10 + number + 1)) for number in range(10)])
    assert len(bench.packets()) == 100
    assert len(bench.events(Ssrc)) == 16


def test_every_one_of_many_new_streams_is_taken_at_its_first_packet(tmp_path: Path) -> None:
    """The bound on judged strangers is per port: a hundred calls that start together lose nothing."""
    bench = Bench(tmp_path)
    bench.take([Received(rtp(1))], [Received(rtp(1))], [Received(rtp(1))])
    assert bench.table.packets.tolist() == [1, 1, 1]
    bench.socket.close()


def test_telephone_events_and_unknown_payload_types_of_the_accepted_source_are_kept(bench: Bench) -> None:
    packets = [rtp(1), rtp(2, payload_type=101, size=4), rtp(3, payload_type=99), rtp(4, payload_type=0x80)]
    bench.take([Received(one) for one in packets])
    assert bench.packets() == packets


def test_rtcp_on_the_rtp_port_goes_to_rtcp_blocks(bench: Bench) -> None:
    """R8 (RFC 5761 §4)."""
    bench.take([Received(rtp(1)), Received(report(), at_ms=5), Received(rtp(2))])
    capture = bench.capture()
    assert (capture.packet_count, capture.rtcp_count) == (2, 1)
    (batch,) = capture.rtcp()
    assert batch.packet(0) == report()
    assert batch.records["flags"].tolist() == [RecordFlag.MUXED]
    assert batch.records["source"].tolist() == [1]
    assert bench.table.malformed[0] == 0


def test_a_negotiated_payload_type_wins_over_the_rtcp_region(bench: Bench) -> None:
    bench.table.payload_known[0, 72] = True
    marked = rtp(1, payload_type=0x80 | 72)
    bench.take([Received(marked)])
    assert bench.packets() == [marked]


def test_rtcp_comes_from_the_hosts_that_the_stream_is_known_by(bench: Bench) -> None:
    bench.take([Received(rtp(1))])
    bench.take(
        [
            Received(report(), port=4001),
            Received(report(), host=STRANGER, port=4001),
            Received(b"not rtcp at all", port=4001),
        ],
        rtcp=True,
    )
    capture = bench.capture()
    assert capture.rtcp_count == 1
    causes = [(event.port, event.cause) for event in bench.events(Source) if isinstance(event, Source)]
    assert causes == [(4000, "announced"), (4001, "rtcp")]
    assert bench.table.foreign[0] == 1


def test_rtcp_before_any_rtp_is_taken_from_the_announced_host(bench: Bench) -> None:
    bench.take([Received(report(), port=4001), Received(report(), host=STRANGER)], rtcp=True)
    assert bench.capture().rtcp_count == 1


def test_a_flood_of_rtcp_is_bounded_and_told(bench: Bench) -> None:
    bench.take([Received(report(), port=4001) for _ in range(50)], [Received(report(), port=4001)], rtcp=True)
    assert bench.capture().rtcp_count == 17
    assert [event.packets for event in bench.events(RtcpLimit) if isinstance(event, RtcpLimit)] == [34]


def test_a_foreign_rtcp_flood_is_counted_whole(bench: Bench) -> None:
    bench.take([Received(rtp(1))])
    bench.take([Received(report(), host=STRANGER) for _ in range(16)], rtcp=True)
    assert bench.table.foreign[0] == 16
    assert len(bench.events(Foreign)) == 1


def test_kernel_drops_are_told_with_the_interval_they_fell_into(bench: Bench) -> None:
    bench.take([Received(rtp(1), at_ms=0), Received(rtp(2), at_ms=20)])
    bench.take(
        [Received(rtp(3), at_ms=40), Received(rtp(9), at_ms=160, drops=5), Received(rtp(10), at_ms=180, drops=5)]
    )
    bench.take([Received(rtp(11), at_ms=200, drops=5), Received(rtp(15), at_ms=280, drops=8)])
    assert bench.events(Drops) == [
        Drops(stream=0, packets=5, since_ns=NOW + 40 * MS, at_ns=NOW + 160 * MS),
        Drops(stream=0, packets=3, since_ns=NOW + 200 * MS, at_ns=NOW + 280 * MS),
    ]
    assert bench.table.kernel_drops[0] == 8
    assert bench.intake.kernel_drops == 8
    assert len(bench.packets()) == 7


def test_a_drop_counter_wraps_and_an_older_one_tells_nothing(bench: Bench) -> None:
    bench.told[0, 0] = 0xFFFF_FFFE
    bench.take([Received(rtp(1), drops=0xFFFF_FFF0), Received(rtp(2), at_ms=1, drops=3)])
    assert [event.packets for event in bench.events(Drops) if isinstance(event, Drops)] == [5]
    assert int(bench.told[0, 0]) == 3


def test_a_datagram_without_time_gets_the_time_of_reading_and_says_so(bench: Bench) -> None:
    bench.take([Received(rtp(1), at_ms=-5000, timed=False)])
    assert bench.records() == [(0, 172, 0, 1, int(RecordFlag.NO_TIMESTAMP))]


def test_a_cut_datagram_is_kept_and_says_so(bench: Bench) -> None:
    bench.take([Received(rtp(1)), Received(rtp(2, size=2000), cut=True)])
    assert [flags for *_, flags in bench.records()] == [0, int(RecordFlag.TRUNCATED)]


def test_recovered_packets_say_so(bench: Bench) -> None:
    bench.take([Received(rtp(1))])
    bench.take([Received(rtp(2))], recovered=True)
    assert [flags for *_, flags in bench.records()] == [0, int(RecordFlag.RECOVERED)]
    assert bench.packets() == [rtp(1), rtp(2)]


def test_an_ordinary_batch_costs_the_same_calls_whatever_its_size(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No per-packet Python: the sorting out is not entered once sources and SSRCs are known."""
    bench.take([Received(rtp(0))], [Received(rtp(0))], [Received(rtp(0))])
    monkeypatch.setattr(bench.intake.sifter, "sift", None)
    bench.take(*[[Received(rtp(number)) for number in range(1, 60)] for _ in range(3)])
    assert bench.table.packets.tolist() == [60, 60, 60]
