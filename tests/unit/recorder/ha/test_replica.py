"""Dialogs as the writes of the active frontend leave them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from recorder.ha.replica import KeptDialog, Replica, Unanswered
from storage.catalog.records import CallFacts, DialogCheckpoint, Door, SegmentClosing, SegmentOpening

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SEGMENT = uuid4()


def opening(snapshot: bytes = b"opened") -> SegmentOpening:
    return SegmentOpening(
        epoch=1, segment_id=SEGMENT, record_identifier="R", door=Door.MSR, call=CallFacts(), opened_at=NOW,
        writer="writer-1", host="host-a", capture_path="/c", sip_call_id="call", local_tag="l", remote_tag="r",
        dialog_id="dialog", dialog_snapshot=snapshot, descriptor={}, streams=(),
    )  # fmt: skip


def checkpoint(snapshot: bytes, *, made: tuple[int, int] = (1, 1)) -> DialogCheckpoint:
    return DialogCheckpoint(
        epoch=1, dialog_id="dialog", segment_id=SEGMENT, writer="writer-1", snapshot=snapshot, made=made
    )


def closing(snapshot: bytes | None) -> SegmentClosing:
    return SegmentClosing(epoch=1, segment_id=SEGMENT, closed_at=NOW, cause="bye", dialog_snapshot=snapshot)


def test_the_latest_checkpoint_counts() -> None:
    replica = Replica()
    replica.apply(opening(), NOW)
    replica.apply(checkpoint(b"changed"), NOW + timedelta(seconds=5))
    (dialog,) = replica.dialogs()
    assert (dialog.dialog_id, dialog.segment_id, dialog.snapshot) == ("dialog", SEGMENT, b"changed")
    assert dialog.updated_at == NOW + timedelta(seconds=5)
    assert dialog.ended_at is None


def test_a_state_that_is_told_again_behind_a_later_one_changes_nothing() -> None:
    """As pending: the catalog was asked for it before the other, and did not answer until after that."""
    replica = Replica()
    replica.apply(opening(), NOW)
    for late in (checkpoint(b"first"), checkpoint(b"second", made=(1, 2)), checkpoint(b"first"), opening()):
        replica.apply(late, NOW)
    assert replica.dialogs()[0].snapshot == b"second"
    replica.apply(checkpoint(b"of the next frontend", made=(2, 1)), NOW)
    assert replica.dialogs()[0].snapshot == b"of the next frontend"


def test_a_closed_dialog_is_kept_with_its_last_answer() -> None:
    replica = Replica()
    replica.apply(opening(), NOW)
    replica.apply(closing(b"answered"), NOW)
    (dialog,) = replica.dialogs()
    assert (dialog.snapshot, dialog.ended_at) == (b"answered", NOW)


def test_a_close_without_an_answer_leaves_the_last_state() -> None:
    replica = Replica()
    replica.apply(opening(), NOW)
    replica.apply(closing(None), NOW)
    assert replica.dialogs()[0].snapshot == b"opened"


def test_what_comes_after_the_end_changes_nothing() -> None:
    replica = Replica()
    replica.apply(opening(), NOW)
    replica.apply(closing(b"answered"), NOW)
    for late in (checkpoint(b"late"), opening(b"again"), closing(b"other")):
        replica.apply(late, NOW + timedelta(seconds=1))
    assert replica.dialogs()[0].snapshot == b"answered"


def test_an_ended_dialog_is_forgotten_once_nobody_repeats_its_bye() -> None:
    replica = Replica()
    replica.apply(opening(), NOW)
    replica.apply(closing(b"answered"), NOW)
    other = uuid4()
    later = NOW + timedelta(seconds=41)
    replica.apply(DialogCheckpoint(epoch=1, dialog_id="o", segment_id=other, writer="w", snapshot=b"s"), later)
    replica.apply(SegmentClosing(epoch=1, segment_id=other, closed_at=later, cause="bye"), later)
    assert [dialog.dialog_id for dialog in replica.dialogs()] == ["o"]


def test_the_end_of_an_unknown_segment_is_no_matter() -> None:
    replica = Replica()
    replica.apply(closing(b"x"), NOW)
    assert replica.dialogs() == []


def test_dialogs_that_ended_before_they_were_told_of_are_forgotten_in_the_order_of_their_ends() -> None:
    replica = Replica()
    for name, ended_s in (("late", 30), ("early", 0)):
        ended_at = NOW + timedelta(seconds=ended_s)
        replica.put(
            KeptDialog(dialog_id=name, segment_id=uuid4(), snapshot=b"", updated_at=ended_at, ended_at=ended_at)
        )
    replica.apply(opening(), NOW)
    replica.apply(closing(None), NOW + timedelta(seconds=60))
    assert {dialog.dialog_id for dialog in replica.dialogs()} == {"late", "dialog"}


def asked(number: int) -> Unanswered:
    return Unanswered(
        request_id=f"request-{number}", data=b"INVITE", local=("10.0.0.1", 5060), remote=("10.0.0.9", 5060)
    )


def test_requests_that_nobody_answers_do_not_pile_up() -> None:
    replica = Replica()
    for second in range(200):
        replica.asked(asked(second), NOW + timedelta(seconds=second))
    # Of those that are kept none is too old by the clock of the first.
    assert len(replica.unanswered(NOW)) == 32
    now = NOW + timedelta(seconds=199)
    assert replica.unanswered(now) == [asked(second) for second in range(168, 200)]


def test_a_request_that_is_told_again_is_as_young_as_that() -> None:
    replica = Replica()
    replica.asked(asked(1), NOW)
    replica.asked(asked(2), NOW + timedelta(seconds=10))
    replica.asked(asked(1), NOW + timedelta(seconds=20))
    replica.asked(asked(3), NOW + timedelta(seconds=45))
    assert replica.unanswered(NOW + timedelta(seconds=45)) == [asked(1), asked(3)]
    replica.answered("request-1")
    assert replica.unanswered(NOW) == [asked(3)]


def test_what_the_catalog_was_asked_to_take_may_be_lacking_there_until_it_must_have_answered() -> None:
    replica, now = Replica(), datetime(2030, 1, 1, tzinfo=UTC)
    replica.told(b"old", now, pending=False)
    replica.told(b"asked", now + timedelta(seconds=8), pending=False)
    replica.told(b"refused", now + timedelta(seconds=11), pending=False)
    replica.told(b"refused", now + timedelta(seconds=12), pending=True)
    assert replica.untaken() == [b"asked", b"refused"]
