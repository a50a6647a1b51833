"""Settings: sources, their order, and errors that name key, value and remedy."""

from __future__ import annotations

import configparser
import os
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from recorder.config import load_settings
from recorder.errors import ConfigError
from recorder.settings import Settings

SHIPPED = Path(__file__).parents[3] / "config" / "recorder.toml"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RECORDER_"):
            monkeypatch.delenv(name)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recorder.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_command_line_beats_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "[sip]\nport = 5061\n[http]\nport = 8081\n[media]\nwriters = 3\n")
    monkeypatch.setenv("RECORDER_SIP_PORT", "5062")
    monkeypatch.setenv("RECORDER_HTTP_PORT", "8082")
    settings = load_settings(path, {"sip": {"port": 5063}})
    assert (settings.sip.port, settings.http.port, settings.media.writers) == (5063, 8082, 3)


def test_environment_sets_the_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORDER_STATE_DIR", "/srv/tandem")
    assert load_settings(None).state_dir == Path("/srv/tandem")


def test_a_keys_with_two_words_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORDER_MEDIA_MAX_STREAMS", "44")
    assert load_settings(None).media.max_streams == 44


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[sip]\nport = 70000\n", ["sip.port = 70000", "less than or equal to 65535", "UDP and TCP port"]),
        ("[sip]\nhost = 'pbx.example'\n", ["sip.host = 'pbx.example'", "IPv4 or IPv6 address"]),
        ("[sip]\nprot = 5060\n", ["sip.prot", "unknown key", "known here: advertised_host"]),
        ("[media]\nfirst_port = 20001\n", ["media", "first_port = 20001 must be even"]),
        ("[media]\nfirst_port = 20000\nlast_port = 20099\n", ["media", "hold fewer than max_streams = 1000"]),
        ("[sip]\nport = 20000\n", ["sip.port = 20000 lies inside the RTP range"]),
        ("[recordings]\nformat = 'mp3'\n", ["recordings.format = 'mp3'", "'g711', 'pcm16', 'flac' or 'opus'"]),
        ("[sip]\nhost = '::'\n", ["sip.host = :: and media.host = 0.0.0.0 are of different IP versions"]),
        ("node = ''\n", ["node = ''", "1 to 63 letters"]),
        ("[database]\ndsn = 'mysql://x'\n", ["database.dsn: must be postgresql://user@host/name"]),
        ("[ha]\nlisten = '10.0.0.1'\n", ["ha.listen = '10.0.0.1': must be ADDRESS:PORT"]),
    ],
)
def test_an_error_names_key_value_and_remedy(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    for part in [*expected, str(path)]:
        assert part in str(caught.value)


def test_every_fault_is_reported_not_only_the_first(tmp_path: Path) -> None:
    path = write(tmp_path, "[sip]\nport = 0\n[http]\nport = -1\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert len(caught.value.faults) == 2


def test_a_file_that_is_not_toml_says_where(tmp_path: Path) -> None:
    path = write(tmp_path, "[sip\n")
    with pytest.raises(ConfigError, match=r"not valid TOML.*line 1"):
        load_settings(path)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file.*--config"):
        load_settings(tmp_path / "absent.toml")


def test_the_shipped_file_is_valid_as_it_is() -> None:
    assert load_settings(SHIPPED) == load_settings(None)


def test_the_shipped_file_shows_every_key_with_its_default() -> None:
    # Uncomment every key; what then loads must be the defaults, and no key may be absent.
    text = re.sub(r"(?m)^#(\w+ = )", r"\1", SHIPPED.read_text(encoding="utf-8"))
    shown = tomllib.loads(text)
    defaults = load_settings(None)
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            assert set(shown[name]) == set(field.annotation.model_fields), name
            for key, value in shown[name].items():
                if (name, key) not in {("recordings", "root"), ("checkpoints", "key_file")}:
                    assert getattr(getattr(defaults, name), key) == value, (name, key)
        else:
            assert name in shown


def test_the_dsn_is_not_shown(tmp_path: Path) -> None:
    path = write(tmp_path, "[database]\ndsn = 'postgresql://user:secret@db/x'\n")
    assert "secret" not in repr(load_settings(path))
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, "[database]\ndsn = 'mysql://user:secret@db/x'\n"))
    assert "secret" not in str(caught.value)


def test_an_error_of_the_environment_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORDER_SIP_PORT", "x")
    monkeypatch.setenv("RECORDER_SIP_PROT", "5060")
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, "[http]\nport = -1\n"))
    assert [fault.rpartition("; ")[2] for fault in sorted(caught.value.faults)] == [
        f"file {tmp_path / 'recorder.toml'}",
        "environment variable RECORDER_SIP_PORT",
        "environment variable RECORDER_SIP_PROT",
    ]


def test_an_error_of_the_command_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORDER_SIP_PORT", "5080")
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, "[sip]\nport = 5070\n"), {"sip": {"port": 99999}})
    assert [fault.rpartition("; ")[2] for fault in caught.value.faults] == ["command line"]


def test_the_systemd_unit_suits_the_defaults() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read("config/tandem.service")
    service, defaults = unit["Service"], load_settings(None)
    assert service["KillMode"] == "mixed"
    limits = defaults.shutdown
    assert int(service["TimeoutStopSec"]) > limits.drain_limit_s + limits.finalise_limit_s
    assert int(service["LimitNOFILE"]) >= 2 * defaults.media.max_streams + 256


@pytest.mark.parametrize("host", ["host-a", "host-b"])
def test_the_example_of_a_site_is_valid(host: str) -> None:
    assert load_settings(Path(f"config/cluster/{host}.toml")).node == host


@pytest.mark.parametrize(
    ("left_out", "told"),
    [
        ("database", "ha.listen needs database.dsn"),
        ("checkpoints", "ha.listen needs checkpoints.key_file"),
        ("media", "ha.listen needs media.advertised_host"),
    ],
)
def test_a_site_needs_more_than_its_own_table(left_out: str, told: str, tmp_path: Path) -> None:
    text = Path("config/cluster/host-a.toml").read_text()
    tables = text.split("\n[")
    path = tmp_path / "host.toml"
    path.write_text("\n[".join(table for table in tables if not table.startswith(f"{left_out}]")))
    with pytest.raises(ConfigError, match=told):
        load_settings(path)
