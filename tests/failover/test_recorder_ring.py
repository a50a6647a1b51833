"""The packet ring as a user switches it on: the same deaths as with sockets, and a start without the capability."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failover.test_recorder_processes import (
    test_a_goodbye_while_the_writer_is_dead_waits_for_its_replacement,
    test_a_writer_killed_twice_loses_no_more,
    test_frontend_and_writers_killed_together,
    test_writers_killed_in_mid_call_cost_at_most_one_packet_of_a_stream,
)
from tests.kit.call import Call
from tests.kit.running import RunningRecorder

__all__ = [
    "test_a_goodbye_while_the_writer_is_dead_waits_for_its_replacement",
    "test_a_writer_killed_twice_loses_no_more",
    "test_frontend_and_writers_killed_together",
    "test_writers_killed_in_mid_call_cost_at_most_one_packet_of_a_stream",
]

pytestmark = [
    pytest.mark.failover,
    pytest.mark.skipif(os.geteuid() != 0, reason="a packet ring needs CAP_NET_RAW: run as root"),
]

RING = {"RECORDER_MEDIA_SOURCE": "ring", "RECORDER_MEDIA_RING_MB": "2"}


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    """A recorder whose writers read packet rings."""
    running = RunningRecorder(tmp_path_factory.mktemp("ring") / "state", environment=RING)
    with running:
        yield running
        assert "no packet ring" not in running.log()
        assert running.stop() == 0, running.log_tail()
    running.assert_no_traceback()


def test_without_the_capability_sockets_are_used_and_a_warning_says_so(tmp_path: Path) -> None:
    unprivileged = RunningRecorder(
        tmp_path / "state", environment=RING, prefix=("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw")
    )
    with unprivileged, Call(unprivileged) as call:
        call.start()
        call.media.talk(0.3)
        call.hang_up()
        call.assert_recorded(tmp_path)
        assert "no packet ring; recording with sockets" in unprivileged.log()
        assert "CAP_NET_RAW" in unprivileged.log()
