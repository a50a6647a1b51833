"""Two hosts as network namespaces: one is lost, cut off, or frozen, and the other goes on with its calls."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from recorder.admin.app import app
from recorder.control import ask
from recorder.errors import NotRunningError, SetupError
from recorder.lab.cluster import CLIENT, CLIENT_ADDRESS, FLOATING, SIP_PORT, Cluster
from recorder.simulator.scenario import ScenarioOptions, plan_calls
from recorder.simulator.simulation import Moment, RunOptions, RunOutcome, Target, run_calls
from recorder.state_dir import StateDir
from tests.failover.chaos import oracle
from tests.failover.chaos.faults import set_read_only
from tests.failover.chaos.literal import acknowledged, number_of, offered, reply
from tests.failover.chaos.rounds import plan_round, run_round
from tests.failover.chaos.site import SITE_FAULTS, Site
from tests.kit.call import Call
from tests.kit.namespaces import inside
from tests.kit.running import RunningRecorder, eventually

pytestmark = [
    pytest.mark.failover,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

CALLS = 4
SECONDS = 12.0
AT_S = 4.0
"""When the fault strikes: all calls talk."""
PACKETS_PER_S = 50
PATIENCE_S = 60.0
SERVED_S = 15.0
"""For a machine that is busy with other tests; what a quiet one takes is measured by benchmarks.takeover."""
MENDED_S = 120.0
"""For hosts to be whole again after a test, whatever it left them in."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with (
        Cluster(directory, settings={"ha": {"lost_after_ms": 800.0}}) as running,
        inside(running.network.namespace(CLIENT)),
    ):
        yield running
    for host in running.hosts.values():
        text = host.log.read_text()
        assert "Traceback" not in text, text[text.index("Traceback") - 500 :][:4000]


@dataclass
class Wreck:
    """What a test left that nothing mends: why those after it need not wait for it again."""

    reason: str = ""


@pytest.fixture(scope="module")
def wreck() -> Wreck:
    return Wreck()


@pytest.fixture
def ready(cluster: Cluster, wreck: Wreck) -> Cluster:
    """The cluster, whole: what a test that failed left cut, frozen, dead or drained is mended first."""
    assert not wreck.reason, f"the hosts have not been whole since an earlier test: {wreck.reason}"
    try:
        mend(cluster)
        cluster.wait(lambda: whole(cluster), "one active host, one that stands by, and all processes", limit_s=MENDED_S)
    except SetupError as error:
        wreck.reason = str(error).partition("\n")[0]
        raise
    return cluster


def mend(cluster: Cluster) -> None:
    """Undo what a test can have done to the hosts; does nothing to those that are whole."""
    for name, host in cluster.hosts.items():
        cluster.network.mend(name)
        cluster.signal(name, signal.SIGCONT)
        if host.process is None or host.process.poll() is not None:
            cluster.launch(name)
    for of, other in cluster.hosts.items():
        for one in other.status().get("processes", []):
            if one["role"] != "writer":
                continue
            for host in cluster.hosts.values():
                with suppress(NotRunningError):
                    ask(host.state_dir, "drain-writer", writer=f"{of}/{one['name']}", draining=False)


def whole(cluster: Cluster) -> bool:
    working = {"running", "active", "standby", "candidate"}
    status = [host.status() for host in cluster.hosts.values()]
    return bool(cluster.active() and cluster.standby()) and all(
        one["pid"] and one["state"] in working for answer in status for one in answer["processes"]
    )


def under_calls(act: Callable[[], Awaitable[None]]) -> RunOutcome:
    options = ScenarioOptions(calls=CALLS, seconds=SECONDS, rate=4.0, seed=secrets.randbelow(1 << 31))
    return asyncio.run(
        run_calls(
            plan_calls(options, started_at=datetime.now(UTC), run=secrets.token_hex(8)),
            Target("udp", FLOATING, SIP_PORT),
            options=RunOptions(),
            moments=[Moment(AT_S, act)],
        )
    )


def assert_declared(outcome: RunOutcome, state_dir: StateDir) -> float:
    """Fail unless every call was completed and all that is missing is declared; returns the longest loss in seconds."""
    broken = [f"call {one.call}: {one.status} {one.detail}" for one in outcome.calls if not one.completed]
    assert not broken
    judgement = asyncio.run(oracle.judge(outcome.journal, state_dir, cost=round(SERVED_S * PACKETS_PER_S)))
    assert judgement.faults == ()
    return max(verdict.sent - verdict.recorded for verdict in judgement.verdicts) / 2 / PACKETS_PER_S


def ping() -> bool:
    """Whether OPTIONS at the floating address is answered 200."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        sock.connect((FLOATING, SIP_PORT))
        host, port = sock.getsockname()
        sock.send(
            (
                f"OPTIONS sip:probe@{FLOATING} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{secrets.token_hex(6)}\r\n"
                f"From: <sip:probe@{host}>;tag=1\r\nTo: <sip:probe@{FLOATING}>\r\nCall-ID: {secrets.token_hex(6)}\r\n"
                "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            ).encode()
        )
        try:
            return sock.recv(4096).startswith(b"SIP/2.0 200 ")
        except OSError:
            return False


async def served() -> float:
    """Return the seconds until the floating address answers."""
    began = time.monotonic()
    while not await asyncio.to_thread(ping):
        assert time.monotonic() - began < SERVED_S, "the floating address does not answer"
    return time.monotonic() - began


async def address_gone(cluster: Cluster, lost: str) -> None:
    """Await that a lost host has dropped the floating address.

    Where the host could not, its kernel does: by a timer that may be a quarter of a second late.
    """
    await asyncio.to_thread(
        eventually, lambda: FLOATING not in cluster.network.addresses(lost), limit_s=10, what="the address to be gone"
    )


def keep_sending(connection: socket.socket) -> None:
    deadline = time.monotonic() + SERVED_S
    while time.monotonic() < deadline:
        connection.send(b"\r\n\r\n")
        time.sleep(0.1)


def test_the_host_of_the_active_frontend_is_killed(ready: Cluster) -> None:
    """Everything of a host at once: signalling, writers, supervisor. Its media go to the other by re-INVITE."""
    lost, other = ready.active(), ready.standby()

    async def act() -> None:
        await asyncio.to_thread(ready.kill, lost)
        await served()

    try:
        outcome = under_calls(act)
        assert ready.active() == other
    finally:
        ready.launch(lost)
    # What was captured there comes from there: no host sees the disk of another.
    assert_declared(outcome, ready.hosts[other].state_dir)


def test_a_host_that_is_cut_off_stops_before_the_other_one_starts(ready: Cluster) -> None:
    lost, other = ready.active(), ready.standby()

    async def act() -> None:
        ready.network.cut(lost)
        await served()
        await address_gone(ready, lost)

    try:
        outcome = under_calls(act)
        assert ready.active() == other
    finally:
        ready.network.mend(lost)
    ready.wait(lambda: ready.hosts[lost].frontend == "candidate", "the host that was cut off to stand by")
    assert ready.active() == other
    assert_declared(outcome, ready.hosts[other].state_dir)


def test_a_frozen_host_can_do_nothing_when_it_thaws(ready: Cluster) -> None:
    lost, other = ready.active(), ready.standby()

    async def act() -> None:
        ready.signal(lost, signal.SIGSTOP)
        try:
            await served()
            # Its kernel lives: the address goes by itself, because nobody renews it.
            await address_gone(ready, lost)
        finally:
            ready.signal(lost, signal.SIGCONT)
        await served()
        assert FLOATING not in ready.network.addresses(lost)

    outcome = under_calls(act)
    assert ready.active() == other
    assert_declared(outcome, ready.hosts[other].state_dir)


def test_a_tcp_connection_to_the_lost_host_is_reset_by_the_other(ready: Cluster) -> None:
    lost = ready.active()
    with socket.create_connection((FLOATING, SIP_PORT), timeout=5) as connection:
        ready.network.cut(lost)
        try:
            asyncio.run(served())
            with pytest.raises(ConnectionResetError):
                keep_sending(connection)
        finally:
            ready.network.mend(lost)


def test_the_lease_is_handed_over_and_media_stay_where_they_are(ready: Cluster) -> None:
    before, after = ready.active(), ready.standby()

    async def act() -> None:
        answer = await asyncio.to_thread(ask, ready.hosts[before].state_dir, "switchover", away=True)
        assert answer.get("to") == "another host", answer
        await served()

    outcome = under_calls(act)
    assert ready.active() == after
    broken = [f"call {one.call}: {one.status} {one.detail}" for one in outcome.calls if not one.completed]
    judgement = asyncio.run(oracle.judge(outcome.journal, ready.hosts[after].state_dir))
    assert (broken, judgement.faults, judgement.lost) == ([], (), 0)


def test_the_calls_of_a_host_that_is_stopped_go_on_at_the_other(ready: Cluster) -> None:
    stopped, other = ready.active(), ready.standby()

    async def act() -> None:
        process = ready.hosts[stopped].process
        assert process
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 60)
        await served()

    try:
        outcome = under_calls(act)
    finally:
        ready.launch(stopped)
    assert_declared(outcome, ready.hosts[other].state_dir)


def names_of_writers(cluster: Cluster, of: str) -> list[str]:
    names = [one["name"] for one in cluster.hosts[of].status()["processes"] if one["role"] == "writer"]
    assert names
    return names


def writers(cluster: Cluster, command: str, of: str) -> None:
    """Have `recorder-admin writers` of the active host drain or undrain all writers of a host."""
    for name in names_of_writers(cluster, of):
        config = str(cluster.hosts[cluster.active()].config)
        done = CliRunner().invoke(app, ["--config", config, "writers", command, f"{of}/{name}"])
        assert done.exit_code == 0, done.output


def test_writers_of_another_host_are_drained_without_loss(ready: Cluster) -> None:
    here, there = ready.active(), ready.standby()
    log = ready.hosts[here].log

    def moved() -> int:
        return sum("media moved" in line and f" before={there}/" in line for line in log.read_text().splitlines())

    before = moved()

    def at_once(of: str, *, draining: bool) -> None:
        # As the command does, without its start: the calls do not last for ever.
        for name in names_of_writers(ready, of):
            answer = ask(ready.hosts[here].state_dir, "drain-writer", writer=f"{of}/{name}", draining=draining)
            assert "error" not in answer, answer

    async def act() -> None:
        await asyncio.to_thread(at_once, here, draining=False)
        await asyncio.to_thread(at_once, there, draining=True)

    try:
        writers(ready, "drain", here)
        outcome = under_calls(act)
        assert moved() - before == CALLS
    finally:
        for host in (here, there):
            writers(ready, "undrain", host)
    assert ready.active() == here
    broken = [f"call {one.call}: {one.status} {one.detail}" for one in outcome.calls if not one.completed]
    judgement = asyncio.run(oracle.judge(outcome.journal, ready.hosts[here].state_dir))
    assert (broken, judgement.faults, judgement.lost) == ([], (), 0)


def moved_by(call: Call, *, direction: str = "recvonly") -> None:
    """Take the re-INVITE by which the other host fetches our media, and send there from now on."""
    again = offered(call, limit_s=PATIENCE_S)
    assert again.sdp.count(f"a={direction}") == len(call.media.streams), again.text
    reply(call, again, 200)
    assert acknowledged(call, again, limit_s=PATIENCE_S)


def test_the_active_host_is_cut_off_at_each_phase_of_a_dialog(ready: Cluster) -> None:
    """Before the 2xx, before the ACK, during a re-INVITE of either side, at BYE, while paused: all at once."""
    lost, other = ready.active(), ready.standby()
    recorder = RunningRecorder(ready.hosts[other].state_dir.root)
    recorder.sip_port = SIP_PORT
    with ExitStack() as stack:
        early, unacknowledged, changing, moving, ending, paused = calls = [
            stack.enter_context(Call(recorder, host=CLIENT_ADDRESS, server=FLOATING)) for _ in range(6)
        ]
        for call in (changing, moving, ending, paused):
            call.start()
            call.media.talk(0.3)
        assert paused.reinvite(direction="inactive").status == 200
        leaving = writer_of(ready, lost, moving)
        answer = ask(ready.hosts[lost].state_dir, "drain-writer", writer=leaving, draining=True)
        assert "error" not in answer, answer
        stack.callback(ask, ready.hosts[lost].state_dir, "drain-writer", writer=leaving, draining=False)
        half_moved = offered(moving, limit_s=PATIENCE_S)
        for call in (changing, ending, paused):
            if writer_of(ready, lost, call) == leaving:
                moved_by(call, direction="inactive" if call is paused else "recvonly")
        unacknowledged.client.send(invite := unacknowledged.dialog.request("INVITE", unacknowledged.offer()))
        promised = unacknowledged.client.final("INVITE", limit_s=PATIENCE_S)
        unacknowledged.dialog.learn(promised)
        unacknowledged.aim(promised)
        unacknowledged.media.start()
        since = paused.media.count + 1
        ready.network.cut(lost)
        try:
            ending.media.stop()
            goodbye = ending.dialog.request("BYE")
            change = changing.dialog.request("INVITE", changing.offer())
            beginning = early.dialog.request("INVITE", early.offer())
            for call, request in ((ending, goodbye), (changing, change), (early, beginning)):
                call.client.send(request)
            moved_by(paused, direction="inactive")
            # Until then the first one is repeated: some of it waits in our socket.
            while number_of(again := offered(moving, limit_s=PATIENCE_S)) == number_of(half_moved):
                pass
            assert number_of(again) > number_of(half_moved)
            reply(moving, again, 200)
            assert acknowledged(moving, again, limit_s=PATIENCE_S)
            answer_to_change = changing.dialog.insist(change, "INVITE", limit_s=PATIENCE_S)
            changing.client.send(changing.dialog.request("ACK"))
            if answer_to_change.status == 491:
                # Both had asked at once: ours first, then the client's again.
                moved_by(changing)
                assert changing.reinvite().status == 200
            else:
                assert answer_to_change.status == 200
            assert ending.dialog.insist(goodbye, "BYE", limit_s=PATIENCE_S).status == 200
            first = early.dialog.insist(beginning, "INVITE", limit_s=PATIENCE_S)
            early.dialog.learn(first)
            early.aim(first)
            early.client.send(early.dialog.request("ACK"))
            early.media.start()
            repeated = unacknowledged.dialog.insist(invite, "INVITE", limit_s=PATIENCE_S)
            assert repeated.raw == promised.raw
            unacknowledged.client.send(unacknowledged.dialog.request("ACK"))
            moved_by(unacknowledged)
            for call in (early, unacknowledged, changing, moving):
                call.media.talk(0.5)
            until = paused.media.count - 1
            for call in (early, unacknowledged, changing, moving, paused):
                call.hang_up()
        finally:
            ready.network.mend(lost)
        for call in calls:
            entry = call.recorder.finished(call.identifier, limit_s=PATIENCE_S)
            assert entry["state"] == "complete", entry
            assert {gap["cause"] for gap in entry["gaps"]} <= {"writer-failover", "paused", "silence"}, entry["gaps"]
        secret = [frame for sent in paused.sent for frame in sent[since:until] if frame]
        assert secret
        mine = captures_of(ready, paused)
        assert not [frame for frame in secret if any(frame in data for data in mine)]


@pytest.mark.parametrize("follows", [True, False], ids=["follows", "stays"])
def test_a_pause_while_the_host_of_the_media_is_frozen_is_kept_when_it_thaws(ready: Cluster, follows: bool) -> None:
    """The next host agrees to it. What the client sends all the same, even where it sent before, is in no file.

    It waits in the kernel of the frozen host, whose writers find it first when they thaw.
    """
    lost, other = ready.active(), ready.standby()
    recorder = RunningRecorder(ready.hosts[other].state_dir.root)
    recorder.sip_port = SIP_PORT
    with Call(recorder, host=CLIENT_ADDRESS, server=FLOATING) as call:
        call.start()
        call.media.talk(0.5)
        before = [stream.target for stream in call.media.streams]
        ready.signal(lost, signal.SIGSTOP)
        try:
            first = offered(call, limit_s=PATIENCE_S)
            reply(call, first, 491)
            answer = call.reinvite(direction="inactive")
            assert answer.status == 200
            assert f"c=IN IP4 {ready.hosts[other].address}\r\n" in answer.sdp, "not said where to send from now on"
            if not follows:
                for stream, target in zip(call.media.streams, before, strict=True):
                    stream.target = target
            since = call.media.count + 1
            call.media.talk(1.0)
        finally:
            ready.signal(lost, signal.SIGCONT)
        ready.wait(lambda: whole(ready), "the thawed host to stand by", limit_s=MENDED_S)
        call.media.talk(1.0)
        until = call.media.count - 1
        assert call.reinvite(direction="sendonly").status == 200
        call.media.talk(0.5)
        call.hang_up()
        entry = recorder.finished(call.identifier, limit_s=PATIENCE_S)
        assert entry["state"] == "complete", entry
    resumed = {frame for sent in call.sent for frame in sent[until + 5 : -1] if frame}
    assert resumed
    assert_in_no_file(ready, call, since, until)
    mine = captures_of(ready, call)
    assert all(any(frame in data for data in mine) for frame in resumed)


def test_what_only_standbys_know_of_a_dialog_goes_on_when_its_host_is_lost(ready: Cluster) -> None:
    """A pause while the catalog takes no write; the client sends all the same, and none of it is in any file."""
    lost, other = ready.active(), ready.standby()
    recorder = RunningRecorder(ready.hosts[other].state_dir.root)
    recorder.sip_port = SIP_PORT
    with Call(recorder, host=CLIENT_ADDRESS, server=FLOATING) as call:
        call.start()
        call.media.talk(0.5)
        try:
            asyncio.run(set_read_only(ready.dsn, on=True))
            assert call.reinvite(direction="inactive").status == 200
            since = call.media.count + 1
            ready.network.cut(lost)
            asyncio.run(set_read_only(ready.dsn, on=False))
            moved_by(call, direction="inactive")
            call.media.talk(0.5)
            until = call.media.count - 1
            assert call.reinvite(direction="sendonly").status == 200
            call.media.talk(0.5)
            call.hang_up()
        finally:
            asyncio.run(set_read_only(ready.dsn, on=False))
            ready.network.mend(lost)
        entry = recorder.finished(call.identifier, limit_s=PATIENCE_S)
        assert entry["state"] == "complete", entry
    assert_in_no_file(ready, call, since, until)


def assert_in_no_file(cluster: Cluster, call: Call, since: int, until: int) -> None:
    """Assert that no capture holds what a client sent in these packets."""
    # Whoever waits for long has sent a frame before, and may send it again.
    others = {frame for sent in call.sent for frame in (*sent[:since], *sent[until:]) if frame}
    secret = {frame for sent in call.sent for frame in sent[since:until] if frame} - others
    assert secret
    mine = captures_of(cluster, call)
    assert not [frame for frame in secret if any(frame in data for data in mine)]


def captures_of(cluster: Cluster, call: Call) -> list[bytes]:
    """Return what the capture files of a call hold, on every host."""
    files = [path for host in cluster.hosts.values() for path in host.state_dir.captures.rglob("*.tcap")]
    mine = [data for data in (path.read_bytes() for path in files) if call.dialog.call_id.encode() in data]
    assert mine
    return mine


def writer_of(cluster: Cluster, host: str, call: Call) -> str:
    """Return the writer that a call began with, as its host logged it."""
    lines = cluster.hosts[host].log.read_text().splitlines()
    opened = next(line for line in reversed(lines) if call.dialog.call_id in line and " recording " in line)
    return opened.partition(" writer=")[2].split()[0]


@pytest.mark.parametrize(
    ("seed", "names"),
    [
        (21, ["lease-handed-over", "other-host-cut"]),
        (22, ["clients-reordered", "postgresql-slow"]),
        (23, ["postgresql-read-only", "frontend-killed"]),
        (24, ["active-host-blinks", "clients-lossy"]),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else str(value),
)
def test_random_rounds_lose_nothing_but_in_declared_gaps(ready: Cluster, seed: int, names: list[str]) -> None:
    """Repeated by: make chaos ARGS="--hosts 2 --rounds 1 --seed N --calls 8 --fault ... --fault ..."."""
    round_ = plan_round(seed, names, among=SITE_FAULTS, calls=8, seconds=5.0)
    print(round_)
    result = asyncio.run(run_round(Site(ready), round_))
    assert result.faults == ()


def test_status_shows_the_hosts_and_who_has_the_lease(ready: Cluster) -> None:
    active = ready.active()
    host = ready.hosts[active]
    done = CliRunner().invoke(app, ["--config", str(host.config), "status", "--json"])
    site = json.loads(done.stdout)["site"]
    assert site["holder"].startswith(f"{active}/")
    assert site["epoch"] >= 1024
    assert {row["node"]: row["state"] for row in site["nodes"]} == dict.fromkeys(ready.hosts, "running")
