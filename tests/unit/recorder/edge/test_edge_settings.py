"""Settings of the edge: what belongs together is demanded together, and errors name key, value and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from recorder.config import load_settings
from recorder.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[sip]\ntls_port = 5061\n", ["tls_port = 5061 needs tls_certificate", "or set tls_port = 0"]),
        ("[sip]\ntls_port = 5061\ntls_certificate = '/c.pem'\n", ["tls_port = 5061 needs tls_key"]),
        (
            "[sip]\ntls_port = 5060\ntls_certificate = '/c.pem'\ntls_key = '/k.pem'\n",
            ["tls_port = 5060 is the port of TCP as well"],
        ),
        (
            "[sip]\ntls_port = 20002\ntls_certificate = '/c.pem'\ntls_key = '/k.pem'\n",
            ["sip.tls_port = 20002 lies inside the RTP range"],
        ),
        ("[sip]\ntls_client_certificate = 'required'\n", ["tls_client_certificate = 'required' needs tls_client_ca"]),
        ("[access]\nallow = ['10.0.0.1/8']\n", ["access.allow.0 = '10.0.0.1/8'", "write 10.0.0.0/8"]),
        ("[access]\nallow = []\n", ["access.allow = []", "at least 1 item"]),
        ("[access]\ntls_identities = ['*.x']\n", ["access.tls_identities", "sip.tls_client_certificate = 'required'"]),
        ("[access]\ndigest_realm = 'a:b'\n", ["access.digest_realm = 'a:b'", "printable ASCII without ':'"]),
        ("[access]\ndigest_methods = ['BYE']\n", ["access.digest_methods.0 = 'BYE'", "'INVITE' or 'OPTIONS'"]),
        ("[access]\nrequests_per_s = -1\n", ["access.requests_per_s = -1", "requests of one source per second"]),
        ("[trace]\nenabled = 'perhaps'\n", ["trace.enabled = 'perhaps'", "boolean"]),
        ("[sip]\ntls_client_certificate = 'yes'\n", ["sip.tls_client_certificate = 'yes'", "'none', 'optional'"]),
    ],
)
def test_an_error_names_key_value_and_remedy(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = tmp_path / "recorder.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    for part in expected:
        assert part in str(caught.value)


def test_file_names_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECORDER_SIP_TLS_CERTIFICATE", "server.pem")
    assert load_settings(None).sip.tls_certificate == str(tmp_path / "server.pem")


def test_lists_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORDER_ACCESS_ALLOW", '["192.0.2.0/24", "2001:db8::7"]')
    assert load_settings(None).access.allow == ["192.0.2.0/24", "2001:db8::7/128"]
