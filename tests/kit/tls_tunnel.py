"""socat between a SIP peer that speaks TCP and the recorder's TLS port: its TLS is OpenSSL's own, and mutual."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.certificates import KeyPair
from tests.kit.running import eventually, free_port
from tests.kit.sip_client import LOOPBACK


@contextmanager
def tls_tunnel(tls_port: int, *, authority: Path, client: KeyPair) -> Iterator[int]:
    """Yield a TCP port; what connects there is connected to `tls_port` by TLS with the client's certificate."""
    socat = shutil.which("socat")
    assert socat, "socat is missing: run .ci/install-peers, or install the package socat"
    port = free_port()
    tunnel = subprocess.Popen([
        "setpriv", "--pdeathsig", "TERM", socat,
        f"TCP-LISTEN:{port},bind={LOOPBACK},reuseaddr,fork",
        f"OPENSSL:{LOOPBACK}:{tls_port},cafile={authority},verify=1,cert={client.certificate},key={client.key}",
    ])  # fmt: skip
    try:
        eventually(lambda: _listens(port), limit_s=30, what="socat listening")
        yield port
    finally:
        tunnel.terminate()
        tunnel.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
