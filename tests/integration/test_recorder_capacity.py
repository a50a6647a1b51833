"""The truth of OPTIONS and INVITE: no writer has room, or no checkpoint can be made durable (C18)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.failover.chaos.faults import Target
from tests.kit.call import Call
from tests.kit.running import RunningRecorder, eventually
from tests.kit.sip_client import SipClient

pytestmark = pytest.mark.integration

_LIMIT_S = 20.0


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    """A recorder with room for two calls of two streams."""
    made = RunningRecorder(
        tmp_path_factory.mktemp("capacity") / "state", environment={"RECORDER_MEDIA_MAX_STREAMS": "4"}
    )
    with made:
        yield made
        assert made.stop() == 0, made.log_tail()
    made.assert_no_traceback()


@contextmanager
def unwritable(journal: Path) -> Iterator[None]:
    """No file can be written there."""
    journal.mkdir()
    try:
        yield
    finally:
        journal.rmdir()


def options_say(recorder: RunningRecorder, status: int) -> None:
    with SipClient(recorder.sip_port) as client:
        eventually(
            lambda: client.options().status == status,
            limit_s=_LIMIT_S, what=f"OPTIONS {status}", detail=recorder.log_tail,
        )  # fmt: skip


def test_without_room_at_any_writer_options_and_invite_get_503(recorder: RunningRecorder, tmp_path: Path) -> None:
    with Call(recorder) as one, Call(recorder) as two, Call(recorder) as three:
        for call in (one, two):
            call.start()
        options_say(recorder, 503)
        refused = three.dialog.send("INVITE", three.offer())
        assert refused.status == 503
        assert int(refused.one("Retry-After")) > 0
        eventually(lambda: recorder.http("/readyz")[0] == 503, limit_s=_LIMIT_S, what="/readyz 503")
        for call in (one, two):
            call.media.talk(0.2)
            call.hang_up()
            call.assert_recorded(tmp_path)
        options_say(recorder, 200)
        assert recorder.recordings("--record-identifier", three.identifier) == []


def test_when_neither_catalog_nor_journal_takes_a_checkpoint_nothing_is_promised(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """A call under way goes on. What was refused may have reached the catalog, but is no session there that goes on."""
    journal = recorder.state_dir / "journal"
    target = Target(recorder)
    with Call(recorder) as running, Call(recorder) as refused:
        running.start()
        with unwritable(journal), target.postgres_away():
            answer = refused.dialog.send("INVITE", refused.offer())
            assert answer.status == 503, answer.text
            assert int(answer.one("Retry-After")) > 0
            # Not only until the next look at the catalog.
            with SipClient(recorder.sip_port) as probe:
                for _ in range(4):
                    assert probe.options().status == 503, recorder.log_tail()
                    assert running.client.quiet(0.4)
        options_say(recorder, 200)
        running.media.talk(0.2)
        running.hang_up()
        running.assert_recorded(tmp_path)
        for left in recorder.recordings("--record-identifier", refused.identifier):
            assert recorder.finished(left["record_identifier"])["state"] in {"interrupted", "no-media"}
