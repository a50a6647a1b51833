"""Everything killed at once, and restarted: what had been flushed is found and finalised, without a human."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.kit.call import Call
from tests.kit.heard import MU_LAW, SILENCE, hear
from tests.kit.running import RunningRecorder

pytestmark = pytest.mark.failover

SYNC_S: Final = 0.3
SLACK_FRAMES: Final = 25
"""Beyond the sync interval, in which everything is read and appended once: a busy machine, 0.5 s."""


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    """One that syncs often."""
    running = RunningRecorder(
        tmp_path_factory.mktemp("power-cut") / "state",
        environment={"RECORDER_MEDIA_SYNC_INTERVAL_MS": str(round(SYNC_S * 1000))},
    )
    with running:
        yield running
        assert running.stop() == 0, running.log_tail()
    running.assert_no_traceback()


def test_calls_of_a_power_cut_are_finalised_as_interrupted(recorder: RunningRecorder, tmp_path: Path) -> None:
    with ExitStack() as stack:
        whole = stack.enter_context(Call(recorder))
        cut = [stack.enter_context(Call(recorder, door=door)) for door in ("msr", "siprec", "msr")]
        for call in (whole, *cut):
            call.start()
        cut[0].media.talk(0.5)
        whole.hang_up()
        cut[0].media.talk(1.5)
        sent = [call.media.count for call in cut]
        recorder.kill_everything()
        for call in cut:
            call.media.stop()
        recorder.start()
        whole.assert_recorded(tmp_path)
        for call, count in zip(cut, sent, strict=True):
            entry = call.finished()
            assert entry["state"] == "interrupted", entry
            wav = call.exported(tmp_path)
            for party, channel in enumerate(wav.channels):
                heard = hear(channel, call.sent[party], silence=SILENCE[MU_LAW])
                kept = heard.present.tolist().index(False) if heard.missing else len(heard.present)
                assert kept >= count - SYNC_S * 50 - SLACK_FRAMES, f"{kept} of {count} frames kept"
                assert heard.missing == list(range(kept, len(heard.present))), "a hole before the end"
                assert heard.stray == 0
            detail = recorder.admin("recordings", "show", entry["id"])
            assert detail["segments"][0]["interrupted"] is True
        # The dialogs are gone with their ports: a goodbye that comes now is answered all the same.
        assert cut[0].dialog.bye().status in {200, 481}


def test_the_same_identifier_after_a_power_cut_continues_the_recording(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """The client reconnects with the same record identifier: second segment, first one kept."""
    with Call(recorder, seed="before") as before:
        before.start()
        before.media.talk(1.5)
        recorder.kill_everything()
        before.media.stop()
        recorder.start()
        with Call(recorder, identifier=before.identifier, seed="after") as after:
            after.start()
            after.media.talk(0.5)
            after.hang_up()
            entry = after.finished()
            detail = recorder.admin("recordings", "show", entry["id"])
            assert [segment["interrupted"] for segment in detail["segments"]] == [True, False]
            wav = after.exported(tmp_path)
            for party, channel in enumerate(wav.channels):
                assert hear(channel, before.sent[party], silence=SILENCE[MU_LAW]).present[:20].all()
                second = hear(channel, after.sent[party], silence=SILENCE[MU_LAW], within=channel.size)
                assert second.missing == []


def test_captures_and_recordings_stay_where_they_are_when_nothing_is_wrong(recorder: RunningRecorder) -> None:
    """Killed while idle: nothing is finalised twice, nothing is lost."""
    before = recorder.recordings()
    assert before
    recorder.kill_everything()
    recorder.start()
    assert recorder.recordings() == before
