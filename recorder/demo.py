"""`make demo`: a recorder and a Media Server simulator together, once, in a temporary state directory.

Shows what a newcomer wants to see first: a call goes in, twice as sites with duplication send it, one recording comes
out, its timeline, and the comparison of every sample with what was sent. Everything is removed afterwards.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

_BIN: Final = Path(sys.executable).parent
_START_LIMIT_S: Final = 60.0
_SECONDS: Final = 20


def main() -> int:
    """Run the demonstration; the exit code is that of the comparison."""
    with tempfile.TemporaryDirectory(prefix="tandem-demo-") as directory:
        state_dir = Path(directory) / "state"
        environment = {**os.environ, "RECORDER_STATE_DIR": str(state_dir), "RECORDER_MEDIA_MAX_STREAMS": "100"}
        sip_port = os.environ.get("RECORDER_SIP_PORT", "5060")
        log = Path(directory) / "recorder.log"
        print(f"$ recorder run --state-dir {state_dir} --sip-port {sip_port} --http-port 0", flush=True)
        with log.open("wb") as output:
            recorder = subprocess.Popen(  # noqa: S603
                [_BIN / "recorder", "run", "--sip-port", sip_port, "--http-port", "0"], env=environment, stderr=output
            )
        try:
            if not _ready(recorder, environment):
                print(log.read_text(errors="replace"), file=sys.stderr)
                return 1
            return _show(environment, sip_port)
        finally:
            recorder.send_signal(signal.SIGTERM)
            recorder.wait()


def _ready(recorder: subprocess.Popen[bytes], environment: dict[str, str]) -> bool:
    deadline = time.monotonic() + _START_LIMIT_S
    while recorder.poll() is None and time.monotonic() < deadline:
        asked = _admin(environment, "status", "--json", capture=True)
        if asked.returncode == 0 and json.loads(asked.stdout)["state"] == "running":
            return True
        time.sleep(0.2)
    return False


def _show(environment: dict[str, str], sip_port: str) -> int:
    arguments = [
        "simulate", "--target", f"udp:127.0.0.1:{sip_port}", "--door", "msr",
        "--calls", "1", "--seconds", str(_SECONDS), "--loss", "2", "--duplicate", "--copy-loss", "2s", "--verify",
    ]  # fmt: skip
    print(f"\n$ recorder {' '.join(arguments)}", flush=True)
    compared = subprocess.run([_BIN / "recorder", *arguments], env=environment, check=False)  # noqa: S603
    print("\n$ recorder-admin recordings list", flush=True)
    if _admin(environment, "recordings", "list").returncode:
        return 1
    listed = json.loads(_admin(environment, "recordings", "list", "--json", capture=True).stdout)
    for recording in listed:
        print(f"\n$ recorder-admin recordings show {recording['id']}", flush=True)
        _admin(environment, "recordings", "show", recording["id"])
    print("\nsent = recorded" if compared.returncode == 0 else "\nsent and recorded differ", flush=True)
    return compared.returncode


def _admin(environment: dict[str, str], *arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [_BIN / "recorder-admin", *arguments], env=environment, check=False, text=True, capture_output=capture
    )


if __name__ == "__main__":
    sys.exit(main())
