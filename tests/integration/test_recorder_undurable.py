"""What nothing makes durable is not promised: the truth of OPTIONS and INVITE without catalog and journal (C18)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.failover.chaos.faults import Target
from tests.kit.call import Call
from tests.kit.heard import SILENCE, hear
from tests.kit.running import RunningRecorder, eventually
from tests.kit.sip_client import SipClient

pytestmark = pytest.mark.integration

_LIMIT_S = 60.0


@contextmanager
def unwritable(journal: Path) -> Iterator[None]:
    """No file can be written there."""
    journal.mkdir()
    try:
        yield
    finally:
        journal.rmdir()


def test_when_neither_catalog_nor_journal_takes_a_checkpoint_nothing_is_promised(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """A call under way goes on, and holds no change that was refused: nobody was told that it is paused.

    What was refused may have reached the catalog, but is no session there that goes on.
    """
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
            running.media.talk(0.2)
            began = running.media.count
            assert running.reinvite(direction="inactive").status == 500
            taken_back = running.media.count
            running.media.talk(1)
        with SipClient(recorder.sip_port) as probe:
            eventually(
                lambda: probe.options().status == 200, limit_s=_LIMIT_S, what="OPTIONS 200", detail=recorder.log_tail
            )
        running.media.talk(0.2)
        running.hang_up()
        wav = running.exported(tmp_path)
        for channel, sent in zip(wav.channels, running.sent, strict=True):
            heard = hear(channel, sent, silence=SILENCE[wav.format_tag])
            # A pause is in force before it is answered: what came until it was taken back is missing, and no more.
            assert set(heard.missing) <= set(range(began - 1, taken_back + 1)), heard.missing
            assert heard.stray == 0
        for left in recorder.recordings("--record-identifier", refused.identifier):
            assert recorder.finished(left["record_identifier"])["state"] in {"interrupted", "no-media"}
