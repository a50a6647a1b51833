"""The tracer: what it keeps, when it writes, what it forgets, and that its memory is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from recorder.edge import trace as trace_module
from recorder.edge.trace import Tracer
from signaling.useragent import Destination, Flow, Traced
from storage.catalog.records import SipMessageTrace
from storage.errors import CatalogUnreachable, StaleEpoch

FLOW = Flow("udp", ("192.0.2.40", 5060), ("192.0.2.30", 5070))
START = datetime(2030, 1, 15, 9, 30, tzinfo=UTC)
SEGMENT = uuid4()


class Shelf:
    """Stands for the catalog: keeps what it is given, and can be away."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[UUID, SipMessageTrace]]] = []
        self.unknown: set[UUID] = set()
        self.error: Exception | None = None

    async def store(self, messages: Sequence[tuple[UUID, SipMessageTrace]]) -> set[UUID]:
        if self.error is not None:
            raise self.error
        self.batches.append(list(messages))
        return {segment for segment, _ in messages} - self.unknown

    @property
    def texts(self) -> list[bytes]:
        return [message.message for batch in self.batches for _, message in batch]


class Scene:
    """A tracer, its shelf, its clock and the live sessions."""

    def __init__(self, *, keep_metadata: bool = True) -> None:
        self.shelf = Shelf()
        self.now = 100.0
        self.live: dict[str, UUID] = {}
        self.tracer = Tracer(
            self.shelf.store,
            segment_of=self.live.get,
            keep_metadata=keep_metadata,
            clock=lambda: self.now,
            wall_clock=lambda: START + timedelta(seconds=self.now - 100),
        )

    def message(self, data: bytes, *, dialog: str | None = "d", inbound: bool = True) -> None:
        self.tracer.take(Traced("in" if inbound else "out", FLOW, data, dialog))

    async def after(self, seconds: float) -> None:
        self.now += seconds
        await self.tracer.write(settled_for=1.5)


async def test_messages_from_before_the_session_exists_are_its_first() -> None:
    scene = Scene()
    scene.message(b"INVITE")
    scene.message(b"SIP/2.0 100 Trying", inbound=False)
    await scene.after(2)
    assert scene.shelf.batches == []
    scene.live["d"] = SEGMENT
    scene.message(b"SIP/2.0 200 OK", inbound=False)
    await scene.after(2)
    [batch] = scene.shelf.batches
    assert [(segment, one.inbound, one.message) for segment, one in batch] == [
        (SEGMENT, True, b"INVITE"),
        (SEGMENT, False, b"SIP/2.0 100 Trying"),
        (SEGMENT, False, b"SIP/2.0 200 OK"),
    ]
    assert batch[0][1].at == START
    assert batch[0][1].flow == "udp 192.0.2.40:5060 192.0.2.30:5070"


async def test_of_a_message_that_is_repeated_three_are_kept() -> None:
    scene = Scene()
    scene.live["d"] = SEGMENT
    for _ in range(10):
        scene.message(b"INVITE")
        scene.message(b"SIP/2.0 100 Trying", inbound=False)
    scene.message(b"ACK")
    await scene.after(2)
    assert scene.shelf.texts == [b"INVITE", b"SIP/2.0 100 Trying"] * 3 + [b"ACK"]
    assert scene.tracer.dropped == 0


async def test_a_session_that_is_busy_is_written_once_it_is_quiet() -> None:
    scene = Scene()
    scene.live["d"] = SEGMENT
    for number in range(3):
        scene.message(b"%d" % number)
        await scene.after(1)
    assert scene.shelf.batches == []
    await scene.after(1)
    assert [len(batch) for batch in scene.shelf.batches] == [3]


async def test_one_batch_holds_many_sessions() -> None:
    scene = Scene()
    for number in range(10):
        scene.live[f"d{number}"] = uuid4()
        scene.message(b"INVITE", dialog=f"d{number}")
    await scene.after(2)
    assert [len(batch) for batch in scene.shelf.batches] == [10]
    assert len(scene.tracer) == 0


async def test_the_last_answer_of_an_ended_session_is_kept() -> None:
    scene = Scene()
    scene.live["d"] = SEGMENT
    scene.message(b"BYE")
    del scene.live["d"]
    scene.tracer.ended("d", SEGMENT)
    scene.message(b"SIP/2.0 200 OK", inbound=False)
    await scene.after(2)
    scene.message(b"BYE repeated")
    await scene.after(20)
    assert scene.shelf.texts == [b"BYE", b"SIP/2.0 200 OK", b"BYE repeated"]


async def test_after_a_while_nothing_is_left_of_an_ended_session() -> None:
    scene = Scene()
    scene.tracer.ended("d", SEGMENT)
    await scene.after(60)
    scene.message(b"much too late")
    await scene.after(2)
    assert scene.shelf.batches == []


async def test_what_became_no_session_is_forgotten() -> None:
    scene = Scene()
    scene.message(b"INVITE")
    await scene.after(59)
    assert len(scene.tracer) == 1
    await scene.after(2)
    assert len(scene.tracer) == 0
    assert scene.tracer.dropped == 0


async def test_messages_of_no_dialog_are_not_kept() -> None:
    scene = Scene()
    scene.message(b"OPTIONS", dialog=None)
    assert len(scene.tracer) == 0


async def test_while_the_catalog_is_away_messages_wait() -> None:
    scene = Scene()
    scene.live["d"] = SEGMENT
    scene.message(b"INVITE")
    scene.shelf.error = CatalogUnreachable("away")
    await scene.after(2)
    assert len(scene.tracer) == 1
    scene.shelf.error = None
    await scene.after(1)
    assert scene.shelf.texts == [b"INVITE"]


async def test_messages_of_a_segment_that_is_still_in_the_journal_wait() -> None:
    scene = Scene()
    scene.live.update(d=SEGMENT, other=uuid4())
    scene.shelf.unknown = {SEGMENT}
    scene.message(b"INVITE")
    scene.message(b"INVITE other", dialog="other")
    await scene.after(2)
    assert len(scene.tracer) == 1
    scene.shelf.unknown = set()
    await scene.after(1)
    assert scene.shelf.texts[-1] == b"INVITE"
    assert len(scene.tracer) == 0


async def test_messages_that_never_find_their_segment_are_given_up_and_counted() -> None:
    scene = Scene()
    scene.shelf.unknown = {SEGMENT}
    scene.message(b"BYE")
    scene.tracer.ended("d", SEGMENT)
    await scene.after(599)
    assert len(scene.tracer) == 1
    await scene.after(2)
    assert (len(scene.tracer), scene.tracer.dropped) == (0, 1)


async def test_memory_is_bounded_and_what_is_lost_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_module, "MAX_BYTES", 100)
    scene = Scene()
    scene.live["d"] = SEGMENT
    for _ in range(5):
        scene.message(bytes(40))
    assert (len(scene.tracer), scene.tracer.dropped) == (2, 3)
    await scene.after(2)
    scene.message(bytes(40))
    assert (len(scene.tracer), scene.tracer.dropped) == (1, 3)


async def test_a_long_queue_is_written_in_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_module, "MAX_BATCH", 4)
    scene = Scene()
    for number in range(10):
        scene.live[f"d{number}"] = uuid4()
        scene.message(b"INVITE", dialog=f"d{number}")
    await scene.after(2)
    assert [len(batch) for batch in scene.shelf.batches] == [4, 4, 2]


async def test_secrets_do_not_reach_the_catalog() -> None:
    scene = Scene()
    scene.live["d"] = SEGMENT
    scene.message(b'INVITE x\r\nAuthorization: Digest response="0123abcd"\r\n\r\n')
    await scene.after(2)
    assert b"0123abcd" not in scene.shelf.texts[0]


@pytest.mark.parametrize("keep", [True, False])
async def test_metadata_are_kept_only_where_policy_allows(keep: bool) -> None:
    scene = Scene(keep_metadata=keep)
    scene.live["d"] = SEGMENT
    scene.message(b"UPDATE x\r\nContent-Type: application/rs-metadata\r\n\r\n<recording/>")
    await scene.after(2)
    assert (b"<recording/>" in scene.shelf.texts[0]) is keep


async def test_at_the_end_everything_is_written_at_once() -> None:
    scene = Scene()
    scene.live["d"] = SEGMENT
    scene.message(b"BYE")
    await scene.tracer.aclose()
    assert scene.shelf.texts == [b"BYE"]


async def test_a_former_frontend_stops_and_its_end_is_quiet() -> None:
    scene = Scene()
    scene.live["d"] = SEGMENT
    scene.message(b"BYE")
    scene.shelf.error = StaleEpoch("frontend", 1)
    with pytest.raises(StaleEpoch):
        await scene.after(2)
    await scene.tracer.aclose()
    assert scene.tracer.dropped == 1


async def test_a_message_to_a_destination_names_it() -> None:
    scene = Scene()
    scene.live["d"] = SEGMENT
    scene.tracer.take(Traced("out", Destination("tcp", "2001:db8::7", 5060), b"BYE", "d"))
    await scene.after(2)
    assert scene.shelf.batches[0][0][1].flow == "tcp - [2001:db8::7]:5060"
