"""Protected streams in a real writer: the capture is that of a plain session (S26, R12-R14).

The sender's side is `tests.kit.srtp_oracle`, written from the RFCs without libsrtp.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from media.container import Capture, Unauthentic
from media.writer.protocol import MasterKey, Protection, Refused
from tests.integration.media_writer_kit import (
    SOURCES,
    Frontend,
    Sender,
    Writer,
    capture_at,
    deliver,
    new_session,
    packets_of,
    rtcp_report,
    rtp,
    running_writer,
    stream,
)
from tests.kit.srtp_oracle import LENGTHS, Oracle

pytestmark = pytest.mark.integration

SUITES = [suite for suite in LENGTHS if "192" not in suite]
SUITE = SUITES[0]
SSRC = 0x1234


def new_key(suite: str = SUITE, mki: bytes = b"") -> MasterKey:
    key, salt, _, _ = LENGTHS[suite]
    return MasterKey(suite, os.urandom(key + salt), mki)


def protected(*keys: MasterKey, former: tuple[MasterKey, ...] = ()) -> Protection:
    return Protection(keys=keys, former=former)


class Protector:
    """Sends as a client with one key, which counts its rollovers itself."""

    def __init__(self, sender: Sender, key: MasterKey, *, rollovers: int = 0) -> None:
        self.sender, self.rollovers, self.before = sender, rollovers, -1
        self.oracle = Oracle(key.suite, key.key_salt, key.mki)

    def send(self, port: int, sequences: Iterable[int], *, size: int = 160, ssrc: int = SSRC) -> list[bytes]:
        """Send sequence numbers, extended; return the plain packets."""
        numbers = list(sequences)
        packets = [rtp(sequence, ssrc=ssrc, size=size) for sequence in numbers]
        sealed = [
            self.oracle.rtp(packet, self.rollovers + (number >> 16))
            for number, packet in zip(numbers, packets, strict=True)
        ]
        deliver(self.sender.socket, port, sealed)
        return packets


@pytest.fixture(params=SOURCES)
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Writer]:
    with running_writer(tmp_path, source=request.param, arena_path=str(tmp_path / "arena")) as running:
        yield running


@pytest.fixture
def sender() -> Iterator[Sender]:
    made = Sender()
    yield made
    made.close()


def finish(frontend: Frontend, session: str, path: str) -> Capture:
    frontend.close_session(session)
    return capture_at(path)


@pytest.mark.parametrize("suite", SUITES)
def test_each_suite_comes_out_as_it_went_in(writer: Writer, sender: Sender, suite: str) -> None:
    key, session = new_key(suite), new_session()
    frontend = writer.frontend()
    opened = frontend.open(session, stream(protection=protected(key)))
    client = Protector(sender, key)
    sent = client.send(opened.ports[0], range(65530, 65545))
    # Long packets come to a ring by another way: one after the other, so that their order is known.
    frontend.until_packets(len(sent))
    sent += client.send(opened.ports[0], range(65545, 65548), size=480)
    sender.send_raw(opened.ports[0] + 1, client.oracle.rtcp(rtcp_report(), 1))
    frontend.until_packets(len(sent))
    capture = finish(frontend, session, opened.capture_path)
    assert packets_of(capture) == sent
    (batch,) = capture.rtcp()
    assert batch.packet(0) == rtcp_report()
    assert capture.session.streams[0].protection == suite
    assert capture.end is not None
    assert capture.end.streams[0].unauthentic == 0
    assert key.key_salt not in Path(opened.capture_path).read_bytes()


def test_what_does_not_authenticate_is_kept_out_counted_and_told(writer: Writer, sender: Sender) -> None:
    key, session = new_key(), new_session()
    frontend = writer.frontend()
    opened = frontend.open(session, stream(protection=protected(key)))
    port = opened.ports[0]
    Protector(sender, new_key()).send(port, range(10))
    sender.send(port, *range(10))  # not protected at all
    sent = Protector(sender, key).send(port, range(20, 25))
    sender.send_raw(port + 1, rtcp_report())
    frontend.until_packets(len(sent))
    capture = finish(frontend, session, opened.capture_path)
    assert packets_of(capture) == sent
    assert not list(capture.rtcp())
    told = [event for event in capture.events if isinstance(event, Unauthentic)]
    assert sum(event.packets for event in told) == 21
    assert all(event.since_ns <= event.at_ns for event in told)
    assert capture.end is not None
    assert capture.end.streams[0].unauthentic == 21


def test_a_replayed_packet_is_counted_and_is_no_alarm(writer: Writer, sender: Sender) -> None:
    key, session = new_key(), new_session()
    frontend = writer.frontend()
    opened = frontend.open(session, stream(protection=protected(key)))
    client = Protector(sender, key)
    sent = client.send(opened.ports[0], range(5))
    client.send(opened.ports[0], range(3))
    sent += client.send(opened.ports[0], [5])
    frontend.until_packets(len(sent))
    capture = finish(frontend, session, opened.capture_path)
    assert packets_of(capture) == sent
    assert capture.end is not None
    assert (capture.end.streams[0].replayed, capture.end.streams[0].unauthentic) == (3, 0)


def test_r12_a_source_met_in_mid_stream_and_several_sources(writer: Writer, sender: Sender) -> None:
    """RFC 3711 §3.3.1: a receiver that joins late has to be told the rollover counter, or to find it."""
    key, session = new_key(), new_session()
    frontend = writer.frontend()
    opened = frontend.open(session, stream(protection=protected(key)))
    late, early = Protector(sender, key, rollovers=7), Protector(sender, key)
    sent = late.send(opened.ports[0], range(65534, 65539)) + early.send(opened.ports[0], range(65534, 65539), ssrc=9)
    sent += late.send(opened.ports[0], range(65539, 65542)) + early.send(opened.ports[0], range(65539, 65542), ssrc=9)
    frontend.until_packets(len(sent))
    capture = finish(frontend, session, opened.capture_path)
    assert packets_of(capture) == sent


def test_r13_old_and_new_key_are_accepted_in_the_handover(writer: Writer, sender: Sender) -> None:
    old, new, session = new_key(), new_key("AEAD_AES_256_GCM"), new_session()
    frontend = writer.frontend()
    opened = frontend.open(session, stream(protection=protected(old)))
    port = opened.ports[0]
    before, after = Protector(sender, old, rollovers=1), Protector(sender, new)
    sent = before.send(port, range(5))
    frontend.until_packets(5)
    frontend.modify(session, stream(port=port, protection=protected(new, former=(old,))))
    sent += before.send(port, range(5, 8)) + after.send(port, range(8, 12)) + before.send(port, [12])
    sent += after.send(port, range(13, 15))
    frontend.until_packets(len(sent))
    capture = finish(frontend, session, opened.capture_path)
    assert packets_of(capture) == sent


def test_the_same_key_may_begin_again_with_rollover_0_after_a_change(writer: Writer, sender: Sender) -> None:
    """RFC 4568 §7.1.4 has its reasons, and some clients reset the counter without a new key."""
    key, session = new_key(), new_session()
    frontend = writer.frontend()
    opened = frontend.open(session, stream(protection=protected(key)))
    sent = Protector(sender, key, rollovers=3).send(opened.ports[0], range(100, 105))
    frontend.until_packets(5)
    frontend.modify(session, stream(port=opened.ports[0], protection=protected(key), remote_port=4000))
    sent += Protector(sender, key).send(opened.ports[0], range(105, 110))
    frontend.until_packets(10)
    capture = finish(frontend, session, opened.capture_path)
    assert packets_of(capture) == sent


@pytest.mark.parametrize("suite", [SUITE, "AEAD_AES_128_GCM"])
def test_keys_with_identifiers(writer: Writer, sender: Sender, suite: str) -> None:
    first, second, session = new_key(suite, b"\0\1"), new_key(suite, b"\0\2"), new_session()
    frontend = writer.frontend()
    opened = frontend.open(session, stream(protection=protected(first, second)))
    sent = Protector(sender, second).send(opened.ports[0], range(5))
    sent += Protector(sender, first).send(opened.ports[0], range(5, 10))
    sender.send_raw(opened.ports[0] + 1, Oracle(suite, first.key_salt, first.mki).rtcp(rtcp_report(), 1))
    frontend.until_packets(10)
    capture = finish(frontend, session, opened.capture_path)
    assert packets_of(capture) == sent
    assert len(list(capture.rtcp())) == 1


def test_packets_wait_for_a_key_that_is_still_to_come(writer: Writer, sender: Sender) -> None:
    key, session = new_key(), new_session()
    frontend = writer.frontend()
    opened = frontend.open(session, stream(protection=Protection(keys=())))
    client = Protector(sender, key)
    sent = client.send(opened.ports[0], range(5))
    sender.send_raw(opened.ports[0] + 1, client.oracle.rtcp(rtcp_report(), 1))
    frontend.heartbeat()
    frontend.modify(session, stream(port=opened.ports[0], protection=protected(key)), cause="answer")
    sent += client.send(opened.ports[0], range(5, 10))
    frontend.until_packets(10)
    capture = finish(frontend, session, opened.capture_path)
    assert packets_of(capture) == sent
    assert len(list(capture.rtcp())) == 1
    assert capture.end is not None
    assert (capture.end.streams[0].unauthentic, capture.end.streams[0].replayed) == (0, 0)


def test_of_a_stream_that_is_paused_before_its_key_came_nothing_is_kept(writer: Writer, sender: Sender) -> None:
    key, session = new_key(), new_session()
    frontend = writer.frontend()
    opened = frontend.open(session, stream(protection=Protection(keys=())))
    port, client = opened.ports[0], Protector(sender, key)
    client.send(port, range(5))
    frontend.heartbeat()
    frontend.modify(session, stream(port=port, protection=protected(key), recording=False))
    frontend.heartbeat()
    frontend.modify(session, stream(port=port, protection=protected(key)))
    sent = client.send(port, range(5, 10))
    frontend.until_packets(5)
    capture = finish(frontend, session, opened.capture_path)
    assert packets_of(capture) == sent
    assert capture.end is not None
    assert (capture.end.streams[0].paused, capture.end.streams[0].unauthentic) == (5, 0)


def test_a_port_that_waited_for_a_key_in_vain_serves_the_next_session(tmp_path: Path, sender: Sender) -> None:
    """With a ring as with sockets: what waited is dropped, and the next session's packets come once."""
    for source in ("sockets", "ring") if os.geteuid() == 0 else ("sockets",):
        with running_writer(tmp_path / source, source=source, ports=1, cooldown_s=0.0) as writer:
            frontend = writer.frontend()
            opened = frontend.open(waiting := new_session(), stream(protection=Protection(keys=())))
            Protector(sender, new_key()).send(opened.ports[0], range(5))
            frontend.close_session(waiting)
            again = frontend.open(session := new_session(), stream())
            sent = sender.send(again.ports[0], *range(20, 40))
            frontend.until_packets(len(sent))
            assert packets_of(finish(frontend, session, again.capture_path)) == sent


def test_a_key_of_a_wrong_length_is_refused_and_never_shown(writer: Writer) -> None:
    key = MasterKey(SUITE, b"far too short a key")
    reply = writer.frontend().try_open(new_session(), stream(protection=protected(key)))
    assert isinstance(reply, Refused)
    assert "short" not in reply.detail
    assert "short" not in repr(protected(key))


def test_plain_and_protected_streams_of_one_batch(writer: Writer, sender: Sender) -> None:
    key, session = new_key(), new_session()
    frontend = writer.frontend()
    opened = frontend.open(session, stream(0), stream(1, protection=protected(key)))
    other = Sender(ssrc=77)
    client = Protector(sender, key)
    sealed, plain = [], []
    for turn in range(3):
        sealed += client.send(opened.ports[1], range(turn * 20, turn * 20 + 20))
        plain += other.send(opened.ports[0], *range(turn * 20, turn * 20 + 20), size=400)
    frontend.until_packets(120)
    other.close()
    capture = finish(frontend, session, opened.capture_path)
    assert packets_of(capture, 0) == plain
    assert packets_of(capture, 1) == sealed


@pytest.mark.failover
@pytest.mark.parametrize("start", [65_500, 3 * 65_536 + 65_500])
def test_a_replacement_goes_on_after_a_wrap(writer: Writer, sender: Sender, start: int) -> None:
    """The key comes with the command, the rollover counter from the memory that the dead writer left."""
    key, session = new_key(), new_session()
    frontend = writer.frontend()
    spec = stream(protection=protected(key))
    opened = frontend.open(session, spec)
    client = Protector(sender, key)
    sent = client.send(opened.ports[0], range(start, start + 60))
    frontend.until_packets(60)
    writer.kill()
    sent += client.send(opened.ports[0], range(start + 60, start + 90))
    writer.start()
    frontend = writer.frontend(2)
    successor = new_session()
    again = frontend.open(successor, stream(port=opened.ports[0], protection=protected(key)), adopt=True)
    sent += client.send(opened.ports[0], range(start + 90, start + 120))
    frontend.until_packets(60)
    second = finish(frontend, successor, again.capture_path)
    first = capture_at(opened.capture_path)
    recorded = packets_of(first) + packets_of(second)
    assert sorted(set(sent) - set(recorded)) == []
    assert second.end is not None
    assert second.end.streams[0].unauthentic == 0
    assert key.key_salt not in (writer.root / "arena").read_bytes()
