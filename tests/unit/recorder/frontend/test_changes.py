"""What is agreed with a client while the writer of its session cannot be told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from media.writer.protocol import SessionModified, StreamSpec
from recorder.errors import ChannelLostError
from recorder.frontend.changes import MediaChanges
from recorder.frontend.frontend import Frontend
from recorder.frontend.moving import MediaMoves
from recorder.frontend.session import Session
from storage.catalog.records import DialogCheckpoint
from tests.unit.recorder.frontend.test_frontend import Durable
from tests.unit.recorder.frontend.test_recovery import NEXT, PAUSED, WRITER, session


@dataclass
class Site:
    """Writers and sessions as a frontend sees them."""

    lost: bool = False
    dies: bool = False
    """The writer's host is lost over the command."""
    unanswered: int = 0
    """Commands that the writer does not answer: it stands still, is killed for it, and replaced."""
    room: bool = True
    """Another writer takes the session."""
    told: list[str] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)
    commanded: dict[str, list[StreamSpec]] = field(default_factory=dict)

    @property
    def pool(self) -> Site:
        return self

    @property
    def clients(self) -> dict[str, Site]:
        return {WRITER: self}

    def is_lost(self, writer: str) -> bool:
        return self.lost and writer == WRITER

    async def reconciled(self, _: str) -> None:
        """Nobody replaces a writer of a lost host."""

    def replace(self, changed: Session) -> None:
        self.sessions[changed.dialog_id] = changed

    async def modify(self, capture: str, streams: list[StreamSpec], _: str) -> SessionModified:
        if self.unanswered:
            self.unanswered -= 1
            raise ChannelLostError("no answer")
        if self.dies:
            self.lost = True
            raise ChannelLostError("lost")
        self.told.append(capture)
        return SessionModified(request=1, session=capture, host="", ports={one.index: one.port for one in streams})

    async def at_next_writer(self, present: Session, specs: list[StreamSpec]) -> Session | None:
        if not self.room:
            return None
        return msgspec.structs.replace(present, writer=NEXT, capture="new", streams=specs)

    async def pause(self, *, answering: bool = True) -> Session:
        """Return the session after a pause."""
        present = session("old")
        self.sessions[present.dialog_id] = present
        changes = MediaChanges(
            cast("Frontend", self), cast("MediaMoves", SimpleNamespace(at_next_writer=self.at_next_writer))
        )
        after, specs = await changes._command(present, [PAUSED], "reinvite", answering=answering)
        assert specs == [PAUSED]
        return after


async def test_a_writer_that_is_there_is_told() -> None:
    site = Site()
    after = await site.pause()
    assert (site.told, after.writer, after.untold) == (["old"], WRITER, False)
    assert site.commanded == {after.dialog_id: [PAUSED]}


async def test_what_no_writer_has_put_in_force_is_not_what_its_replacement_begins_with() -> None:
    """What waits for the replacement came before the pause."""
    site = Site(dies=True)
    await site.pause(answering=False)
    assert site.commanded == {}


async def test_a_writer_that_stands_still_and_is_then_replaced_is_told_in_the_end() -> None:
    """One command has waited in vain, and the next one ends with the writer: a pause must not fail for that."""
    site = Site(unanswered=2)
    after = await site.pause()
    assert (site.told, after.writer, after.untold) == (["old"], WRITER, False)


@pytest.mark.parametrize("site", [Site(lost=True), Site(dies=True)], ids=["lost", "lost over it"])
async def test_the_answer_takes_the_session_of_a_lost_host_to_the_next_writer(site: Site) -> None:
    after = await site.pause()
    assert (after.writer, after.capture, after.untold) == (NEXT, "new", False)


@pytest.mark.parametrize(
    ("site", "answering"), [(Site(lost=True, room=False), True), (Site(lost=True), False)], ids=["no room", "no answer"]
)
async def test_where_that_cannot_be_the_writer_is_told_when_it_is_heard(site: Site, answering: bool) -> None:
    """At once marked so: the writer may be heard before all of this is durable."""
    after = await site.pause(answering=answering)
    assert (after.writer, after.untold) == (WRITER, True)
    assert site.sessions[after.dialog_id].untold


async def test_what_the_catalog_shows_of_a_change_is_written_with_it_or_not_at_all() -> None:
    """Otherwise a change that cannot be made durable, and is undone, could be found in the table of streams."""
    site = Durable(session("one"))
    changed = session("one", streams=[PAUSED])
    await MediaChanges(site.frontend, cast("MediaMoves", None))._checkpoint(changed, b"", streams_changed=True)
    (write,) = site.written
    assert isinstance(write, DialogCheckpoint)
    assert [stream.index for stream in write.streams or ()] == [0]


@pytest.mark.parametrize("durable", [False, True], ids=["not durable", "cancelled"])
async def test_a_client_that_got_no_answer_was_not_told_of_the_next_writer(durable: bool) -> None:
    """It sends to the lost host still, and is offered another one."""
    before = session("one")
    changed = session("new", writer=NEXT, dialog_id=before.dialog_id)
    left: list[str] = []
    discarded: list[str] = []

    async def restored(_: str) -> None:
        """Nobody replaces a writer of a lost host."""

    async def leave(dialog_id: str) -> None:
        left.append(dialog_id)

    async def discard_capture(_: str, capture: str, __: str) -> None:
        discarded.append(capture)

    site = Durable(changed if durable else before)
    site.frontend = cast(
        "Frontend",
        SimpleNamespace(
            sessions=site.frontend.sessions,
            commanded={},
            writer_restored=restored,
            replace=site.frontend.replace,
            discard_capture=discard_capture,
        ),
    )
    changes = MediaChanges(site.frontend, cast("MediaMoves", SimpleNamespace(leave=leave)))
    await changes._undo(before, changed, log=None)
    assert (left, discarded) == ([before.dialog_id], ["new"])
    (present,) = site.frontend.sessions.values()
    assert (present.writer, present.capture) == (WRITER, "one")


async def test_a_replacement_that_comes_while_a_change_is_undone_has_the_session_as_it_was() -> None:
    """It is waited for: before that it knows no capture that could be told."""
    before, changed = session("one"), session("one", streams=[PAUSED])
    site = Durable(before)
    frontend = site.frontend
    frontend.commanded[before.dialog_id] = changed.streams
    frontend.pool.is_lost = lambda writer: False  # type: ignore[method-assign]

    async def adopt() -> bool:
        assert frontend.commanded == {}
        frontend.adopt(session("adopted", dialog_id=before.dialog_id))
        return True

    reconciled = SimpleNamespace(is_set=lambda: False, wait=adopt)
    frontend.pool.clients[WRITER].reconciled = cast("asyncio.Event", reconciled)
    await MediaChanges(frontend, cast("MediaMoves", None))._undo(before, changed, log=None)
    assert site.told == [(WRITER, "adopted", before.streams)]
    assert (site.present.capture, site.present.streams) == ("adopted", before.streams)
    assert site.last() == site.present
