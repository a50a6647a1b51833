"""What a frontend tells a writer that it could not tell before: the host was lost, the writer perhaps only frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import msgspec
import pytest

from media.writer.protocol import Codec, SessionList, SessionOpened, SessionSummary, StreamSpec
from recorder.errors import ChannelLostError
from recorder.frontend.frontend import Frontend
from recorder.frontend.recovery import Recovery
from recorder.frontend.session import FormerCapture, Move, Session
from recorder.writer_pool.client import WriterClient

WRITER, NEXT = "host-a/writer-1", "host-b/writer-1"
SPEC = StreamSpec(index=0, party=0, port=20000, payload_types={0: Codec(name="PCMU", clock_rate=8000)})
PAUSED = msgspec.structs.replace(SPEC, recording=False)


@dataclass
class RecordingWriter:
    """Lists what it captures, and writes down what it is told."""

    running: Iterable[str] = ()
    standstill: int = 0
    name: str = WRITER
    connected: bool = True
    connections: int = 1
    told: list[tuple[object, ...]] = field(default_factory=list)
    opened: list[list[bool]] = field(default_factory=list)
    """What each capture recorded when it was opened, by stream."""
    reconciled: asyncio.Event = field(default_factory=asyncio.Event)
    while_opening: Callable[[], None] = lambda: None
    while_listing: Callable[[], None] = lambda: None

    async def sessions(self) -> SessionList:
        self.while_listing()
        summaries = [SessionSummary(session=one, capture_path=one, streams=[]) for one in self.running]
        return SessionList(request=1, sessions=summaries, standstill=self.standstill)

    async def settle(self, standstill: int, untold: list[str]) -> None:
        self.told.append(("settle", standstill, *sorted(untold)))

    async def modify(self, session: str, streams: list[StreamSpec], _: str) -> None:
        self.told.append(("modify", session, *(one.recording for one in streams)))

    async def close(self, session: str, cause: str) -> None:
        self.told.append(("close", session, cause))

    async def open(
        self, session: str, _: dict[str, object], streams: list[StreamSpec], *, adopt: bool
    ) -> SessionOpened:
        self.told.append(("open", adopt))
        self.opened.append([one.recording for one in streams])
        self.while_opening()
        ports = {one.index: one.port for one in streams}
        return SessionOpened(request=1, session=session, host="", ports=ports, capture_path=session)


class Unsealed:
    """As much of a `DurableCatalog` as opens what is sealed."""

    def unsealed(self, one: object) -> object:
        return one


@dataclass
class Sessions:
    """As much of a `Frontend` as has to do with them."""

    sessions: dict[str, Session]
    under_way: dict[str, object] = field(default_factory=dict)
    commanded: dict[str, list[StreamSpec]] = field(default_factory=dict)
    catalog: Unsealed = field(default_factory=Unsealed)
    durable: list[Session] = field(default_factory=list)

    def wall_clock(self) -> datetime:
        return datetime(2026, 11, 30, tzinfo=UTC)

    def replace(self, session: Session) -> None:
        self.sessions[session.dialog_id] = session

    def instance_of(self, writer: str) -> str:
        return writer

    adopt = replace

    async def checkpoint_captures(self, dialog_id: str, *_: tuple[str, str]) -> None:
        self.durable.append(self.sessions[dialog_id])


def session(capture: str, *, writer: str = WRITER, streams: list[StreamSpec] | None = None, **more: object) -> Session:
    values: dict[str, object] = {
        "dialog_id": f"dialog of {capture}",
        "call_id": "call",
        "record_identifier": "record",
        "door": "msr",
        "instance": "instance",
        "segment": UUID(int=1),
        "writer": writer,
        "capture": capture,
        "capture_path": capture,
        "opened_at": datetime(2026, 11, 30, tzinfo=UTC),
        "peer": "192.0.2.1",
        "host": "192.0.2.2",
        "streams": streams or [SPEC],
        "participants": {},
        "descriptor": {},
    }
    return Session(**{**values, **more})  # type: ignore[arg-type]


def compared(writer: RecordingWriter, *sessions: Session, holds: bool = True) -> Sessions:
    """Let a frontend with these sessions meet the writer."""
    frontend = Sessions({one.dialog_id: one for one in sessions})
    recovery = Recovery(cast("Frontend", frontend), lambda: holds)
    asyncio.run(recovery.writer_connected(cast("WriterClient", writer)))
    return frontend


def test_what_waits_for_sessions_that_moved_away_or_ended_is_not_for_a_capture() -> None:
    writer = RecordingWriter(["moved", "stays", "ended"], standstill=3)
    compared(writer, session("stays"), session("other", writer=NEXT))
    assert writer.told[0] == ("settle", 3, "ended", "moved")
    assert sorted(writer.told[1:]) == [("close", "ended", "no-dialog"), ("close", "moved", "no-dialog")]


def test_the_capture_that_a_move_has_left_behind_keeps_what_waits() -> None:
    writer = RecordingWriter(["left"], standstill=3)
    compared(writer, session("new", writer=NEXT, former=FormerCapture(writer=WRITER, capture="left")))
    assert writer.told == [("settle", 3)]


def test_a_pause_that_was_agreed_while_the_writer_was_lost_is_told_it_before_it_records() -> None:
    writer = RecordingWriter(["one", "two"], standstill=1)
    frontend = compared(writer, session("one", streams=[PAUSED], untold=True), session("two"))
    assert writer.told == [("settle", 1, "one"), ("modify", "one", False)]
    (told,) = frontend.durable
    assert (told.capture, told.untold) == ("one", False)
    assert not any(one.untold for one in frontend.sessions.values())


def test_it_is_told_as_well_where_the_host_was_cut_off_and_did_not_stand_still() -> None:
    writer = RecordingWriter(["one"])
    compared(writer, session("one", streams=[PAUSED], untold=True))
    assert writer.told == [("settle", 0, "one"), ("modify", "one", False)]


def test_a_writer_that_knows_everything_is_told_nothing() -> None:
    writer = RecordingWriter(["one"])
    compared(writer, session("one"))
    assert writer.told == []


def test_who_has_lost_the_lease_decides_nothing() -> None:
    """It was frozen as well: its sessions are those of before."""
    writer = RecordingWriter(["one", "stranger"], standstill=1)
    compared(writer, session("one"), session("missing"), holds=False)
    assert writer.told == []
    assert writer.reconciled.is_set()


def test_a_replacement_is_settled_before_it_adopts_and_adopts_nothing_that_may_be_of_a_pause() -> None:
    writer = RecordingWriter(standstill=1)
    frontend = compared(writer, session("one"), session("two", untold=True))
    assert writer.told == [("settle", 1), ("open", True), ("open", False)]
    assert not any(one.untold for one in frontend.sessions.values())


def test_a_replacement_that_adopts_a_session_while_it_changes_is_told_how_it_is_now() -> None:
    """The dead writer was told of a pause, and the client has its answer before the next one has the streams."""
    writer = RecordingWriter()
    frontend = Sessions({"dialog of one": session("one")})
    writer.while_opening = lambda: frontend.replace(session("one", streams=[PAUSED]))
    asyncio.run(Recovery(cast("Frontend", frontend), lambda: True).writer_connected(cast("WriterClient", writer)))
    (adopted,) = frontend.sessions.values()
    assert writer.told == [("open", True), ("modify", adopted.capture, False)]
    assert adopted.capture != "one"
    assert adopted.streams == [PAUSED]


@pytest.mark.parametrize(
    ("agreed", "commanded", "recording"),
    [(SPEC, PAUSED, False), (PAUSED, SPEC, False), (SPEC, SPEC, True)],
    ids=["paused", "resumed", "neither"],
)
def test_a_replacement_does_not_record_what_the_dead_writer_was_told_to_leave_out(
    agreed: StreamSpec, commanded: StreamSpec, recording: bool
) -> None:
    """Nor what the client has been told is paused. What is agreed is known when the change is durable."""
    writer = RecordingWriter()
    frontend = Sessions({"dialog of one": session("one", streams=[agreed])}, commanded={"dialog of one": [commanded]})
    asyncio.run(Recovery(cast("Frontend", frontend), lambda: True).writer_connected(cast("WriterClient", writer)))
    (adopted,) = frontend.sessions.values()
    assert (writer.told, writer.opened) == ([("open", True)], [[recording]])
    assert adopted.streams == [agreed]


def test_a_replacement_records_at_once_when_the_pause_is_given_up_while_it_adopts() -> None:
    """It could not be made durable: nothing has changed, and the replacement has no other to tell it."""
    writer = RecordingWriter()
    frontend = Sessions({"dialog of one": session("one")}, commanded={"dialog of one": [PAUSED]})
    writer.while_opening = frontend.commanded.clear
    asyncio.run(Recovery(cast("Frontend", frontend), lambda: True).writer_connected(cast("WriterClient", writer)))
    (adopted,) = frontend.sessions.values()
    assert writer.told == [("open", True), ("modify", adopted.capture, True)]
    assert writer.opened == [[False]]


def test_a_replacement_of_the_next_writer_has_the_session_that_arrives_while_it_adopts() -> None:
    """The dead one had taken the client's answer, and what it brought was not durable yet."""
    writer = RecordingWriter()
    move = Move(writer=WRITER, capture="new", capture_path="new", host="192.0.2.3", streams=[SPEC])
    frontend = Sessions({"dialog of one": session("one", writer=NEXT, move=move)})
    arrived = session("new", dialog_id="dialog of one", streams=[PAUSED])
    writer.while_opening = lambda: frontend.replace(arrived)
    asyncio.run(Recovery(cast("Frontend", frontend), lambda: True).writer_connected(cast("WriterClient", writer)))
    (adopted,) = frontend.sessions.values()
    assert writer.told == [("open", True), ("modify", adopted.capture, False)]
    assert (adopted.writer, adopted.streams) == (WRITER, [PAUSED])
    assert adopted.capture != "new"


def test_a_replacement_of_the_next_writer_is_told_what_was_paused_while_it_adopted() -> None:
    writer = RecordingWriter()
    move = Move(writer=WRITER, capture="new", capture_path="new", host="192.0.2.3", streams=[SPEC])
    paused = msgspec.structs.replace(move, streams=[PAUSED])
    frontend = Sessions({"dialog of one": session("one", writer=NEXT, move=move)})
    writer.while_opening = lambda: frontend.replace(session("one", writer=NEXT, move=paused))
    asyncio.run(Recovery(cast("Frontend", frontend), lambda: True).writer_connected(cast("WriterClient", writer)))
    (adopted,) = frontend.sessions.values()
    assert adopted.move is not None
    assert writer.told == [("open", True), ("modify", adopted.move.capture, False)]
    assert (adopted.capture, adopted.move.streams) == ("one", [PAUSED])


@pytest.mark.parametrize("again", [False, True], ids=["gone", "replaced"])
def test_a_writer_that_dies_while_it_is_compared_has_not_been_compared(again: bool) -> None:
    """Whoever waits for that would tell the next one of a session that it does not have."""
    writer = RecordingWriter()

    def die() -> None:
        writer.connected, writer.connections = again, writer.connections + again
        raise ChannelLostError("lost")

    writer.while_listing = die
    compared(writer, session("one"))
    assert not writer.reconciled.is_set()
