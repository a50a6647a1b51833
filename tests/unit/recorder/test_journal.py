"""The journal: what `append` promised is read back, a torn tail is not."""

from __future__ import annotations

import asyncio
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.ha.journal import Journal


async def test_records_come_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    for payload in (b"one", b"", b"three" * 1000):
        await journal.append(payload)
    assert Journal(tmp_path / "journal").read() == [b"one", b"", b"three" * 1000]


async def test_many_at_once_are_all_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    payloads = [f"record {number}".encode() for number in range(300)]
    await asyncio.gather(*(journal.append(payload) for payload in payloads))
    assert journal.read() == payloads


async def test_clear_forgets(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    await journal.append(b"one")
    journal.clear()
    assert journal.read() == []
    await journal.append(b"two")
    assert journal.read() == [b"two"]


class _SlowThreads:
    """Stands between an append and its thread: it begins when it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.let = asyncio.Event(), threading.Event()
        self._to_thread = asyncio.to_thread
        monkeypatch.setattr(asyncio, "to_thread", self._later)

    async def _later(self, work: Callable[..., Any], *arguments: object) -> Any:
        self.begun.set()

        def held() -> Any:
            assert self.let.wait(30)
            return work(*arguments)

        return await self._to_thread(held)


async def test_an_append_under_way_when_all_is_forgotten_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog has taken it while the disk was slow: whoever read it later would take it for news."""
    journal, threads = Journal(tmp_path / "journal"), _SlowThreads(monkeypatch)
    appends = [asyncio.ensure_future(journal.append(b"on its way"))]
    await threads.begun.wait()
    appends.append(asyncio.ensure_future(journal.append(b"behind it")))
    await asyncio.sleep(0)
    journal.clear()
    appends.append(asyncio.ensure_future(journal.append(b"later")))
    threads.let.set()
    await asyncio.gather(*appends)
    assert journal.read() == [b"later"]


async def test_a_disk_that_refuses_is_an_error_for_each_waiting_append(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "absent" / "journal")
    results = await asyncio.gather(journal.append(b"1"), journal.append(b"2"), return_exceptions=True)
    assert [type(result) for result in results] == [FileNotFoundError, FileNotFoundError]


async def test_a_journal_that_is_written_anew_has_what_it_was_given_and_what_comes_later(tmp_path: Path) -> None:
    await Journal(tmp_path / "journal").append(b"old")
    journal = Journal(tmp_path / "journal")
    await journal.rewrite([b"before", *journal.read()])
    await journal.append(b"later")
    assert Journal(tmp_path / "journal").read() == [b"before", b"old", b"later"]


async def test_a_journal_that_cannot_be_written_anew_is_as_it_was(tmp_path: Path) -> None:
    await Journal(tmp_path / "journal").append(b"old")
    (tmp_path / "journal.new").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        await Journal(tmp_path / "journal").rewrite([b"new"])
    assert Journal(tmp_path / "journal").read() == [b"old"]


@given(cut=st.integers(min_value=0, max_value=60))
def test_a_torn_tail_costs_only_the_torn_record(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    payloads = [b"a" * 10, b"b" * 20, b"c" * 6]
    asyncio.run(_append_all(Journal(path), payloads))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - cut])
    ends = [18, 46, 60]
    assert Journal(path).read() == payloads[: sum(end <= 60 - cut for end in ends)]


async def _append_all(journal: Journal, payloads: list[bytes]) -> None:
    for payload in payloads:
        await journal.append(payload)


async def test_a_record_that_the_disk_took_half_hides_none_that_comes_later(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    await journal.append(b"one")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # Room for the header of the record and a part of it.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            await journal.append(b"two" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    await journal.append(b"three")
    assert Journal(tmp_path / "journal").read() == [b"one", b"three"]


@given(cut=st.integers(min_value=1, max_value=23))
def test_what_is_appended_behind_a_torn_tail_is_read(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    asyncio.run(_append_all(Journal(path), [b"a" * 10, b"b" * 16]))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - cut])
    asyncio.run(_append_all(Journal(path), [b"later", b"last"]))
    assert Journal(path).read() == [b"a" * 10, b"later", b"last"]


async def test_an_unreadable_file_is_set_aside_and_never_removed(tmp_path: Path) -> None:
    """A directory in its place: nobody reads that, not even root."""
    for number in (1, 2):
        (tmp_path / "journal").mkdir()
        journal = Journal(tmp_path / "journal")
        with pytest.raises(OSError, match="Is a directory"):
            journal.read()
        journal.clear()
        assert journal.set_aside() == tmp_path / f"journal.unreadable-{number}"
        assert (tmp_path / f"journal.unreadable-{number}").is_dir()
        await journal.append(b"later")
        assert journal.read() == [b"later"]
        journal.clear()
        assert not (tmp_path / "journal").exists()
