"""Whatever arrives on a port: nothing breaks, and every datagram is in exactly one account."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from media.rtp.packet import parse_headers
from tests.unit.media.writer.datagrams import Received
from tests.unit.media.writer.test_intake import Bench, rtp

hosts = st.sampled_from(["192.0.2.1", "192.0.2.2", "198.51.100.9"])
payloads = st.one_of(
    st.binary(max_size=40),
    st.builds(
        rtp,
        st.integers(0, 255),
        ssrc=st.integers(0, 3),
        payload_type=st.integers(0, 255),
        size=st.integers(0, 400),
        first=st.sampled_from([0x80, 0x8F, 0x90, 0xA0, 0xBF, 0x00]),
    ),
)
received = st.builds(
    Received,
    payloads,
    host=hosts,
    port=st.sampled_from([4000, 4001, 5000]),
    timed=st.booleans(),
    drops=st.sampled_from([0, 0, 0, 7, 0xFFFF_FFFF]),
    cut=st.booleans(),
)
turns = st.lists(st.lists(st.lists(received, max_size=6), min_size=1, max_size=3), min_size=1, max_size=4)


@given(turns, st.lists(st.lists(received, max_size=20), min_size=1, max_size=3))
def test_every_datagram_is_kept_or_counted_and_captures_stay_readable(
    rtp_turns: list[list[list[Received]]], rtcp_turn: list[list[Received]]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory))
        sent = 0
        for by_row in rtp_turns:
            bench.take(*by_row)
            sent += sum(map(len, by_row))
        table = bench.table
        captures = [bench.capture(slot) for slot in (0, 1)]
        rtp_port_rtcp = sum(capture.rtcp_count for capture in captures)
        kept = sum(capture.packet_count for capture in captures)
        accounted = kept + int(table.foreign.sum() + table.malformed.sum())
        # RTCP on the RTP port is kept, or foreign, or beyond the rate: at most what is left.
        assert accounted <= sent
        assert accounted + rtp_port_rtcp <= sent
        assert kept == int(table.packets.sum()) == bench.intake.packets
        for capture in captures:
            for batch in capture.packets():
                parse_headers(batch.data, batch.offsets, batch.records["length"])
        bench.take(*rtcp_turn, rtcp=True)
        assert all(bench.capture(slot).truncated_bytes == 0 for slot in (0, 1))
        bench.socket.close()
        for live in bench.sessions:
            assert live is not None
            live.file.close()
