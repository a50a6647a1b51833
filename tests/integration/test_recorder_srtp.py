"""SRTP with SDES through the whole recorder: S26, R12, R13; and where its keys must never be."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from recorder.state_dir import StateDir
from tests.failover.chaos.faults import Target
from tests.failover.chaos.literal import acknowledged, offered, reply
from tests.failover.chaos.moves import draining, kill_active, moved, whole, writer_of
from tests.kit.running import RunningRecorder
from tests.kit.secure_call import SecureCall, keys_in

pytestmark = pytest.mark.integration

STRICT = """
name = "strict"
[match]
user_agent = ["Strict*"]
[answer]
srtp = "require"
crypto_suites = ["AEAD_AES_256_GCM"]
"""
OPEN = """
name = "open"
[match]
user_agent = ["Open*"]
[answer]
srtp = "refuse"
"""


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    root = tmp_path_factory.mktemp("srtp")
    profiles = root / "profiles"
    profiles.mkdir()
    (profiles / "strict.toml").write_text(STRICT)
    (profiles / "open.toml").write_text(OPEN)
    environment = {"RECORDER_PROFILES_DIRECTORY": str(profiles), "RECORDER_MEDIA_REPORT_INTERVAL_S": "0.5"}
    with RunningRecorder(root / "state", environment=environment) as running:
        yield running
    running.assert_no_traceback()


@pytest.mark.parametrize(("door", "suite"), [("msr", "AES_CM_128_HMAC_SHA1_32"), ("siprec", "AEAD_AES_256_GCM")])
def test_s26_a_protected_call_is_recorded_like_a_plain_one(
    recorder: RunningRecorder, tmp_path: Path, door: str, suite: str
) -> None:
    with SecureCall(recorder, door=door, suite=suite, sequence=65_520) as call:
        answer = call.place()
        assert answer.sdp.count(f"a=crypto:1 {suite} ") == 2
        assert answer.sdp.count("RTP/SAVP") == 2
        assert not set(keys_in(answer)) & set(call.keys)
        call.media.start()
        call.media.talk(1.0)
        call.hang_up()
        call.assert_recorded(tmp_path)


async def _every_row(dsn: str) -> bytes:
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch("SELECT schemaname, tablename FROM pg_tables WHERE schemaname <> 'pg_catalog'")
        rows = []
        for table in tables:
            for row in await connection.fetch(f'SELECT * FROM "{table["schemaname"]}"."{table["tablename"]}"'):
                rows += [value if isinstance(value, bytes) else str(value).encode() for value in row.values()]
        return b"\n".join(rows)
    finally:
        await connection.close()


def test_no_key_is_ever_stored_or_logged(recorder: RunningRecorder, tmp_path: Path) -> None:
    """Every byte of the state directory (PostgreSQL's files and its log are in it), of every table, and of the log."""
    with SecureCall(recorder) as call:
        answer = call.place()
        call.media.start()
        call.media.talk(0.3)
        keys = [*call.keys, *keys_in(answer)]
        call.draw_keys()
        keys += call.keys + keys_in(call.reinvite())
        call.switch()
        call.media.talk(0.3)
        running = StateDir(recorder.state_dir).read_running()
        assert running is not None
        places = {"tables": asyncio.run(_every_row(running.dsn)), "log": recorder.log_path.read_bytes()}
        call.hang_up()
        call.assert_recorded(tmp_path)
        assert call.dialog.call_id.encode() in places["tables"]
        for path in [one for one in recorder.state_dir.rglob("*") if one.is_file() and not one.is_socket()]:
            # Files of PostgreSQL come and go.
            with suppress(FileNotFoundError):
                places[str(path)] = path.read_bytes()
        places["shared memory"] = b"".join(path.read_bytes() for path in Path("/dev/shm").glob("tandem*"))
    assert len(set(keys)) >= 6
    for key in keys:
        for shape in (key, key[:16], base64.b64encode(key)[:20], key.hex().encode()[:32]):
            assert [where for where, content in places.items() if shape in content] == []


def test_r13_a_reinvite_with_a_new_key_costs_nothing(recorder: RunningRecorder, tmp_path: Path) -> None:
    with SecureCall(recorder, sequence=65_500, rollovers=2) as call:
        call.start()
        call.media.talk(1.0)
        call.draw_keys()
        assert call.reinvite().status == 200
        call.media.talk(0.3)
        call.switch()
        call.media.talk(0.5)
        call.hang_up()
        call.assert_recorded(tmp_path)


def test_a_wrong_key_is_an_alarm_on_the_recording(recorder: RunningRecorder) -> None:
    with SecureCall(recorder, told=False) as call:
        call.start()
        call.media.talk(0.5)
        call.hang_up()
        entry = call.finished()
    assert entry["state"] == "no-media", entry
    shown = recorder.admin("recordings", "show", entry["id"])
    assert any("not-authenticated" in warning for warning in shown["warnings"]), shown["warnings"]


@pytest.mark.parametrize(
    ("agent", "suite", "status"),
    [
        ("Strict/1", "AEAD_AES_256_GCM", 200),
        ("Strict/1", "AES_CM_128_HMAC_SHA1_80", 488),
        ("Open/1", "AEAD_AES_256_GCM", 488),
    ],
)
def test_a_profile_decides(recorder: RunningRecorder, agent: str, suite: str, status: int) -> None:
    with SecureCall(recorder, suite=suite) as call:
        answer = call.dialog.send("INVITE", call.offer().encode(), headers=f"User-Agent: {agent}")
        assert answer.status == status
        if status == 200:
            call.dialog.bye()


@pytest.fixture
def target(recorder: RunningRecorder) -> Target:
    found = Target(recorder)
    whole(found)
    return found


@pytest.mark.failover
def test_the_writer_killed_after_a_wrap_costs_a_packet_at_most(
    recorder: RunningRecorder, target: Target, tmp_path: Path
) -> None:
    with SecureCall(recorder, sequence=65_510, rollovers=3) as call:
        call.start()
        call.media.talk(0.7)
        name = writer_of(recorder, call)
        (victim,) = [one["pid"] for one in target.processes() if one["name"] == name]
        os.kill(victim, signal.SIGKILL)
        call.media.talk(1.0)
        whole(target)
        call.media.talk(0.5)
        call.hang_up()
        entry = call.finished()
    lost = sum(gap["duration_s"] for gap in entry["gaps"])
    assert lost <= 0.02 * len(call.sent), entry["gaps"]
    assert not [one for one in entry["gaps"] if one["cause"] == "not-authenticated"]


@pytest.mark.failover
def test_a_move_brings_our_new_key_and_goes_on_with_the_clients(
    recorder: RunningRecorder, target: Target, tmp_path: Path
) -> None:
    """RFC 4568 §7.1.4: our address changes, so does our key; the client's goes on, its rollover counter too."""
    with SecureCall(recorder, sequence=65_510, rollovers=3) as call:
        ours = keys_in(call.place())
        call.media.start()
        call.media.talk(0.7)
        with draining(target, writer_of(recorder, call)):
            request = offered(call)
            assert len(set(keys_in(request)) - set(ours)) == 2
            assert request.sdp.count("RTP/SAVP") == 2
            reply(call, request, 200)
            assert acknowledged(call, request)
            moved(recorder, call)
            call.media.talk(0.7)
            call.hang_up()
        call.assert_recorded(tmp_path)


@pytest.mark.failover
def test_another_frontend_goes_on_with_the_keys(recorder: RunningRecorder, target: Target, tmp_path: Path) -> None:
    with SecureCall(recorder) as call:
        ours = keys_in(call.place())
        call.media.start()
        call.media.talk(0.3)
        kill_active(target)
        assert keys_in(call.reinvite()) == ours
        call.media.talk(0.3)
        call.hang_up()
        call.assert_recorded(tmp_path)


@pytest.mark.parametrize("suite", ["AES_256_CM_HMAC_SHA1_80", "AEAD_AES_128_GCM"])
def test_the_simulator_sends_srtp_and_verifies_the_recording(recorder: RunningRecorder, suite: str) -> None:
    done = recorder.simulate(
        "--calls", "2", "--seconds", "2", "--srtp", suite, "--duplicate-packets", "5", "--verify", "--json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["receiver_reports"] > 0
