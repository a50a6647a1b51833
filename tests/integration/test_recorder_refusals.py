"""Settings that cannot work: exit codes, and messages that name key, value and remedy. No recorder comes up here."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.kit.running import BIN, RunningRecorder, eventually, free_port

pytestmark = pytest.mark.integration


def recorder(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECORDER_")}
    return subprocess.run(
        [BIN / "recorder", *arguments],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_config_file_that_is_not_there(tmp_path: Path) -> None:
    done = recorder("run", "--config", str(tmp_path / "none.toml"))
    assert done.returncode == 3
    assert str(tmp_path / "none.toml") in done.stderr
    assert "--config" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_config_file_that_is_not_toml(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(b"[sip\nport = \xff")
    done = recorder("run", "--config", str(path))
    assert done.returncode == 2
    assert "not valid TOML" in done.stderr


def test_check_config_names_directories_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "recorder.toml"
    path.write_text(f"[recordings]\nroot = '{path}/recordings'\narchives = {{ old = '{tmp_path}/old' }}\n")
    done = recorder("check-config", "--config", str(path))
    assert done.returncode == 2
    assert f"recordings.archives.old = {tmp_path}/old: is not there; mount the disk" in done.stderr
    assert f"recordings.root = {path}/recordings: {path} is not a directory; correct the path" in done.stderr
    path.write_text(f"[recordings]\nroot = '{tmp_path}/made/with/the/first'\n")
    assert recorder("check-config", "--config", str(path)).returncode == 0


def test_check_config_names_key_value_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "recorder.toml"
    path.write_text('[sip]\nport = 70000\n[media]\nfirst_port = 20001\nwriterz = 3\n[log]\nformat = "xml"\n')
    done = recorder("check-config", "--config", str(path))
    assert done.returncode == 2
    assert "sip.port = 70000" in done.stderr
    assert "media.writerz" in done.stderr
    assert "writers" in done.stderr
    assert "log.format = 'xml'" in done.stderr
    assert str(path) in done.stderr


def test_the_shipped_config_file_is_valid() -> None:
    done = recorder("check-config", "--config", str(Path(__file__).parents[2] / "config" / "recorder.toml"))
    assert done.returncode == 0, done.stderr


def test_a_wrong_environment_variable_is_named() -> None:
    done = recorder("check-config", RECORDER_MEDIA_WRITERS="many")
    assert done.returncode == 2
    assert "media.writers" in done.stderr
    assert "many" in done.stderr


def test_rtp_ports_that_others_hold_are_named(tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        first = taken.getsockname()[1] & ~1
        refused = RunningRecorder(
            tmp_path / "state",
            environment={
                "RECORDER_MEDIA_FIRST_PORT": str(first),
                "RECORDER_MEDIA_LAST_PORT": str(first + 3),
                "RECORDER_MEDIA_MAX_STREAMS": "2",
            },
        ).refused()
    assert refused.returncode == 4
    assert "media.first_port" in refused.stderr
    assert "max_streams" in refused.stderr


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    refused = RunningRecorder(in_the_way / "state").refused()
    assert refused.returncode == 4
    assert str(in_the_way / "state") in refused.stderr
    assert "--state-dir" in refused.stderr


def test_an_address_that_is_not_ours_is_named(tmp_path: Path) -> None:
    done = RunningRecorder(tmp_path / "state", environment={"RECORDER_SIP_HOST": "192.0.2.1"}).refused()
    assert done.returncode == 4
    assert "sip.port" in done.stderr or "sip.host" in done.stderr
    assert "192.0.2.1" in done.stderr


def test_a_database_that_does_not_answer_is_waited_for_and_named(tmp_path: Path) -> None:
    """At boot PostgreSQL may come up later than we: no trace, no end, one line that names the key."""
    waiting = RunningRecorder(
        tmp_path / "state",
        environment={"RECORDER_DATABASE_DSN": f"postgresql://nobody@127.0.0.1:{free_port()}/tandem"},
    )
    with waiting.stopped_at_exit():
        waiting.launch()
        eventually(lambda: "database.dsn" in waiting.log(), limit_s=90, what="a line that names database.dsn")
        assert waiting.status()["state"] == "starting"
        assert waiting.http("/readyz")[0] == 503
        assert waiting.stop() == 0
    waiting.assert_no_traceback()


def test_recorder_admin_without_a_recorder_says_so(tmp_path: Path) -> None:
    done = RunningRecorder(tmp_path / "state").command("status")
    assert done.returncode == 6
    assert "no recorder runs" in done.stderr
    assert "--state-dir" in done.stderr
