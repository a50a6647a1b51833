"""SIPp over TLS: SIPp speaks TCP to socat, and socat, whose TLS is OpenSSL's own, speaks mutual TLS to the recorder."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.kit.certificates import Authority
from tests.kit.heard import assert_bit_exact
from tests.kit.rtp_source import frames_of
from tests.kit.running import RunningRecorder, eventually, free_port
from tests.kit.sip_client import LOOPBACK, new_identifier
from tests.kit.sipp import run_sipp
from tests.kit.wav import read_g711

pytestmark = pytest.mark.interop

ROOT: Final = Path(__file__).parents[2]
FRAMES: Final = 75


@dataclass(frozen=True)
class TunnelledRecorder:
    """A recorder that wants certificates, and the TCP port by which SIPp gets to its TLS port."""

    recorder: RunningRecorder
    tunnel_port: int


@pytest.fixture(scope="module")
def tunnelled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TunnelledRecorder]:
    socat = shutil.which("socat")
    assert socat, "socat is missing: run .ci/install-peers, or install the package socat"
    directory = tmp_path_factory.mktemp("sipp-tls")
    authority = Authority(directory)
    server = authority.sign("server")
    client = authority.sign("client", alternative=("media1.site.example",))
    tls_port, tunnel_port = free_port(), free_port()
    recorder = RunningRecorder(
        directory / "state",
        environment={
            "RECORDER_SIP_TLS_PORT": str(tls_port),
            "RECORDER_SIP_TLS_CERTIFICATE": str(server.certificate),
            "RECORDER_SIP_TLS_KEY": str(server.key),
            "RECORDER_SIP_TLS_CLIENT_CA": str(authority.file),
            "RECORDER_SIP_TLS_CLIENT_CERTIFICATE": "required",
        },
    )
    with recorder:
        tunnel = subprocess.Popen([
            "setpriv", "--pdeathsig", "TERM", socat,
            f"TCP-LISTEN:{tunnel_port},bind={LOOPBACK},reuseaddr,fork",
            f"OPENSSL:{LOOPBACK}:{tls_port},cafile={authority.file},verify=1,"
            f"cert={client.certificate},key={client.key}",
        ])  # fmt: skip
        try:
            eventually(lambda: listens(tunnel_port), limit_s=10, what="socat listening")
            yield TunnelledRecorder(recorder, tunnel_port)
        finally:
            tunnel.terminate()
            tunnel.wait(10)
        assert recorder.stop() == 0, recorder.log_tail()
    recorder.assert_no_traceback()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def test_an_msr_call_over_tls_is_recorded_bit_exact(tunnelled: TunnelledRecorder, tmp_path: Path) -> None:
    """C26, S25."""
    identifier = new_identifier()
    directory = tmp_path / "sipp"
    keys = {
        "id": identifier,
        "calluuid": identifier[:32],
        "audio1": str(free_port()),
        "audio2": str(free_port()),
        "rtp": f"cd {shlex.quote(str(ROOT))} && exec {sys.executable} -m tests.kit.rtp_source --frames {FRAMES}",
    }
    run = run_sipp("msr", tunnelled.tunnel_port, directory, transport="t1", keys=keys)
    run.assert_successful()
    assert ";transport=tls" in run.received("SIP/2.0 200")[0].one("Contact")
    entry = tunnelled.recorder.finished(identifier)
    assert (entry["state"], entry["gaps"], entry["door"]) == ("complete", [], "msr")
    wav = read_g711(tunnelled.recorder.export(entry["id"], tmp_path / "exported.wav"))
    assert_bit_exact(wav, *(frames_of(f"{identifier}/{party}", FRAMES) for party in (0, 1)))
