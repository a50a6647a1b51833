"""The truth of OPTIONS and INVITE: no writer has room (C18)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.call import Call
from tests.kit.running import RunningRecorder, eventually
from tests.kit.sip_client import SipClient

pytestmark = pytest.mark.integration

_LIMIT_S = 60.0


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
