"""A writer process that is frozen and thawed, and what frontends had said to it meanwhile."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from media.writer.protocol import (
    CloseSession,
    ModifySession,
    RefusalReason,
    Refused,
    SessionClosed,
    SessionModified,
    SessionsSettled,
    SettleSessions,
)
from tests.integration.media_writer_kit import (
    SOURCES,
    Frontend,
    Sender,
    Writer,
    capture_at,
    new_session,
    packets_of,
    running_writer,
    stream,
)

pytestmark = pytest.mark.integration

LIMIT_S = 0.5
AWAY_S = 0.8


@pytest.fixture(params=SOURCES)
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Writer]:
    with running_writer(tmp_path, ports=2, source=request.param, standstill_s=LIMIT_S) as running:
        yield running


def settle(frontend: Frontend, *untold: str) -> None:
    """Say what the writer was not told, until it waits for nothing more."""
    while number := frontend.list().standstill:
        reply = frontend.ask(
            SettleSessions(request=frontend.number(), epoch=frontend.epoch, standstill=number, untold=list(untold))
        )
        assert isinstance(reply, SessionsSettled)


@contextmanager
def frozen(writer: Writer) -> Iterator[None]:
    """Stop the process for longer than others would wait for it."""
    assert writer.process is not None
    writer.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        yield
        time.sleep(max(0.0, began + AWAY_S - time.monotonic()))
    finally:
        writer.process.send_signal(signal.SIGCONT)


def test_what_waits_is_recorded_once_the_frontend_says_that_nothing_else_was_agreed(
    writer: Writer, senders: Callable[..., Sender]
) -> None:
    frontend, session, sender = writer.frontend(), new_session(), senders()
    settle(frontend)
    opened = frontend.open(session, stream())
    sender.send(opened.ports[0], *range(5))
    frontend.until_packets(5)
    with frozen(writer):
        sender.send(opened.ports[0], *range(5, 20))
    frontend.until_progress(10)
    assert frontend.heartbeat().standstill
    assert packets_of(capture_at(opened.capture_path)) == sender.sent[:5]
    settle(frontend)
    frontend.until_packets(20)
    assert packets_of(capture_at(frontend.close_session(session).capture_path)) == sender.sent


def test_nothing_is_recorded_of_a_session_that_has_moved_away(writer: Writer, senders: Callable[..., Sender]) -> None:
    """Its client was told to pause, at another address: what waits here may be of the pause."""
    before, session, sender = writer.frontend(epoch=1), new_session(), senders()
    settle(before)
    opened = before.open(session, stream())
    with frozen(writer):
        sender.send(opened.ports[0], *range(20))
        after = writer.frontend(epoch=2)
    settle(after, session)
    closed = after.close_session(session, "no-dialog")
    assert packets_of(capture_at(closed.capture_path)) == []
    assert closed.streams[0].paused == 20


def test_commands_that_waited_over_a_standstill_are_carried_out_behind_it(
    writer: Writer, senders: Callable[..., Sender]
) -> None:
    """A pause of the frontend that still has the lease: what came before it is the recording's."""
    frontend, session, sender = writer.frontend(), new_session(), senders()
    settle(frontend)
    opened = frontend.open(session, stream())
    with frozen(writer):
        sender.send(opened.ports[0], *range(8))
        number = frontend.number()
        paused = [stream(recording=False)]
        frontend.post(ModifySession(request=number, epoch=1, session=session, streams=paused, cause="reinvite"))
    settle(frontend)
    assert isinstance(frontend.wait(number), SessionModified)
    sender.send_raw(opened.ports[0], sender.sent[0])
    assert packets_of(capture_at(frontend.close_session(session).capture_path)) == sender.sent


def test_commands_of_a_frontend_that_has_lost_the_lease_meanwhile_are_refused(writer: Writer) -> None:
    before, session = writer.frontend(epoch=1), new_session()
    settle(before)
    before.open(session, stream())
    with frozen(writer):
        number = before.number()
        before.post(CloseSession(request=number, epoch=1, session=session, cause="bye"))
        after = writer.frontend(epoch=2)
    settle(after)
    refused = before.wait(number)
    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.STALE_EPOCH
    assert isinstance(after.try_close(session), SessionClosed)


def test_commands_of_a_frontend_that_has_gone_are_forgotten(writer: Writer) -> None:
    before, session = writer.frontend(), new_session()
    settle(before)
    before.open(session, stream())
    with frozen(writer):
        before.post(CloseSession(request=before.number(), epoch=1, session=session, cause="bye"))
        before.disconnect()
        after = writer.frontend()
    after.until_progress(10)
    settle(after)
    assert [one.session for one in after.list().sessions] == [session]


def test_a_replacement_reads_nothing_that_waits_before_it_knows(writer: Writer, senders: Callable[..., Sender]) -> None:
    """A thawed host replaces its writer, because that was silent: it knows as little as the one before it."""
    frontend, session, sender = writer.frontend(), new_session(), senders()
    settle(frontend)
    opened = frontend.open(session, stream())
    sender.send(opened.ports[0], *range(5))
    frontend.until_packets(5)
    frontend.until_progress(1)  # what was read of a ring is given back to the kernel by then
    writer.kill()
    sender.send(opened.ports[0], *range(5, 10))
    writer.start()
    following, again = writer.frontend(epoch=2), new_session()
    assert following.list().standstill
    settle(following)
    adopted = following.open(again, stream(port=opened.ports[0]), adopt=True)
    following.until_packets(5)
    assert packets_of(capture_at(following.close_session(again).capture_path)) == sender.sent[5:]
    assert adopted.ports == opened.ports
