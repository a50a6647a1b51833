"""Rounds of deaths, and the question at the end: is everything there, once, known, sealed and in the audit log."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np

from media.pipeline.codec import Law
from media.pipeline.codec.g711 import SILENCE
from storage.catalog import Catalog, migrate
from storage.catalog.records import RecordingState
from storage.catalog.views import RecordingDetail, RecordingFilter
from storage.cli.recording_check import check_recording, orphans_of
from storage.files import FileStore
from storage.integrity import ChainCheck, PublicKeys
from storage.postgres import EmbeddedPostgres
from tests.failover.files.victim import KILLED_POSTGRESQL, Sentence
from tests.failover.files.victim import run as run_victim
from tests.kit.curating import Curating
from tests.unit.media.pipeline.recordings import sound, wav_channels

LAST_STEP = 40
"""What one recording takes; a later death is a curator that lived."""
SECONDS = 0.1
"""Sound of one session, of each party."""
APART_S = 1.0
"""Between the beginnings of the sessions of a recording."""

_VICTIM_S = 240
"""For a curator to do all its work, on a machine that is busy with other tests."""
Sent = dict[str, list[int]]
"""Seeds of the sessions of each record identifier, in their order."""


async def run_rounds(
    folder: Path, rounds: int, seed: int, tables: dict[str, Any], tell: Callable[[str], None] = print
) -> list[str]:
    """Let a curator die `rounds` times; return what is wrong afterwards."""
    dice = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    # With what the command itself imports: each victim would import that again, which takes longer than its life.
    context.set_forkserver_preload(["tests.failover.files.rounds", "tests.kit.recipients"])
    server = EmbeddedPostgres(folder / "postgres")
    await server.start()
    await migrate(server.dsn)
    state = folder / "state"
    deaths = {"curator": 0, "postgresql": 0, "none": 0}
    sent: Sent = {}
    try:
        for number in range(rounds):
            identifier = f"CALL{dice.randrange(1 + number // 3):04d}"
            seeds = sent.setdefault(identifier, [])
            # Two parties have neighbouring seeds: no two sessions of a recording sound alike.
            seeds.append(2 * number + 1)
            await _record(server.dsn, state, tables, identifier, seeds)
            process = server.process
            assert process is not None
            hit_database = dice.random() < 0.15
            victim = context.Process(
                target=run_victim,
                args=(
                    server.dsn,
                    str(state),
                    tables,
                    Sentence(dice.randint(1, LAST_STEP), dice.random() < 0.5, process.pid if hit_database else 0),
                ),
            )
            victim.start()
            await asyncio.to_thread(victim.join, _VICTIM_S)
            if victim.is_alive():
                victim.kill()
                return [f"round {number} (seed {seed}): the curator hangs"]
            deaths["curator"] += victim.exitcode == -9
            if victim.exitcode == KILLED_POSTGRESQL:
                deaths["postgresql"] += 1
                await asyncio.wait_for(process.wait(), _VICTIM_S)
                await server.start()
            else:
                deaths["none"] += hit_database
            if number % 50 == 49:
                tell(f"{number + 1} rounds, {deaths}")
        await _settle(server.dsn, context, state, tables)
        faults = await _faults(server.dsn, state, tables, sent)
        tell(f"{rounds} rounds with seed {seed}: {deaths}, {len(faults)} faults")
        return faults
    finally:
        await server.stop()


async def _record(dsn: str, state: Path, tables: dict[str, Any], identifier: str, seeds: list[int]) -> None:
    async with await Catalog.connect(dsn, max_size=1) as catalog:
        await Curating(catalog, state, **tables).record(
            identifier, seconds=SECONDS, seed=seeds[-1], after_s=APART_S * (len(seeds) - 1)
        )
    await _hurry(dsn)


async def _hurry(dsn: str) -> None:
    """Let time pass: leases of the dead run out, back-off is over."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("UPDATE jobs SET run_after = now() WHERE state = 'queued'")
        await connection.execute("UPDATE jobs SET locked_until = now() - interval '1 s' WHERE state = 'running'")
        # The dead are many here; a real one gets eight attempts.
        await connection.execute("UPDATE jobs SET attempts = 0")
    finally:
        await connection.close()


async def _settle(dsn: str, context: Any, state: Path, tables: dict[str, Any]) -> None:
    """Let curators live until nothing is left to do, and forgotten intents come of age."""
    for _ in range(6):
        await _hurry(dsn)
        survivor = context.Process(target=run_victim, args=(dsn, str(state), tables, Sentence()))
        survivor.start()
        await asyncio.to_thread(survivor.join, 300)
        async with await Catalog.connect(dsn, max_size=1) as catalog:
            await catalog.files.withdraw(None)
            await catalog.files.free_names(older_than=timedelta())
            if not await catalog.list_jobs():
                return


async def _faults(dsn: str, state: Path, tables: dict[str, Any], sent: Sent) -> list[str]:
    faults: list[str] = []
    async with await Catalog.connect(dsn, max_size=2) as catalog:
        curator = Curating(catalog, state, **tables)
        trusted = PublicKeys.read([state / "keys" / "public"])
        recordings = await catalog.list_recordings(RecordingFilter(limit=10_000))
        names = sorted(summary.record_identifier for summary in recordings)
        if names != sorted(sent):
            faults.append(f"recordings {names} instead of {sorted(sent)}")
        for summary in recordings:
            found = await catalog.get_recording(summary.recording_id)
            assert isinstance(found, RecordingDetail)
            name = summary.record_identifier
            faults += [f"{name} {fault}" for fault in _differences(found, sent[name], curator.depot.local)]
            check = await check_recording(found, catalog, curator.depot.stores, trusted)
            faults += [f"{name}: {fault}" for fault in check.faults]
            if not check.sealed:
                faults.append(f"{name} is not sealed")
        for store in curator.depot.stores.values():
            faults += [f"{store.name}:{path} is an orphan" async for path in orphans_of(catalog, store)]
        faults += [f"job left: {job.kind} {job.state} {job.last_error}" for job in await catalog.list_jobs()]
        chain = ChainCheck()
        async for entry in catalog.audit.read():
            chain.feed(entry)
        head = await catalog.audit.head()
        chain.ends_at(head.number, head.digest)
        faults += [f"audit log: {fault.what}" for fault in chain.faults]
    connection = await asyncpg.connect(dsn)
    try:
        for table in ("intended_files", "doomed_files"):
            if left := await connection.fetchval(f"SELECT count(*) FROM {table}"):
                faults.append(f"{left} rows left in {table}")
    finally:
        await connection.close()
    return faults


def _differences(found: RecordingDetail, seeds: list[int], store: FileStore) -> Iterator[str]:
    """Yield what a recording is not that was made of these sessions: each once, in its place."""
    summary, count = found.summary, len(seeds)
    if summary.state is not RecordingState.COMPLETE:
        yield f"is {summary.state}"
    if len(found.segments) != count:
        yield f"has {len(found.segments)} segments instead of {count}"
    if [file.kind for file in found.files] != ["master"]:
        yield f"has files {[file.path for file in found.files]}"
        return
    expected_s = APART_S * (count - 1) + SECONDS
    if summary.duration_s is None or abs(summary.duration_s - expected_s) > 0.001:
        yield f"lasts {summary.duration_s} s instead of {expected_s} s"
    lost_s = sum(gap.duration_s for gap in summary.gaps)
    if abs(lost_s - 2 * (expected_s - SECONDS * count)) > 0.001:
        yield f"has gaps of {lost_s} s"
    (master,) = found.files
    if master.path.endswith(".wav"):
        for party, channel in enumerate(wav_channels(store.locate(master.path))):
            audio = np.full(len(channel), SILENCE[Law.MULAW], np.uint8)
            for number, seed in enumerate(seeds):
                said = np.frombuffer(sound(int(8000 * SECONDS), seed + party), np.uint8)
                begin = round(8000 * APART_S * number)
                audio[begin : begin + len(said)] = said[: max(len(audio) - begin, 0)]
            if not np.array_equal(audio, channel):
                yield f"party {party} does not hold what was sent"
