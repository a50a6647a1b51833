"""From a capture to sealed, encrypted, uploaded files, through real catalog and stores; and every way to doubt them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from recorder.stores import s3_options
from storage.catalog import Catalog
from storage.catalog.records import FINALISE
from storage.catalog.views import FileView, RecordingDetail
from storage.cli.context import CliContext
from storage.cli.groups import GROUPS
from storage.cli.verify import verify_recordings
from storage.exit_codes import ExitCode
from storage.integrity import PublicKeys
from storage.integrity.verify import check_folder
from storage.verify import main as verify_main
from tests.kit.curating import Curating
from tests.kit.object_storage import ObjectStorage, object_storage
from tests.kit.recipients import make_recipient
from tests.unit.media.pipeline.recordings import sound, wav_channels

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStorage]:
    with object_storage() as running:
        yield running


@pytest.fixture
def curating(catalog: Catalog, tmp_path: Path) -> Callable[..., Curating]:
    return lambda **tables: Curating(catalog, tmp_path / "state", **tables)


def s3_tables(server: ObjectStorage, **more: Any) -> dict[str, Any]:
    reach = server.bucket()
    return {
        "recordings": {"store": "s3", **more},
        "s3": {
            "bucket": reach.bucket,
            "endpoint": reach.endpoint,
            "access_key_id": reach.access_key_id,
            "secret_access_key": reach.secret_access_key,
            "timeout_s": 30.0,
        },
    }


class Desk:
    def __init__(self, curator: Curating, dsn: str) -> None:
        self._context = CliContext(
            dsn=dsn,
            files_root=curator.depot.local.root,
            state_dir=curator.state_dir,
            object_store=s3_options(curator.settings),
        )
        self._app = typer.Typer()
        self._app.add_typer(GROUPS["recordings"].app(), name="recordings")
        self._app.add_typer(GROUPS["keys"].app(), name="keys")
        self._app.add_typer(GROUPS["audit"].app(), name="audit")
        self._app.command("verify")(verify_recordings)

    async def type(self, *words: object) -> Result:
        return await asyncio.to_thread(
            lambda: CliRunner().invoke(self._app, [str(word) for word in words], obj=self._context)
        )


async def detail(catalog: Catalog, reference: object) -> RecordingDetail:
    found = await catalog.get_recording(str(reference))
    assert isinstance(found, RecordingDetail)
    return found


async def master(catalog: Catalog, reference: object) -> FileView:
    (file,) = (await detail(catalog, reference)).files
    return file


def stored(curator: Curating) -> list[str]:
    return sorted(file.path for file in curator.depot.local.list())


async def actions(catalog: Catalog) -> list[str]:
    return [entry.action async for entry in catalog.audit.read()]


async def test_a_recording_is_published_and_sealed(
    curating: Callable[..., Curating], catalog: Catalog, catalog_dsn: str
) -> None:
    curator = curating()
    opened = await curator.record("CALL0001")
    assert await curator.work() == ["finalise", "manifest"]
    file = await master(catalog, opened.recording_id)
    (row,) = await catalog.files.manifests(opened.recording_id)
    assert stored(curator) == sorted([file.path, row.path])
    assert await actions(catalog) == ["publish", "seal"]
    left = wav_channels(curator.depot.local.locate(file.path))[0]
    assert left.tobytes() == sound(4000, 1)
    desk = Desk(curator, catalog_dsn)
    verified = await desk.type("verify", "--all", "--orphans", "--json")
    assert json.loads(verified.stdout) == {"recordings": 1, "sealed": 1, "files": 1, "intact": True, "faults": []}
    assert (await desk.type("audit", "verify")).exit_code == ExitCode.OK
    assert (await desk.type("verify")).exit_code == ExitCode.USAGE


async def test_sealing_twice_states_nothing_new_and_a_continuation_makes_the_next_version(
    curating: Callable[..., Curating], catalog: Catalog, catalog_dsn: str
) -> None:
    curator = curating()
    opened = await curator.record("CALL0001")
    await curator.work()
    first = await master(catalog, opened.recording_id)
    assert await catalog.enqueue_finalise(opened.recording_id)
    assert await curator.work() == ["finalise", "manifest"]
    assert len(await catalog.files.manifests(opened.recording_id)) == 1

    await curator.record("CALL0001", seed=7)
    assert sorted(await curator.work()) == ["discard", "finalise", "manifest"]
    second = await master(catalog, opened.recording_id)
    assert second.path != first.path
    one, two = await catalog.files.manifests(opened.recording_id)
    assert (two.version, one.version) == (2, 1)
    assert stored(curator) == sorted([second.path, one.path, two.path])
    assert (await Desk(curator, catalog_dsn).type("verify", "--all", "--orphans")).exit_code == ExitCode.OK
    check = check_folder(curator.depot.local.root, PublicKeys.read([curator.state_dir / "keys" / "public"]))
    assert (check.manifests, check.files, check.faults) == (2, 1, [])


async def test_the_layout_is_that_of_the_template(curating: Callable[..., Curating], catalog: Catalog) -> None:
    curator = curating(recordings={"layout": "{sips_app_name}/{year}-{month}/{dn}_{ani}"})
    opened = await curator.record("CALL0001")
    await curator.work()
    path = (await master(catalog, opened.recording_id)).path
    assert path.startswith(f"SIP_Switch/2026-03/5550100_5550199_{opened.recording_id.hex}_")


@pytest.mark.parametrize("kind", ["x25519", "rsa"])
async def test_encrypted_audio_is_read_with_the_private_key_only(
    curating: Callable[..., Curating], catalog: Catalog, catalog_dsn: str, tmp_path: Path, kind: str
) -> None:
    public, private = make_recipient(tmp_path / "archive", kind)
    _, stranger = make_recipient(tmp_path / "other", kind)
    curator = curating(recordings={"encrypt_to": [str(public)]})
    opened = await curator.record("CALL0001", seconds=10)
    await curator.work()
    file = await master(catalog, opened.recording_id)
    assert file.path.endswith(".wav.enc")
    for path in (curator.depot.local.root).rglob("*"):
        assert not path.is_file() or sound(80_000, 1)[:64] not in path.read_bytes()

    desk = Desk(curator, catalog_dsn)
    reference, out = opened.recording_id, tmp_path / "out.wav"
    refused = await desk.type("recordings", "export", reference, "--out", out)
    assert refused.exit_code == ExitCode.REFUSED
    assert "archive" in refused.output
    wrong = await desk.type("recordings", "export", reference, "--out", out, "--key", stranger)
    assert wrong.exit_code == ExitCode.REFUSED
    assert not out.exists()
    exported = await desk.type("recordings", "export", reference, "--out", out, "--key", private)
    assert exported.exit_code == ExitCode.OK, exported.output
    assert wav_channels(out)[1].tobytes() == sound(80_000, 2)
    assert (await desk.type("verify", "--all", "--orphans")).exit_code == ExitCode.OK


async def test_rewrapping_gives_other_recipients_and_leaves_the_audio(
    curating: Callable[..., Curating], catalog: Catalog, catalog_dsn: str, tmp_path: Path
) -> None:
    old_public, old = make_recipient(tmp_path / "old", "p256")
    new_public, new = make_recipient(tmp_path / "new", "x25519")
    curator = curating(recordings={"encrypt_to": [str(old_public)]})
    opened = await curator.record("CALL0001")
    await curator.work()
    file = await master(catalog, opened.recording_id)
    audio = curator.depot.local.locate(file.path)
    before = (audio.read_bytes(), audio.stat().st_mtime_ns)
    desk = Desk(curator, catalog_dsn)
    words = ("keys", "rewrap", "--key", old, "--to", new_public, "--json")
    assert json.loads((await desk.type(*words, "--dry-run")).stdout)["rewrapped"] == 1
    assert json.loads((await desk.type(*words)).stdout) == {
        "rewrapped": 1,
        "already": 0,
        "other_key": 0,
        "dry_run": False,
    }
    assert json.loads((await desk.type(*words)).stdout)["already"] == 1
    assert (audio.read_bytes(), audio.stat().st_mtime_ns) == before
    out = tmp_path / "out.wav"
    assert (await desk.type("recordings", "export", opened.recording_id, "--out", out, "--key", old)).exit_code == (
        ExitCode.REFUSED
    )
    exported = await desk.type("recordings", "export", opened.recording_id, "--out", out, "--key", new)
    assert exported.exit_code == ExitCode.OK
    assert wav_channels(out)[0].tobytes() == sound(4000, 1)
    assert (await desk.type("verify", "--all", "--orphans")).exit_code == ExitCode.OK


async def test_files_move_to_object_storage_and_are_read_from_there(
    curating: Callable[..., Curating], catalog: Catalog, catalog_dsn: str, tmp_path: Path, server: ObjectStorage
) -> None:
    public, private = make_recipient(tmp_path / "archive", "x25519")
    curator = curating(**s3_tables(server, encrypt_to=[str(public)]))
    opened = await curator.record("CALL0001")
    done = await curator.work()
    assert sorted(done) == ["discard", "discard", "finalise", "manifest", "upload"]
    assert stored(curator) == []
    file = await master(catalog, opened.recording_id)
    assert file.store == "s3"
    log = await actions(catalog)
    assert log.index("publish") < log.index("upload") < log.index("discard")
    desk, out = Desk(curator, catalog_dsn), tmp_path / "out.wav"
    exported = await desk.type("recordings", "export", opened.recording_id, "--out", out, "--key", private)
    assert exported.exit_code == ExitCode.OK, exported.output
    assert wav_channels(out)[0].tobytes() == sound(4000, 1)
    assert (await desk.type("verify", "--all", "--orphans")).exit_code == ExitCode.OK

    await curator.record("CALL0001", seed=5)  # it goes on: the uploaded file is superseded
    await curator.work()
    found = await master(catalog, opened.recording_id)
    assert (found.store, found.path != file.path) == ("s3", True)
    remote = curator.depot.store("s3")
    assert remote.stat(file.path) is None
    assert len(list(remote.list())) == 4  # audio, its keys, two manifests
    assert (await desk.type("verify", "--all", "--orphans")).exit_code == ExitCode.OK


async def test_publishing_never_waits_for_object_storage(
    curating: Callable[..., Curating], catalog: Catalog, catalog_dsn: str, tmp_path: Path
) -> None:
    with object_storage() as server:
        tables = s3_tables(server)
        port = int(server.endpoint.rpartition(":")[2])
    curator = curating(**tables)  # the server is away now
    opened = await curator.record("CALL0001")
    assert sorted(await curator.work()) == ["finalise", "manifest", "upload"]
    file = await master(catalog, opened.recording_id)
    assert file.store == "local"
    out = tmp_path / "out.wav"
    desk = Desk(curator, catalog_dsn)
    assert (await desk.type("recordings", "export", opened.recording_id, "--out", out)).exit_code == ExitCode.OK
    (job,) = await catalog.list_jobs()
    assert (job.kind, job.state, job.max_attempts) == ("upload", "queued", 1_000_000)

    with object_storage(port) as server:
        server.client.create_bucket(Bucket=tables["s3"]["bucket"])
        connection = await asyncpg.connect(catalog_dsn)
        try:
            await connection.execute("UPDATE jobs SET run_after = now(), attempts = 5000")
        finally:
            await connection.close()
        assert sorted(await curator.work()) == ["discard", "discard", "upload"]
        assert (await master(catalog, opened.recording_id)).store == "s3"
        assert stored(curator) == []


async def test_back_off_of_a_patient_job_never_overflows(curating: Callable[..., Curating], catalog_dsn: str) -> None:
    curator = curating()
    await curator.record("CALL0001")
    connection = await asyncpg.connect(catalog_dsn)
    try:
        await connection.execute("UPDATE jobs SET attempts = 5000, max_attempts = 1000000")
    finally:
        await connection.close()
    job = await curator.catalog.claim_job("x", kinds=(FINALISE,))
    assert job is not None
    assert (await curator.catalog.fail_job(job, "away")).value == "retry"


async def test_the_offline_verifier_finds_any_changed_byte(
    curating: Callable[..., Curating], catalog: Catalog, tmp_path: Path
) -> None:
    """No catalog, no recorder: the files and a public key."""
    curator = curating()
    for number in range(3):
        await curator.record(f"CALL000{number}", seconds=0.1, seed=number + 1)
    await curator.work()
    folder = tmp_path / "evidence"
    shutil.copytree(curator.depot.local.root, folder, ignore=shutil.ignore_patterns(".unfinished"))
    key = next((curator.state_dir / "keys" / "public").iterdir())
    assert verify_main([str(folder), "--key", str(key)]) == 0
    trusted = PublicKeys.read([key])
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) == 6

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def flip(data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(files))
        original = path.read_bytes()
        changed = bytearray(original)
        changed[data.draw(st.integers(0, len(original) - 1))] ^= data.draw(st.integers(1, 255))
        path.chmod(0o644)
        path.write_bytes(changed)
        try:
            assert not check_folder(folder, trusted).intact
        finally:
            path.write_bytes(original)

    await asyncio.to_thread(flip)
    files[0].unlink()
    assert not check_folder(folder, trusted).intact
    outside = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "storage.verify", str(folder), "--key", str(key), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert outside.returncode == 5, outside.stderr
    assert len(json.loads(outside.stdout)["faults"]) >= 1


async def test_the_online_verifier_finds_what_was_changed(
    curating: Callable[..., Curating], catalog: Catalog, catalog_dsn: str
) -> None:
    curator = curating()
    opened = await curator.record("CALL0001")
    await curator.work()
    desk = Desk(curator, catalog_dsn)
    file = await master(catalog, opened.recording_id)
    audio = curator.depot.local.locate(file.path)
    original = audio.read_bytes()
    audio.chmod(0o644)
    audio.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    changed = await desk.type("verify", opened.recording_id)
    assert changed.exit_code == ExitCode.INTEGRITY
    assert "was changed" in changed.output
    audio.write_bytes(original)
    assert (await desk.type("verify", "CALL0001")).exit_code == ExitCode.OK

    # Bytes and the catalog's row changed together: the manifest tells.
    connection = await asyncpg.connect(catalog_dsn)
    try:
        audio.write_bytes(original + b"\0\0")
        digest = await asyncio.to_thread(lambda: hashlib.sha256(audio.read_bytes()).digest())
        await connection.execute("UPDATE files SET sha256 = $1, size_bytes = $2", digest, len(original) + 2)
    finally:
        await connection.close()
    told = await desk.type("verify", "--all", "--json")
    assert told.exit_code == ExitCode.INTEGRITY
    assert "manifest states" in json.loads(told.stdout)["faults"][0]["what"]


async def test_what_was_deleted_in_good_order_is_accounted_for(
    curating: Callable[..., Curating], catalog: Catalog, catalog_dsn: str
) -> None:
    curator = curating()
    opened = await curator.record("CALL0001")
    await curator.work()
    desk = Desk(curator, catalog_dsn)
    for _ in range(2):  # while it is being deleted, and when it is gone
        assert (await desk.type("recordings", "delete", opened.recording_id, "--yes", "--reason", "x")).exit_code == 0
        verified = await desk.type("verify", "--all", "--orphans")
        assert (verified.exit_code, verified.stdout) == (ExitCode.OK, "intact: 0 recordings, 0 files as they were\n")
        await curator.work()


async def test_a_file_that_nothing_knows_is_found(
    curating: Callable[..., Curating], catalog: Catalog, catalog_dsn: str
) -> None:
    curator = curating()
    await curator.record("CALL0001")
    await curator.work()
    curator.depot.local.replace(b"stray", "2026/11/22/stray.wav")
    found = await Desk(curator, catalog_dsn).type("verify", "--orphans", "--json")
    assert [fault["subject"] for fault in json.loads(found.stdout)["faults"]] == ["local:2026/11/22/stray.wav"]
    assert found.exit_code == ExitCode.INTEGRITY


async def test_a_rotated_key_leaves_old_manifests_verifiable(
    curating: Callable[..., Curating], catalog: Catalog, catalog_dsn: str
) -> None:
    curator = curating()
    await curator.record("CALL0001")
    await curator.work()
    desk = Desk(curator, catalog_dsn)
    assert (await desk.type("keys", "rotate", "--reason", "yearly")).exit_code == ExitCode.OK
    successor = curating()
    await successor.record("CALL0002", seed=3)
    await successor.work()
    assert len(json.loads((await desk.type("keys", "show", "--json")).stdout)["trusted"]) == 2
    verified = json.loads((await desk.type("verify", "--all", "--json")).stdout)
    assert (verified["sealed"], verified["intact"]) == (2, True)
    assert "rotate-key" in await actions(catalog)


async def test_a_result_may_enter_the_catalog_before_its_file(
    curating: Callable[..., Curating], catalog: Catalog, catalog_dsn: str
) -> None:
    """As a healed master does: its row has to be there before the row of its file."""
    await curating().record("CALL0001")
    connection = await asyncpg.connect(catalog_dsn)
    master_id, path = uuid.uuid4(), "2026/03/01/master.wav"
    try:
        assert await catalog.files.intend(master_id, "local", path, bytes(32))
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO recordings (id, record_identifier, door, state, started_at, parameters, warnings, "
                "finalised_at) VALUES ($1, 'healed', 'msr', 'complete', now(), '[]', '[]', now())",
                master_id,
            )
            await connection.execute(
                "INSERT INTO files (recording_id, kind, store, path, format, sample_rate, channels, frames, "
                "size_bytes, sha256) VALUES ($1, 'master', 'local', $2, 'wav-mulaw', 8000, 2, 1, 1, $3)",
                master_id,
                path,
                bytes(32),
            )
        assert not await catalog.files.is_doomed("local", path)
        assert await connection.fetchval("SELECT count(*) FROM intended_files") == 0
    finally:
        await connection.close()
