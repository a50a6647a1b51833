"""The end of a session whose writer does not confirm it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest

from recorder.errors import ChannelLostError, WriterRefusedError
from recorder.frontend.ending import SessionEnding
from recorder.frontend.frontend import Frontend
from recorder.frontend.session import Session
from tests.unit.recorder.frontend.test_recovery import WRITER, session

OLD = session("old")
ADOPTED = session("adopted", dialog_id=OLD.dialog_id)


@dataclass
class Site:
    """A writer and a session as a frontend sees them."""

    unanswered: int = 0
    """Commands that the writer does not answer: it stands still, is killed for it with the last one, and replaced."""
    lost: bool = False
    """With its host."""
    refuses: bool = False
    asked: list[str] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=lambda: {OLD.dialog_id: OLD})

    @property
    def pool(self) -> Site:
        return self

    @property
    def clients(self) -> dict[str, Site]:
        return {WRITER: self}

    def is_lost(self, _: str) -> bool:
        return self.lost

    async def reconciled(self, _: str) -> None:
        if not self.unanswered:
            self.sessions[OLD.dialog_id] = ADOPTED

    async def close(self, capture: str, _: str) -> None:
        self.asked.append(capture)
        if self.refuses:
            raise WriterRefusedError(WRITER, "unknown-session", capture)
        if self.lost or self.unanswered:
            self.unanswered -= 1
            raise ChannelLostError("no answer")

    async def end(self) -> bool:
        return await SessionEnding(cast("Frontend", self))._end_captures(OLD, "bye")


@pytest.mark.parametrize(
    ("site", "asked"),
    [(Site(), ["old"]), (Site(unanswered=1), ["old", "adopted"]), (Site(unanswered=2), ["old", "old", "adopted"])],
    ids=["there", "dies over it", "stands still and is killed for it"],
)
async def test_the_end_waits_for_the_writer_that_reads_what_came_before_it(site: Site, asked: list[str]) -> None:
    """The last packets wait in the kernel, and nobody adopts the streams of a session that has ended."""
    assert await site.end()
    assert site.asked == asked


async def test_nobody_waits_for_a_lost_host_nor_for_a_writer_that_refuses_again_and_again() -> None:
    site = Site(lost=True)
    assert not await site.end()
    assert site.asked == ["old"]
    assert not await Site(refuses=True).end()
