"""A port that floods, whatever it is used for: nobody else loses a packet, and what its own stream loses is told.

A packet ring is shared, so such a port is diverted from it (docs/adr/0014); a socket is bounded by itself. Both pass
the same tests. What is sent in one go is sent while the writer stands still, so that one visit meets all of it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from media.container import Capture, Drops, Foreign, RtcpLimit
from media.writer.kernel import datagram_waits
from media.writer.protocol import Protection, SessionClosed
from tests.integration.media_writer_kit import (
    LIMIT_S,
    SOURCES,
    Frontend,
    Sender,
    Writer,
    capture_at,
    deliver,
    diverted_ports,
    new_session,
    packets_of,
    rtcp_report,
    rtp,
    running_writer,
    stopped,
    stream,
    takes_datagrams,
)
from tests.integration.test_media_writer_srtp import Protector, new_key, protected

pytestmark = pytest.mark.integration

FLOOD = 4000
"""Packets in one go: more than a socket holds, and a flood to a ring that is read in time."""


_TURNS = 8
"""Turns of the writer's loop in which a visit of ours is finished: one for each part of it."""


class Site:
    """A writer with a call that goes on all the time, and somebody who floods its ports."""

    def __init__(self, writer: Writer, epoch: int = 1) -> None:
        self.writer = writer
        self.flooder, self.caller = Sender("127.0.0.9", ssrc=0xF100D), Sender(ssrc=0xCA11)
        self.frontend: Frontend = writer.frontend(epoch)
        self._session = new_session()
        self._port = self.frontend.open(self._session, stream()).ports[0]
        self._recorded = self.frontend.heartbeat().packets

    def call_goes_on(self, others: int = 0) -> None:
        """Wait until the call's next packet is appended, and so many more of other streams."""
        self.caller.send(self._port, len(self.caller.sent))
        self._recorded += 1 + others
        self.frontend.until_packets(self._recorded)

    def burst(self, port: int, packets: Sequence[bytes], sender: socket.socket | None = None) -> int:
        """Send packets to a port in one go; return how many."""
        assert self.writer.process is not None
        with stopped(self.writer.process):
            deliver(sender or self.flooder.socket, port, packets)
        return len(packets)

    def flood(self, port: int, packets: Sequence[bytes], sender: socket.socket | None = None) -> int:
        """Flood a port, with a ring until it is diverted; return how many packets that took."""
        sent = 0
        deadline = time.monotonic() + LIMIT_S
        while True:
            sent += self.burst(port, packets, sender)
            self.call_goes_on()
            # Nothing is sent while a port changes: for that moment both have its packets.
            self.frontend.until_progress(_TURNS)
            if not self.writer.ports.rings or diverted_ports(self.writer):
                return sent
            assert time.monotonic() < deadline, "the port still floods the ring"

    def until_none_is_diverted(self) -> None:
        self.until(lambda: not diverted_ports(self.writer), "the port to come back to the ring")

    def until_read(self, port: int) -> None:
        """Wait until the writer has read all that the socket of a port holds."""
        (media, control) = next(pair for number, *pair in self.writer.ports.pairs if number == port & ~1)
        sock = control if port & 1 else media
        assert sock is not None
        self.until(lambda: not datagram_waits(sock), "the socket to be read")

    def until(self, met: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not met():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            self.frontend.heartbeat()

    def end(self) -> None:
        """The call has everything that was sent, and nothing of it was dropped."""
        closed = self.frontend.close_session(self._session)
        capture = capture_at(closed.capture_path)
        assert packets_of(capture) == self.caller.sent
        assert closed.streams[0].kernel_drops == 0
        assert not [event for event in capture.events if isinstance(event, Drops)]

    def close(self) -> None:
        self.flooder.close()
        self.caller.close()


@pytest.fixture(scope="module", params=SOURCES)
def writer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writer]:
    with running_writer(tmp_path_factory.mktemp("writer"), source=request.param, cooldown_s=0.0) as running:
        yield running


@pytest.fixture
def site(writer: Writer) -> Iterator[Site]:
    made = Site(writer)
    made.until_none_is_diverted()
    yield made
    made.close()


@pytest.fixture
def own() -> Iterator[Sender]:
    with Sender(ssrc=7) as made:
        yield made


def strange(count: int = FLOOD) -> list[bytes]:
    """RTP as a stream expects it, of a source that is not its own."""
    return [rtp(number, ssrc=0xF100D) for number in range(count)]


def finish(site: Site, session: str) -> tuple[SessionClosed, Capture]:
    closed = site.frontend.close_session(session)
    return closed, capture_at(closed.capture_path)


def reports_of(capture: Capture) -> list[bytes]:
    return [batch.packet(place) for batch in capture.rtcp() for place in range(len(batch.records))]


def test_an_idle_port_that_floods_costs_nobody_a_packet_and_serves_the_next_call(site: Site, own: Sender) -> None:
    idle = site.writer.ports.pairs[3][0]
    site.flood(idle, strange())
    # Three times what the ring holds.
    for _ in range(8):
        site.burst(idle, strange())
        site.call_goes_on()
    opened = site.frontend.open(session := new_session(), stream(port=idle))
    assert not diverted_ports(site.writer)
    own.send(opened.ports[0], *range(50))
    closed, capture = finish(site, session)
    assert packets_of(capture) == own.sent
    assert closed.streams[0].kernel_drops == 0
    site.end()


def test_a_stream_nobody_has_spoken_on_keeps_its_place_for_its_own_source(site: Site, own: Sender) -> None:
    opened = site.frontend.open(session := new_session(), stream(remote_host="127.0.0.1", remote_port=own.port))
    port = opened.ports[0]
    sent = site.flood(port, [bytes(160)] * FLOOD)
    site.until_read(port)
    own.send(port, *range(50))
    site.call_goes_on(50)
    sent += site.burst(port, strange())
    site.call_goes_on()
    closed, capture = finish(site, session)
    told = closed.streams[0]
    assert packets_of(capture) == own.sent
    assert told.malformed + told.foreign + told.kernel_drops == sent
    assert sum(event.packets for event in capture.events if isinstance(event, Drops)) == told.kernel_drops
    assert [event.host for event in capture.events if isinstance(event, Foreign)] == ["127.0.0.9"]
    site.end()


def test_of_a_paused_stream_that_floods_nothing_is_kept_but_its_reports(site: Site, own: Sender) -> None:
    opened = site.frontend.open(session := new_session(), stream())
    port = opened.ports[0]
    before = own.send(port, *range(50))
    site.call_goes_on(50)
    site.frontend.modify(session, stream(port=port, recording=False), cause="pause")
    secret = [rtp(number, ssrc=own.ssrc, fill=0x5EC2E7) for number in range(50, 50 + FLOOD)]
    sent = site.flood(port, secret, own.socket)
    sent += site.burst(port, secret, own.socket)
    deliver(own.socket, port + 1, [rtcp_report(own.ssrc)])
    site.until(lambda: not site.writer.remembers(secret[0][12:], secret[-1][12:]), "the payload to be gone")
    site.until_read(port)
    site.frontend.modify(session, stream(port=port), cause="resume")
    after = own.send(port, *range(10_000, 10_050))
    closed, capture = finish(site, session)
    assert packets_of(capture) == before + after
    assert closed.streams[0].paused + closed.streams[0].kernel_drops == sent
    assert reports_of(capture) == [rtcp_report(own.ssrc)]
    site.end()


@pytest.mark.parametrize("recording", [True, False])
def test_rtcp_that_floods_costs_no_rtp_and_reports_are_kept_again_when_it_ends(
    site: Site, own: Sender, recording: bool
) -> None:
    opened = site.frontend.open(session := new_session(), stream())
    port = opened.ports[0]
    own.send(port, *range(20))
    site.call_goes_on(20)
    if not recording:
        site.frontend.modify(session, stream(port=port, recording=False), cause="pause")
    site.flood(port + 1, [rtcp_report(0xBAD)] * FLOOD)
    # What the socket still holds is read before, in some visits.
    site.until_read(port + 1)
    deliver(own.socket, port + 1, [rtcp_report(own.ssrc)])
    if recording:
        own.send(port, *range(20, 40))
    site.call_goes_on(len(own.sent) - 20)
    site.until_none_is_diverted()
    deliver(own.socket, port + 1, [rtcp_report(own.ssrc)])
    closed, capture = finish(site, session)
    assert packets_of(capture) == own.sent
    assert reports_of(capture) == [rtcp_report(own.ssrc)] * 2
    assert closed.streams[0].kernel_drops == 0
    assert any(isinstance(event, RtcpLimit) for event in capture.events)
    site.end()


def test_a_protected_stream_that_floods_keeps_what_is_its_own(site: Site, own: Sender) -> None:
    key = new_key()
    opened = site.frontend.open(session := new_session(), stream(protection=protected(key)))
    port, client = opened.ports[0], Protector(own, key)
    sent = client.send(port, range(50), ssrc=own.ssrc)
    site.call_goes_on(50)
    flood = site.flood(port, strange())
    site.until_read(port)
    sent += client.send(port, range(50, 100), ssrc=own.ssrc)
    site.call_goes_on(50)
    closed, capture = finish(site, session)
    told = closed.streams[0]
    assert packets_of(capture) == sent
    assert told.unauthentic + told.kernel_drops == flood
    assert told.replayed == 0
    site.end()


def test_what_waits_for_a_key_outlasts_a_flood(site: Site, own: Sender) -> None:
    key, session = new_key(), new_session()
    opened = site.frontend.open(session, stream(protection=Protection(keys=())))
    port, client = opened.ports[0], Protector(own, key)
    sent = client.send(port, range(20), ssrc=own.ssrc)
    deliver(own.socket, port + 1, [client.oracle.rtcp(rtcp_report(own.ssrc), 1)])
    flood = site.flood(port, strange())
    # Back in the ring or not, packets wait in the socket.
    site.until_none_is_diverted()
    assert takes_datagrams(next(media for number, media, _ in site.writer.ports.pairs if number == port))
    site.frontend.modify(session, stream(port=port, protection=protected(key)), cause="answer")
    site.until_read(port)
    sent += client.send(port, range(20, 40), ssrc=own.ssrc)
    site.call_goes_on(40)
    closed, capture = finish(site, session)
    told = closed.streams[0]
    assert packets_of(capture) == sent
    assert reports_of(capture) == [rtcp_report(own.ssrc)]
    assert told.unauthentic + told.kernel_drops == flood
    assert sum(event.packets for event in capture.events if isinstance(event, Drops)) == told.kernel_drops
    site.end()


@pytest.mark.failover
@pytest.mark.skipif(os.geteuid() != 0, reason="a packet ring needs CAP_NET_RAW: run as root")
def test_a_port_that_floods_before_it_is_adopted_keeps_its_stream_s_packets(tmp_path: Path, own: Sender) -> None:
    with running_writer(tmp_path, source="ring", arena_path=str(tmp_path / "arena")) as writer:
        first = writer.frontend()
        port = first.open(new_session(), stream()).ports[0]
        own.send(port, *range(20))
        first.until_packets(20)
        writer.kill()
        site = Site(writer.start(), epoch=2)
        try:
            # Longer ones come to a ring by another way.
            after = own.send(port, 20, 21, 22, size=800)
            site.flood(port, [bytes(160)] * FLOOD)
            after += own.send(port, *range(23, 40))
            site.call_goes_on()
            site.frontend.open(session := new_session(), stream(port=port), adopt=True)
            after += own.send(port, *range(40, 60))
            _, capture = finish(site, session)
            assert packets_of(capture)[-40:] == after
            site.end()
        finally:
            site.close()
