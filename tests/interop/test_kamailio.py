"""Kamailio as Resource Manager in front of two recorders: probing, affinity, failover, Record-Route (issue of interop).

One recorder is reached by UDP and the other by TCP, each on an address of its own, as on two hosts. Judged by both
catalogs, by the audio, and by what Kamailio logs.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.kit.call import Call
from tests.kit.running import START_LIMIT_S, RunningRecorder, eventually, free_port
from tests.kit.sip_client import LOOPBACK, Dialog, Message, SipClient, compose, msr_uri, new_identifier

pytestmark = pytest.mark.interop

CONFIG: Final = Path(__file__).parent / "kamailio" / "resource-manager.cfg"
TALK_S: Final = 0.5
PROBE_LIMIT_S: Final = 60.0
"""Kamailio asks every second, waits two for the answer, and believes the second failure."""
INACTIVE_UNTIL_PROBED: Final = 1 | 8


class ResourceManager:
    """A Kamailio with two recorders behind it."""

    def __init__(self, directory: Path, recorders: list[RunningRecorder], uris: list[str]) -> None:
        self.recorders = dict(zip(uris, recorders, strict=True))
        self.probed_port, self.unprobed_port = free_port(), free_port()
        self._directory = directory
        self._log = directory / "kamailio.log"
        listed = [f"1 {uri} {INACTIVE_UNTIL_PROBED}" for uri in uris] + [f"2 {uri} 0" for uri in uris]
        (directory / "dispatcher.list").write_text("\n".join(listed) + "\n")
        text = CONFIG.read_text()
        for name, value in {
            "PROBED_PORT": self.probed_port,
            "UNPROBED_PORT": self.unprobed_port,
            "LIST": directory / "dispatcher.list",
        }.items():
            text = text.replace(f"@{name}@", str(value))
        (directory / "kamailio.cfg").write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it has heard from both recorders."""
        kamailio = shutil.which("kamailio", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        assert kamailio, "kamailio is missing: run .ci/install-peers, or install the package kamailio"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", kamailio, "-f", str(self._directory / "kamailio.cfg"),
                 "-DD", "-E", "-m", "64", "-M", "8", "-w", str(self._directory), "-Y", str(self._directory),
                 "-P", str(self._directory / "pid")],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        for uri in self.recorders:
            self.wait_for(f"UP {uri}")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)

    def log(self) -> str:
        """Return everything it logged."""
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str, *, since: int = 0) -> None:
        """Wait until it has logged this after so many characters."""
        assert self._process is not None
        assert self._process.poll() is None, f"Kamailio has ended:\n{self.log()[-3000:]}"
        eventually(
            lambda: text in self.log()[since:], limit_s=PROBE_LIMIT_S, what=f"{text!r} logged by Kamailio",
            detail=lambda: self.log()[-3000:],
        )  # fmt: skip

    def destination(self, identifier: str, *, probed: bool) -> RunningRecorder:
        """Ask which recorder a call with this record identifier would go to first."""
        port = self.probed_port if probed else self.unprobed_port
        with SipClient(port) as client:
            client.send(
                compose(f"""
                    OPTIONS {msr_uri(identifier, port)} SIP/2.0
                    Via: {client.via()}
                    Max-Forwards: 70
                    From: <sip:test@{LOOPBACK}>;tag=1
                    To: <sip:test@{LOOPBACK}>
                    Call-ID: {identifier}
                    CSeq: 1 OPTIONS
                """)
            )
            return self.recorders[client.final("OPTIONS").one("X-Destination")]

    def identifier_for(self, recorder: RunningRecorder, *, probed: bool) -> str:
        """Return a new record identifier whose calls go to this recorder first."""
        candidates = (new_identifier() for _ in range(64))
        return next(one for one in candidates if self.destination(one, probed=probed) is recorder)

    def other(self, recorder: RunningRecorder) -> RunningRecorder:
        """Return the recorder that is not this one."""
        return next(one for one in self.recorders.values() if one is not recorder)


@dataclass(slots=True, kw_only=True)
class RoutedDialog(Dialog):
    """A dialog whose requests carry the route set that its 2xx gave (RFC 3261 section 12.1.2)."""

    routes: list[str] = field(default_factory=list)

    def request(
        self,
        method: str,
        body: str | bytes = b"",
        *,
        content_type: str = "application/sdp",
        headers: str = "",
        cseq: int | None = None,
        branch: str | None = None,
    ) -> bytes:
        lines = [*(f"Route: {route}" for route in self.routes), *headers.strip().splitlines()]
        return Dialog.request(
            self, method, body, content_type=content_type, headers="\n".join(lines), cseq=cseq, branch=branch
        )

    def learn(self, answer: Message) -> None:
        Dialog.learn(self, answer)
        if answer.status < 300 and not self.routes:
            listed = ",".join(answer.all("Record-Route"))
            self.routes = [route.strip() for route in listed.split(",") if route][::-1]


class ManagedCall(Call):
    """A call that a Media Server places through the Resource Manager."""

    dialog: RoutedDialog

    def __init__(
        self,
        manager: ResourceManager,
        expected: RunningRecorder,
        identifier: str,
        *,
        probed: bool = True,
        seed: str = "",
    ) -> None:
        super().__init__(expected, identifier=identifier, seed=seed)
        self.client.close()
        port = manager.probed_port if probed else manager.unprobed_port
        self.client = SipClient(port)
        self.dialog = RoutedDialog(client=self.client, uri=msr_uri(identifier, port))


@dataclass(frozen=True)
class Pool:
    """What the tests share."""

    manager: ResourceManager
    first: RunningRecorder
    second: RunningRecorder

    def complete(self) -> None:
        """Start what an earlier test has stopped, and wait until the Resource Manager has noticed."""
        for uri, recorder in self.manager.recorders.items():
            if recorder.process is not None and recorder.process.poll() is not None:
                mark = len(self.manager.log())
                recorder.start()
                self.manager.wait_for(f"UP {uri}", since=mark)


@pytest.fixture
def pool(shared_pool: Pool) -> Pool:
    """Both recorders, running."""
    shared_pool.complete()
    return shared_pool


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    directory = tmp_path_factory.mktemp("kamailio")
    first, second = (
        RunningRecorder(
            directory / name,
            environment={
                "RECORDER_SIP_HOST": host,
                "RECORDER_MEDIA_HOST": host,
                "RECORDER_SHUTDOWN_DRAIN_LIMIT_S": "60",
            },
        )
        for name, host in (("first", LOOPBACK), ("second", "127.0.0.2"))
    )
    uris = [f"sip:{LOOPBACK}:{first.sip_port}", f"sip:127.0.0.2:{second.sip_port};transport=tcp"]
    manager = ResourceManager(directory, [first, second], uris)
    with first.stopped_at_exit(), second.stopped_at_exit():
        first.launch()
        second.start()
        eventually(
            lambda: first.admin("status", check=False).get("state") == "running",
            limit_s=START_LIMIT_S,
            what="the first recorder ready",
            detail=first.log_tail,
        )
        try:
            manager.start()
            yield Pool(manager, first, second)
        finally:
            manager.stop()
        for recorder in (first, second):
            assert recorder.stop() in {0, None}, recorder.log_tail()
            recorder.assert_no_traceback()


def record(call: ManagedCall, directory: Path) -> Message:
    """Place a short call and hold what was recorded against what was sent; returns the answer to the INVITE."""
    with call:
        answer = call.place()
        call.media.start()
        call.media.talk(TALK_S)
        call.hang_up()
        call.assert_recorded(directory)
    return answer


def test_every_session_of_a_record_identifier_goes_to_one_recorder_and_both_are_used(
    pool: Pool, tmp_path: Path
) -> None:
    """Affinity: the second session of an identifier, another dialog, continues the recording of the first."""
    for recorder in (pool.first, pool.second):
        identifier = pool.manager.identifier_for(recorder, probed=True)
        for ordinal in (1, 2):
            with ManagedCall(pool.manager, recorder, identifier, seed=str(ordinal)) as call:
                call.start()
                call.media.talk(TALK_S)
                call.hang_up()
        entry = recorder.finished(identifier)
        assert entry["state"] == "complete"
        assert len(entry["sip_call_ids"]) == 2
        assert pool.manager.other(recorder).recordings("--record-identifier", identifier) == []


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_call_through_the_resource_manager_is_recorded_and_its_route_comes_back_whole(
    pool: Pool, tmp_path: Path, which: str
) -> None:
    """C9, E13: by UDP to the first, by TCP to the second; the confinstid is in the answer, Kamailio itself checks it
    in every later request."""
    recorder = pool.first if which == "first" else pool.second
    identifier = pool.manager.identifier_for(recorder, probed=True)
    call = ManagedCall(pool.manager, recorder, identifier)
    with call:
        answer = call.place()
        routes = answer.all("Record-Route")
        assert routes
        assert all(";lr" in route and f"confinstid={identifier};idtag=0000000C" in route for route in routes)
        call.media.start()
        call.media.talk(TALK_S)
        assert call.reinvite().status == 200
        assert call.dialog.send("OPTIONS").status == 200
        call.hang_up()
        call.assert_recorded(tmp_path)
    log = pool.manager.log()
    for method in ("ACK", "INVITE", "OPTIONS", "BYE"):
        assert f"WITHIN {method} from {LOOPBACK} to " in log
    assert "NOT ROUTED" not in log
    assert "WITHOUT CONFINSTID" not in log


def test_a_recorder_that_drains_says_503_and_the_call_goes_to_the_other_one(pool: Pool, tmp_path: Path) -> None:
    """A call in progress ends well; OPTIONS and INVITE say the same; new calls are recorded by the other recorder."""
    drained, other = pool.first, pool.second
    by_invite = pool.manager.identifier_for(drained, probed=False)
    in_progress = ManagedCall(pool.manager, drained, pool.manager.identifier_for(drained, probed=True))
    assert drained.process is not None
    with in_progress as call:
        call.start()
        call.media.talk(TALK_S)
        mark = len(pool.manager.log())
        drained.process.send_signal(signal.SIGTERM)
        pool.manager.wait_for(f"DOWN sip:{LOOPBACK}:{drained.sip_port}", since=mark)
        record(ManagedCall(pool.manager, other, by_invite, probed=False), tmp_path)
        assert "NEXT after 503" in pool.manager.log()[mark:]
        by_options = new_identifier()
        assert pool.manager.destination(by_options, probed=True) is other
        record(ManagedCall(pool.manager, other, by_options), tmp_path)
        call.hang_up()
    assert drained.process.wait(120) == 0
    pool.complete()
    call.assert_recorded(tmp_path)


def test_a_recorder_that_is_gone_is_passed_over_after_two_seconds_of_silence(pool: Pool, tmp_path: Path) -> None:
    """Power cut: nothing answers any more, neither INVITE nor OPTIONS."""
    gone, other = pool.first, pool.second
    identifier = pool.manager.identifier_for(gone, probed=False)
    mark = len(pool.manager.log())
    gone.kill_everything()
    record(ManagedCall(pool.manager, other, identifier, probed=False), tmp_path)
    assert "NEXT after 408" in pool.manager.log()[mark:]
    pool.manager.wait_for(f"DOWN sip:{LOOPBACK}:{gone.sip_port}", since=mark)
    assert pool.manager.destination(identifier, probed=True) is other
