"""A stretch that is taken out of one recording is taken out of its copies and of the masters made of them."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from uuid import UUID

import pytest
from rich.console import Console

from recorder.admin.recordings_redact import Redaction, RedactOptions
from recorder.redaction import Redactor
from recorder.settings import CopySettings
from storage.catalog import Catalog
from storage.catalog.copy_records import CopyState
from storage.catalog.records import Role
from storage.catalog.views import RecordingFilter
from storage.cli.context import CliContext, CommandFailed
from storage.exit_codes import ExitCode
from tests.integration.copies_site import Site, site_settings
from tests.integration.test_copies_policies import healed, settled
from tests.unit.media.healing.copies import RATE, linear, mulaw, talk

pytestmark = pytest.mark.integration

CUT = slice(5 * RATE, 6 * RATE)


async def redact(site: Site, dsn: str, reference: UUID, **options: object) -> dict[str, object]:
    """Type the command, and let curators do what it queued."""
    context = CliContext(dsn=dsn, files_root=site.store.root, state_dir=site.store.root)
    answer = io.StringIO()
    command = Redaction(site.catalog, context, Console(file=answer, width=200), by="anna")
    words = RedactOptions(reference=str(reference), start="5", end="6", reason="card number", yes=True, as_json=True)
    for name, value in options.items():
        object.__setattr__(words, name, value)
    assert await command.run(words) is ExitCode.OK
    while job := await site.catalog.claim_job("redacting", kinds=("redact",)):
        await Redactor(site.catalog, site.depot(site.catalog).store, site.store).redact(
            UUID(str(job.payload["recording_id"])), job=job
        )
    await settled(site)
    told: dict[str, object] = json.loads(answer.getvalue())
    return told


async def everything(site: Site) -> dict[UUID, Role]:
    return {
        one.recording_id: one.role
        for one in await site.catalog.list_recordings(RecordingFilter(copies=True, limit=100))
    }


async def channels(site: Site, recording_id: UUID) -> list[bytes]:
    """The G.711 codes of each party, out of the one file that the recording has on disk."""
    (path,) = (one for one in site.store.root.rglob(f"*_{recording_id.hex}_*.wav"))
    content = path.read_bytes()
    data = content[content.index(b"data") + 8 :]
    return [data[party::2] for party in (0, 1)]


async def test_it_is_gone_from_both_copies_and_from_the_master(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path
) -> None:
    site = await healed(catalog, tmp_path, CopySettings())
    roles = await everything(site)
    assert sorted(roles.values()) == [Role.COPY, Role.COPY, Role.MASTER]
    before = {one: await channels(site, one) for one in roles}
    said = mulaw(linear(talk(0, 8.0))).tobytes()
    assert all(parties[0][CUT] == said[CUT] for parties in before.values())
    told = await redact(site, catalog_dsn, site.ids[1], party=0)
    assert isinstance(told["recordings"], list)
    assert sorted(one["role"] for one in told["recordings"]) == ["copy", "copy", "master"]
    assert await everything(site) == roles, "what was healed stays healed"
    for recording_id, parties in before.items():
        left, right = await channels(site, recording_id)
        assert left == parties[0][: CUT.start] + b"\xff" * RATE + parties[0][CUT.stop :]
        assert right == parties[1]
        (redaction,) = await catalog.redactions.of(recording_id)
        assert (redaction.start_s, redaction.end_s, redaction.party) == (5.0, 6.0, 0)
        assert redaction.done_at is not None
    group = await catalog.copies.group(await catalog.copies.group_of(site.ids[1]) or UUID(int=0))
    assert group is not None
    assert [pair.state for pair in group.pairs] == [CopyState.CONFIRMED]
    audited = [entry async for entry in catalog.audit.read() if entry.action == "redact"]
    assert {UUID(entry.subject) for entry in audited} == set(roles)
    assert await catalog.files.withdraw(None) == 0, "nothing was healed anew for nothing"


async def test_a_master_that_was_withdrawn_has_the_stretch_too(
    catalog: Catalog, catalog_dsn: str, tmp_path: Path
) -> None:
    site = await healed(catalog, tmp_path, CopySettings())
    (master,) = (one for one, role in (await everything(site)).items() if role is Role.MASTER)
    await catalog.copies.rule(
        [(site.ids[1], site.ids[2])], CopyState.REJECTED, "two calls", by="anna", action="copies.rule"
    )
    await settled(site)
    other = await channels(site, site.ids[2])
    await redact(site, catalog_dsn, site.ids[1])
    for one in (site.ids[1], master):
        assert all(party[CUT] == b"\xff" * RATE for party in await channels(site, one))
    assert await channels(site, site.ids[2]) == other, "a person said that it is another call"


async def test_the_best_copy_and_those_it_stands_for(catalog: Catalog, catalog_dsn: str, tmp_path: Path) -> None:
    site = await healed(catalog, tmp_path, CopySettings(policy="best"), copies=3)
    roles = await everything(site)
    assert sorted(roles.values()) == [Role.COPY, Role.COPY, Role.RECORDING]
    await redact(site, catalog_dsn, site.ids[2])
    for one in site.ids.values():
        assert all(party[CUT] == b"\xff" * RATE for party in await channels(site, one))
    assert await everything(site) == roles


async def test_a_hold_on_one_of_them_keeps_all(catalog: Catalog, catalog_dsn: str, tmp_path: Path) -> None:
    site = await healed(catalog, tmp_path, CopySettings())
    before = {one: await channels(site, one) for one in await everything(site)}
    await catalog.holds.place(site.ids[2], reason="court", by="anna")
    with pytest.raises(CommandFailed, match="legal hold") as refused:
        await redact(site, catalog_dsn, site.ids[1])
    assert refused.value.exit_code is ExitCode.REFUSED
    assert {one: await channels(site, one) for one in before} == before


async def test_copies_that_nobody_decided_about_are_told(catalog: Catalog, catalog_dsn: str, tmp_path: Path) -> None:
    site = Site(catalog, tmp_path, await catalog.acquire_lease(), random.Random(3))
    site.settings = site_settings(tmp_path)
    for number in (1, 2):
        await site.begin(number)
        await site.end(number)
    await site.seek(catalog)
    with pytest.raises(CommandFailed, match="copies explain"):
        await redact(site, catalog_dsn, site.ids[1])
