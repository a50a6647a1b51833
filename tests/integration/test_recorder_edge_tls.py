"""SIP over TLS against a recorder as a user runs it: calls, mutual TLS, certificates renewed while calls go on."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.certificates import Authority, KeyPair, serial_seen
from tests.kit.running import BIN, RunningRecorder, alive, eventually, free_port
from tests.kit.sip_client import LOOPBACK, NoAnswerError
from tests.kit.tls_client import TlsCall, TlsClient

pytestmark = pytest.mark.integration


class SecureSite:
    """An authority, the recorder's certificate and a client's, and a recorder that uses them."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.server = self.authority.sign("server")
        self.client = self.authority.sign("client", alternative=("sbc1.site.example",))
        self.tls_port = free_port()
        self.recorder = RunningRecorder(
            directory / "state",
            environment={
                "RECORDER_SIP_TLS_PORT": str(self.tls_port),
                "RECORDER_SIP_TLS_CERTIFICATE": str(self.server.certificate),
                "RECORDER_SIP_TLS_KEY": str(self.server.key),
                "RECORDER_SIP_TLS_CLIENT_CA": str(self.authority.file),
                "RECORDER_SIP_TLS_CLIENT_CERTIFICATE": "required",
                "RECORDER_ACCESS_TLS_IDENTITIES": '["*.site.example"]',
            },
        )

    def context(self, own: KeyPair | None = None) -> ssl.SSLContext:
        """Return a client's context with the client's own certificate, or another one."""
        return self.authority.trusting(own or self.client)

    def call(self, **options: str) -> TlsCall:
        """Return a call over TLS."""
        return TlsCall(self.recorder, self.tls_port, self.context(), **options)

    def connect(self) -> TlsClient:
        """Return an open connection of the client."""
        return TlsClient(self.tls_port, self.context())

    def reload(self) -> None:
        """Send SIGHUP, as `systemctl reload` does."""
        assert self.recorder.process is not None
        self.recorder.process.send_signal(signal.SIGHUP)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureSite]:
    secure = SecureSite(tmp_path_factory.mktemp("tls"))
    with secure.recorder:
        yield secure
        assert secure.recorder.stop() == 0, secure.recorder.log_tail()
    secure.recorder.assert_no_traceback()


@pytest.mark.parametrize("door", ["msr", "siprec"])
def test_a_call_over_tls_is_recorded_bit_exact(site: SecureSite, tmp_path: Path, door: str) -> None:
    """C26, S25: RFC 7866 section 12 asks for TLS with mutual authentication."""
    with site.call(door=door) as call:
        call.start()
        call.media.wait_for(40)
        answer = call.hang_up()
        assert answer.all("Via")[0].startswith("SIP/2.0/TLS ")
        call.assert_recorded(tmp_path)


def test_simulated_calls_over_tls_equal_what_was_sent(site: SecureSite) -> None:
    done = subprocess.run(
        [
            BIN / "recorder", "simulate", "--target", f"tls:{LOOPBACK}:{site.tls_port}",
            "--tls-ca", site.authority.file, "--tls-certificate", site.client.certificate, "--tls-key", site.client.key,
            "--calls", "3", "--seconds", "1", "--verify", "--state-dir", site.recorder.state_dir,
        ],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contact_leads_back_to_the_tls_port(site: SecureSite) -> None:
    with site.call() as call:
        answer = call.place()
        assert f":{site.tls_port};transport=tls" in answer.one("Contact")
        call.hang_up()


def test_a_client_without_certificate_gets_no_answer_where_one_is_required(site: SecureSite) -> None:
    bare = site.authority.trusting()
    # With TLS 1.3 the client learns of the refusal only when it reads.
    with pytest.raises((ssl.SSLError, NoAnswerError, ConnectionError)), TlsClient(site.tls_port, bare) as client:
        client.options(limit_s=3)


def test_a_client_whose_name_is_not_listed_gets_no_answer(site: SecureSite) -> None:
    stranger = site.authority.trusting(site.authority.sign("stranger", alternative=("sbc1.elsewhere.example",)))
    with pytest.raises((ssl.SSLError, NoAnswerError, ConnectionError)), TlsClient(site.tls_port, stranger) as client:
        client.options(limit_s=3)
    with site.connect() as known:
        assert known.options().status == 200


def test_a_renewed_certificate_is_used_for_new_connections_and_open_ones_go_on(
    site: SecureSite, tmp_path: Path
) -> None:
    before = [site.recorder.pids("supervisor"), site.recorder.pids("frontend")]
    with site.call() as call:
        call.start()
        assert isinstance(call.client, TlsClient)
        old_serial = serial_seen(call.client.connection)
        renewed = site.authority.sign("renewed")
        renewed.write_over(site.server)
        site.reload()

        def served() -> int | None:
            with site.connect() as fresh:
                serial = serial_seen(fresh.connection)
                return serial if serial != old_serial else None

        assert eventually(served, limit_s=30, what="the renewed certificate") == renewed.serial
        call.media.wait_for(40)
        assert call.hang_up().status == 200
        call.assert_recorded(tmp_path)
    assert [site.recorder.pids("supervisor"), site.recorder.pids("frontend")] == before


def test_a_broken_new_certificate_keeps_the_old_one_and_says_so(site: SecureSite) -> None:
    good = site.server.certificate.read_bytes()
    site.server.certificate.write_bytes(b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    try:
        site.reload()
        eventually(lambda: "file not taken" in site.recorder.log(), limit_s=30, what="an error in the log")
        assert str(site.server.certificate) in site.recorder.log()
        with site.connect() as client:
            assert client.options().status == 200
    finally:
        site.server.certificate.write_bytes(good)


def test_a_frontend_that_starts_while_the_file_is_broken_has_the_last_good_certificate(site: SecureSite) -> None:
    good = site.server.certificate.read_bytes()
    site.server.certificate.write_bytes(b"")
    try:
        for pid in site.recorder.pids("frontend"):
            subprocess.run(["kill", "-9", str(pid)], check=True)
            eventually(lambda pid=pid: not alive(pid), limit_s=30, what="its end")  # type: ignore[misc]

        def answered() -> bool:
            with site.connect() as client:
                try:
                    return client.options(limit_s=2).status == 200
                except (NoAnswerError, ssl.SSLError):
                    return False

        eventually(answered, limit_s=60, what="an answer of the new frontend")
    finally:
        site.server.certificate.write_bytes(good)


def test_status_names_tls(site: SecureSite) -> None:
    assert site.recorder.status()["sip"]["transports"] == ["udp", "tcp", "tls"]
    assert site.recorder.status()["sip"]["tls_port"] == site.tls_port


# Without a running recorder


def test_check_config_names_a_file_that_does_not_fit(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, other = authority.sign("server"), authority.sign("other")
    config = tmp_path / "recorder.toml"
    config.write_text(
        f"state_dir = '{tmp_path}/state'\n[sip]\ntls_port = 5061\n"
        f"tls_certificate = '{server.certificate}'\ntls_key = '{other.key}'\n"
    )
    done = subprocess.run(
        [BIN / "recorder", "check-config", "--config", config], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the key is not that of the certificate" in done.stderr
    config.write_text(config.read_text().replace(str(other.key), str(server.key)))
    good = subprocess.run(
        [BIN / "recorder", "check-config", "--config", config], capture_output=True, text=True, check=False
    )
    assert (good.returncode, good.stderr) == (0, "")


def test_a_recorder_with_a_broken_certificate_does_not_start(tmp_path: Path) -> None:
    port = free_port()
    done = subprocess.run(
        [BIN / "recorder", "run", "--state-dir", str(tmp_path / "state"), "--sip-port", str(port), "--http-port", "0"],
        env={
            "RECORDER_SIP_TLS_PORT": str(free_port()),
            "RECORDER_SIP_TLS_CERTIFICATE": "/absent.pem",
            "RECORDER_SIP_TLS_KEY": "/absent-key.pem",
        },
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "sip.tls_certificate = '/absent.pem'" in done.stderr
    with socket.socket() as free:
        free.bind((LOOPBACK, port))
