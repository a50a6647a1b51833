"""A recorder on IPv6 alone: SIP and media on [::1]."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.call import Call
from tests.kit.running import RunningRecorder
from tests.kit.sip_client import Transport

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    """A recorder that listens on [::1]."""
    made = RunningRecorder(
        tmp_path_factory.mktemp("six") / "state",
        environment={"RECORDER_SIP_HOST": "::1", "RECORDER_MEDIA_HOST": "::1"},
    )
    with made:
        yield made
        assert made.stop() == 0, made.log_tail()
    made.assert_no_traceback()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("door", ["msr", "siprec"])
def test_a_call_over_ipv6_is_recorded_bit_exact(
    recorder: RunningRecorder, tmp_path: Path, transport: Transport, door: str
) -> None:
    """O8: addresses of our answer and Contact are IPv6 too, and lead to us."""
    with Call(recorder, host="::1", transport=transport, door=door) as call:
        answer = call.place()
        assert "c=IN IP6 ::1" in answer.sdp
        assert f"@[::1]:{recorder.sip_port}" in answer.one("Contact")
        call.media.start()
        call.media.talk(0.4)
        assert call.reinvite(direction="sendonly").status == 200
        call.media.talk(0.2)
        call.hang_up()
        call.assert_recorded(tmp_path)
