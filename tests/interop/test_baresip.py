"""baresip, an independent telephone, as recording client: its RTP follows our re-INVITE to another writer's port."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from recorder.simulator.g711 import Law, decode
from tests.kit.heard import MU_LAW, SILENCE, Heard, hear
from tests.kit.rtp_source import FRAME_OCTETS, FRAME_S
from tests.kit.running import RunningRecorder, eventually, free_port
from tests.kit.sip_client import LOOPBACK
from tests.kit.wav import read_g711

pytestmark = pytest.mark.interop

CONFIG: Final = Path(__file__).parent / "baresip" / "config"
TALK_S: Final = 1.2
MUCH: Final = TALK_S / FRAME_S / 2
"""Frames that a telephone has surely played in that time, on a machine that is busy with other tests."""
FRAMES: Final = 1500
"""30 s of audio, longer than any call here."""
ALLOWED_LOSS_S: Final = 0.04
"""What may be lost when media move: two packets (issue of interop)."""


class Telephone:
    """A baresip process; use as a context manager."""

    def __init__(self, directory: Path, *, seed: int, encryption: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(seed)
        # Both octets that stand for zero are left out: what a telephone encodes cannot tell them apart.
        octets = generator.choice([one for one in range(256) if one not in SILENCE[MU_LAW]], FRAMES * FRAME_OCTETS)
        audio = octets.astype(np.uint8)
        self.frames = [audio[at : at + FRAME_OCTETS].tobytes() for at in range(0, audio.size, FRAME_OCTETS)]
        with wave.open(str(directory / "source.wav"), "wb") as source:
            source.setnchannels(1)
            source.setsampwidth(2)
            source.setframerate(8000)
            source.writeframes(decode(audio, Law.PCMU).astype("<i2").tobytes())
        self._sip_port = _free_pair()
        while (control_port := free_port()) == self._sip_port + 1:
            pass
        self._control_port = control_port
        rtp_port = free_port() & ~1
        text = CONFIG.read_text()
        for name, value in {
            "SIP_PORT": self._sip_port,
            "RTP_PORT": rtp_port,
            "LAST_RTP_PORT": rtp_port + 20,
            "SOURCE": directory / "source.wav",
            "HEARD": directory / "heard.wav",
            "MODULES": _modules(),
            "CONTROL_PORT": self._control_port,
        }.items():
            text = text.replace(f"@{name}@", str(value))
        (directory / "config").write_text(text)
        (directory / "accounts").write_text(f"<sip:agent@{LOOPBACK}>;regint=0;audio_codecs=PCMU{encryption}\n")
        (directory / "contacts").write_text("")
        self._directory = directory
        self._log = directory / "baresip.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Telephone:
        program = shutil.which("baresip")
        assert program, "baresip is missing: run .ci/install-peers, or install the package baresip-core"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", program, "-f", str(self._directory), "-s"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_for("baresip is ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)

    def dial(self, recorder: RunningRecorder) -> str:
        """Call the recorder and return the Call-ID once the call stands."""
        self._command("dial", f"sip:srs@{LOOPBACK}:{recorder.sip_port}")
        self._wait_for("Call established")
        found = re.search(r"^Call-ID: (\S+)", self.log(), re.MULTILINE)
        assert found, self.log()
        return found[1]

    def hang_up(self) -> None:
        """End the call."""
        self._command("hangup", "")
        self._wait_for("\nBYE ")

    def log(self) -> str:
        """Return its words and the trace of all SIP messages, with the line ends of this system."""
        return self._log.read_text(errors="replace").replace("\r\n", "\n") if self._log.exists() else ""

    def answered_port(self) -> int:
        """Return the media port in the recorder's answer to its INVITE."""
        found = re.search(
            r"^SIP/2\.0 200 OK\n(?:[^\n]+\n)*\n(?:[a-z]=[^\n]*\n)*?m=audio (\d+) ", self.log(), re.MULTILINE
        )
        assert found, self.log()
        return int(found[1])

    def offers_received(self) -> list[int]:
        """Return the media port of each re-INVITE that it got, in order; one that was repeated is there again."""
        pattern = rf"-> {LOOPBACK}:{self._sip_port}\nINVITE (?:[^\n]+\n)*\n(?:[a-z]=[^\n]*\n)*?m=audio (\d+) "
        return [int(port) for port in re.findall(pattern, self.log())]

    def protocols_received(self) -> list[str]:
        """Return the transport protocol of each audio m-line that it got, in order."""
        return re.findall(
            rf"-> {LOOPBACK}:{self._sip_port}\n(?:[^\n]+\n)*\n(?:[a-z]=[^\n]*\n)*?m=audio \d+ (\S+)", self.log()
        )

    def answers_to(self, method: str) -> list[str]:
        """Return the start lines of what it answered to requests of this method."""
        pattern = rf"UDP {LOOPBACK}:{self._sip_port} -> [^\n]+\n(SIP/2\.0 [^\n]+)\n(?:[^\n]+\n)*?CSeq: \d+ {method}\n"
        return re.findall(pattern, self.log())

    def _command(self, command: str, parameters: str) -> None:
        text = json.dumps({"command": command, "params": parameters}).encode()
        with socket.create_connection((LOOPBACK, self._control_port), timeout=60) as control:
            control.sendall(b"%d:%s," % (len(text), text))
            answer = b""
            while b'"response":true' not in answer:
                received = control.recv(4096)
                assert received, f"baresip closed its control connection: {answer!r}"
                answer += received

    def _wait_for(self, text: str) -> None:
        eventually(
            lambda: text in self.log(), limit_s=90, what=f"{text!r} said by baresip", detail=lambda: self.log()[-4000:]
        )


def _free_pair() -> int:
    """Return a free port with a free one above it: baresip takes that for TLS."""
    for _ in range(50):
        port = free_port()
        with socket.socket() as above:
            try:
                above.bind((LOOPBACK, port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no two ports in a row are free")


def _modules() -> Path:
    for directory in (Path("/usr/lib/baresip/modules"), Path("/usr/local/lib/baresip/modules")):
        if directory.is_dir():
            return directory
    raise AssertionError("the modules of baresip are missing: run .ci/install-peers")


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    """A recorder of its own: draining a writer would move the calls of the other interop tests as well."""
    running = RunningRecorder(tmp_path_factory.mktemp("baresip") / "state")
    with running:
        yield running
        assert running.stop() == 0, running.log_tail()
    running.assert_no_traceback()


def talk(seconds: float) -> None:
    """Let the telephone play its file at its own pace; what is recorded decides, not this wait."""
    time.sleep(seconds)


def logged(recorder: RunningRecorder, event: str, call_id: str) -> str | None:
    """Return the line that the recorder logged about a call."""
    return next((line for line in recorder.log().splitlines() if f"] {event} " in line and call_id in line), None)


def writer_of(recorder: RunningRecorder, event: str, call_id: str) -> str:
    """Wait for a line about a call and return the writer that it names."""
    line = eventually(lambda: logged(recorder, event, call_id), limit_s=90, what=event, detail=recorder.log_tail)
    found = re.search(r" writer=(\S+)", line)
    assert found, line
    return found[1]


def recorded(recorder: RunningRecorder, call_id: str, telephone: Telephone, directory: Path) -> tuple[Any, Heard]:
    """Wait for the recording and hold it against the part of the file that can have been played."""
    entry = recorder.finished(call_id)
    wav = read_g711(recorder.export(entry["id"], directory / "exported.wav"))
    played = wav.channels.shape[1] // FRAME_OCTETS
    # The end of the last frame that was played can be missing where the call ended within it.
    return entry, hear(wav.channels[0], telephone.frames[: played - 1], silence=SILENCE[MU_LAW])


def test_a_call_of_a_telephone_is_recorded(recorder: RunningRecorder, tmp_path: Path) -> None:
    """E16: an ordinary call whose SDP has a label; neither SIPREC nor MSR, recorded under its Call-ID."""
    with Telephone(tmp_path / "telephone", seed=1) as telephone:
        call_id = telephone.dial(recorder)
        talk(TALK_S)
        telephone.hang_up()
        entry, heard = recorded(recorder, call_id, telephone, tmp_path)
    assert (entry["door"], entry["state"], entry["gaps"]) == ("sip", "complete", [])
    assert heard.missing == []
    assert heard.present.size >= MUCH


def test_rtp_follows_our_reinvite_to_another_writer_without_loss(recorder: RunningRecorder, tmp_path: Path) -> None:
    """E1, O6: the new port receives before the offer leaves, so that the move costs nothing."""
    with Telephone(tmp_path / "telephone", seed=2) as telephone:
        call_id = telephone.dial(recorder)
        before = writer_of(recorder, "recording", call_id)
        talk(TALK_S)
        drained = recorder.invoke("writers", "drain", before)
        try:
            assert drained.exit_code == 0, drained.stdout
            after = writer_of(recorder, "media moved", call_id)
            talk(TALK_S)
            telephone.hang_up()
        finally:
            recorder.invoke("writers", "undrain", before)
        entry, heard = recorded(recorder, call_id, telephone, tmp_path)
    assert after != before
    (offer,) = set(telephone.offers_received())
    assert offer != telephone.answered_port(), "the re-INVITE offers the port that is in use"
    assert set(telephone.answers_to("INVITE")) == {"SIP/2.0 200 OK"}
    assert entry["state"] == "complete"
    assert sum(gap["duration_s"] for gap in entry["gaps"]) <= ALLOWED_LOSS_S
    assert len(heard.missing) * FRAME_S <= ALLOWED_LOSS_S, heard.missing
    assert heard.present.size >= 2 * MUCH
    assert "media do not follow" not in recorder.log()


def test_s26_r13_srtp_of_a_telephone_is_recorded_and_follows_our_reinvite(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """baresip brings an SRTP of its own (libre), without libsrtp; each offer and answer of it brings a new key."""
    with Telephone(tmp_path / "telephone", seed=3, encryption=";mediaenc=srtp-mand") as telephone:
        call_id = telephone.dial(recorder)
        before = writer_of(recorder, "recording", call_id)
        talk(TALK_S)
        drained = recorder.invoke("writers", "drain", before)
        try:
            assert drained.exit_code == 0, drained.stdout
            after = writer_of(recorder, "media moved", call_id)
            talk(TALK_S)
            telephone.hang_up()
        finally:
            recorder.invoke("writers", "undrain", before)
        entry, heard = recorded(recorder, call_id, telephone, tmp_path)
    assert after != before
    assert set(telephone.protocols_received()) == {"RTP/SAVP"}
    assert entry["state"] == "complete"
    assert sum(gap["duration_s"] for gap in entry["gaps"]) <= ALLOWED_LOSS_S, entry["gaps"]
    assert len(heard.missing) * FRAME_S <= ALLOWED_LOSS_S, heard.missing
    assert heard.present.size >= 2 * MUCH
