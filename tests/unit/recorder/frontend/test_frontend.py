"""Sessions that change while their writer is away, and comes back meanwhile."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from media.writer.protocol import SessionModified, StreamSpec
from recorder.frontend.frontend import Frontend
from recorder.frontend.session import FormerCapture, Move, Session, decode_checkpoint
from recorder.frontend.twins import Twins
from storage.catalog.records import DialogCheckpoint
from tests.unit.recorder.frontend.test_recovery import NEXT, PAUSED, SPEC, WRITER, session

OLD = session("one")
MOVED = FormerCapture(writer=WRITER, capture="one")


def with_clients(*, connected: bool) -> tuple[Frontend, list[str]]:
    """A frontend with one session, and the names of the writers that it has compared again."""
    compared: list[str] = []
    clients = {name: SimpleNamespace(name=name, connected=connected) for name in (WRITER, NEXT)}
    pool = SimpleNamespace(
        clients=clients, place=lambda *_: None, reconcile=lambda client: compared.append(client.name)
    )
    parts: dict[str, Any] = dict.fromkeys(
        ("settings", "agent", "transport", "catalog", "ability", "edge", "tracer", "clock", "wall_clock"),
        SimpleNamespace(),
    )
    frontend = Frontend(**parts, pool=pool, instance="", twins=Twins())  # type: ignore[arg-type]
    frontend.sessions[OLD.dialog_id] = OLD
    return frontend, compared


@pytest.mark.parametrize(
    ("after", "compared"),
    [
        (session("one", untold=True), [WRITER]),
        (session("new", writer=NEXT, dialog_id=OLD.dialog_id), [WRITER]),
        (session("new", writer=NEXT, dialog_id=OLD.dialog_id, former=MOVED), []),
        (session("one"), []),
    ],
    ids=["not told", "left behind", "left and still read", "unchanged"],
)
def test_a_writer_that_is_heard_again_is_compared_with_what_was_agreed_without_it(
    after: Session, compared: list[str]
) -> None:
    frontend, told = with_clients(connected=True)
    frontend.replace(after)
    assert told == compared


def test_one_that_is_not_heard_is_compared_when_it_is() -> None:
    frontend, told = with_clients(connected=False)
    frontend.replace(session("one", untold=True))
    assert told == []


MOVE = Move(writer=NEXT, capture="new", capture_path="new", host="192.0.2.3", streams=[SPEC])
MOVING = session("one", move=MOVE)
ADOPTED_MOVE = session("one", move=msgspec.structs.replace(MOVE, capture="adopted", capture_path="adopted"))
ARRIVED = session("new", writer=NEXT, dialog_id=OLD.dialog_id, former=MOVED)


class Durable:
    """A frontend whose catalog takes what it is given, while a writer is replaced."""

    def __init__(self, *presents: Session) -> None:
        self.frontend, _ = with_clients(connected=True)
        self.frontend.sessions[OLD.dialog_id] = presents[0]
        self._presents = list(presents[1:])
        self.written: list[DialogCheckpoint] = []
        self.told: list[tuple[str, str, list[StreamSpec]]] = []
        for name, client in self.frontend.pool.clients.items():
            client.modify = partial(self._modify, name)  # type: ignore[method-assign]
        self.frontend.agent.snapshot = lambda dialog_id: b""  # type: ignore[method-assign]
        self.frontend.catalog.epoch = 1
        self.frontend.catalog.write = self._write  # type: ignore[assignment,method-assign]
        self.frontend.settings = SimpleNamespace(node="host-a")  # type: ignore[assignment]
        self.frontend.pool.is_local = lambda writer: True  # type: ignore[method-assign]

    @property
    def present(self) -> Session:
        return self.frontend.sessions[OLD.dialog_id]

    async def _modify(self, writer: str, capture: str, streams: list[StreamSpec], _: str) -> SessionModified:
        self.told.append((writer, capture, streams))
        return SessionModified(request=1, session=capture, host="", ports={one.index: one.port for one in streams})

    async def _write(self, write: DialogCheckpoint) -> None:
        self.written.append(write)
        if self._presents:
            self.frontend.adopt(self._presents.pop(0))
            await self.frontend.checkpoint_captures(OLD.dialog_id)

    def last(self) -> Session:
        """Return what a takeover would find."""
        return decode_checkpoint(self.written[-1].snapshot)[0]


async def test_a_change_during_which_the_writer_is_replaced_goes_on_with_the_replacement() -> None:
    """It takes the streams as they were while the change is made durable, which may take long without PostgreSQL."""
    site = Durable(OLD, session("adopted", dialog_id=OLD.dialog_id))
    await site.frontend.succeed(session("one", streams=[PAUSED]), b"")
    assert site.written[-1].capture_path == "adopted"
    assert site.told == [(WRITER, "adopted", [PAUSED])]
    assert (site.present.capture, site.present.streams) == ("adopted", [PAUSED])
    assert site.last() == site.present


async def test_a_move_whose_writer_is_replaced_while_it_is_made_durable_goes_on_with_the_replacement() -> None:
    site = Durable(MOVING, ADOPTED_MOVE)
    paused = msgspec.structs.replace(MOVE, streams=[PAUSED])
    await site.frontend.succeed(session("one", move=paused), b"")
    assert site.told == [(NEXT, "adopted", [PAUSED])]
    assert site.present.move == msgspec.structs.replace(paused, capture="adopted", capture_path="adopted")
    assert site.last() == site.present


async def test_a_session_arrives_at_the_replacement_of_the_writer_that_it_moved_to() -> None:
    site = Durable(MOVING, ADOPTED_MOVE)
    await site.frontend.succeed(ARRIVED, b"", capture=(NEXT, "new"))
    assert site.told == [(NEXT, "adopted", [SPEC])]
    assert (site.present.writer, site.present.capture, site.written[-1].capture_path) == (NEXT, "adopted", "adopted")
    assert site.last() == site.present


async def test_a_session_that_arrives_leaves_the_capture_of_a_replacement_behind() -> None:
    site = Durable(MOVING, session("adopted", dialog_id=OLD.dialog_id, move=MOVE))
    await site.frontend.succeed(ARRIVED, b"")
    assert site.present.former == FormerCapture(writer=WRITER, capture="adopted")
    assert site.told == []


async def test_what_is_written_of_the_session_before_is_not_the_last_word_about_a_change() -> None:
    """Its writer was told what it had missed, or a capture of it was found to hold media."""
    site = Durable(OLD, OLD)
    changed = session("one", streams=[PAUSED])
    await site.frontend.succeed(changed, b"")
    assert site.last() == changed


def test_a_capture_that_a_replacement_has_made_stays_whatever_is_put_in_place() -> None:
    frontend, _ = with_clients(connected=True)
    frontend.pool.is_local = lambda writer: True  # type: ignore[method-assign]
    frontend.sessions[OLD.dialog_id] = session("adopted", dialog_id=OLD.dialog_id)
    frontend.replace(session("one"))
    assert frontend.sessions[OLD.dialog_id].capture == "adopted"
