"""What nothing makes durable is not promised: the truth of OPTIONS and INVITE without catalog and journal (C18)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from recorder.state_dir import StateDir
from tests.failover.chaos.faults import Target
from tests.kit.call import Call
from tests.kit.heard import SILENCE, assert_bit_exact, hear
from tests.kit.running import RunningRecorder, eventually
from tests.kit.sip_client import Message, SipClient
from tests.kit.siprec import multipart, rs_metadata

pytestmark = pytest.mark.integration

_LIMIT_S = 60.0
_LOCKED_LIMIT_S: Final = 3.0
"""A client repeats its INVITE for longer, and people wait for the call meanwhile."""


@contextmanager
def unwritable(journal: Path) -> Iterator[None]:
    """No file can be written there."""
    journal.mkdir()
    try:
        yield
    finally:
        journal.rmdir()


@contextmanager
def locked(dsn: str, table: str) -> Iterator[None]:
    """Somebody has a table to himself."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(dsn))
        try:
            runner.run(connection.execute(f"BEGIN; LOCK TABLE {table}"))
            yield
        finally:
            runner.run(connection.close())


def pause(call: Call) -> Message:
    """Ask for a pause, with metadata beside the offer where a call has any."""
    offer = call.offer(direction="inactive")
    if not call.siprec:
        return call.dialog.send("INVITE", offer)
    body, content_type = multipart(offer, rs_metadata(session=call.identifier))
    return call.dialog.send("INVITE", body, content_type=content_type)


def test_a_call_that_is_held_up_by_a_lock_in_the_catalog_goes_to_the_journal(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """The database is there, and answers what others ask: the changes of another call."""
    with Call(recorder) as other, Call(recorder) as call, ThreadPoolExecutor() as beside:
        other.start()
        facts = StateDir(recorder.state_dir).read_running()
        assert facts
        with locked(facts.dsn, "recordings"):
            began = time.monotonic()
            placed = beside.submit(call.place)
            while not wait([placed], timeout=0.2).done:
                assert other.reinvite().status == 200
            placed.result()
            assert time.monotonic() - began < _LOCKED_LIMIT_S, recorder.log_tail()
        call.media.start()
        for one in (call, other):
            one.media.talk(0.5)
            one.hang_up()
            wav = one.exported(tmp_path)
            assert_bit_exact(wav, *one.sent)


@pytest.mark.parametrize("door", ["msr", "siprec"])
def test_when_neither_catalog_nor_journal_takes_a_checkpoint_nothing_is_promised(
    recorder: RunningRecorder, tmp_path: Path, door: str
) -> None:
    """A call under way goes on, and holds no change that was refused: nobody was told that it is paused.

    What was refused may have reached the catalog, but is no session there that goes on.
    """
    journal = recorder.state_dir / "journal"
    target = Target(recorder)
    with Call(recorder, door=door) as running, Call(recorder) as refused:
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
            assert pause(running).status == 500
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
