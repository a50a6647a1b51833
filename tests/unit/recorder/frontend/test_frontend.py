"""Sessions that change while their writer is away, and comes back meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from media.writer.protocol import StreamSpec
from recorder.frontend.frontend import Frontend
from recorder.frontend.session import FormerCapture, Session
from recorder.frontend.twins import Twins
from tests.unit.recorder.frontend.test_recovery import NEXT, PAUSED, WRITER, session

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


async def test_a_change_during_which_the_writer_is_replaced_goes_on_with_the_replacement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes the streams as they were while the change is made durable, which may take long without PostgreSQL."""
    frontend, _ = with_clients(connected=True)
    adopted = session("adopted", dialog_id=OLD.dialog_id)
    told: list[tuple[str, list[StreamSpec]]] = []
    durable: list[tuple[str, object]] = []

    async def modify(capture: str, streams: list[StreamSpec], _: str) -> None:
        told.append((capture, streams))

    async def checkpoint(_: Frontend, changed: Session, __: bytes | None, *, capture: object = None) -> None:
        durable.append((changed.capture, capture))
        frontend.replace(adopted)

    frontend.pool.clients[WRITER].modify = modify  # type: ignore[assignment,method-assign]
    monkeypatch.setattr(Frontend, "checkpoint", checkpoint)
    await frontend.succeed(session("one", dialog_id=OLD.dialog_id, streams=[PAUSED]), b"")
    assert durable == [("one", None), ("adopted", (WRITER, "adopted"))]
    assert told == [("adopted", [PAUSED])]
    present = frontend.sessions[OLD.dialog_id]
    assert (present.capture, present.streams) == ("adopted", [PAUSED])
