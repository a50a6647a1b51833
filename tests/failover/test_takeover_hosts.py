"""Two hosts as network namespaces: one is lost, cut off, or frozen, and the other goes on with its calls."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from recorder.admin.app import app
from recorder.control import ask
from recorder.lab.cluster import DATABASE, FLOATING, SIP_PORT, Cluster
from recorder.simulator.scenario import ScenarioOptions, plan_calls
from recorder.simulator.simulation import Moment, RunOptions, RunOutcome, Target, run_calls
from recorder.state_dir import StateDir
from tests.failover.chaos import oracle
from tests.failover.chaos.faults import send
from tests.failover.chaos.rounds import plan_round, run_round
from tests.failover.chaos.site import SITE_FAULTS, Site
from tests.kit.running import eventually

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
SERVED_S = 15.0
"""For a machine that is busy with other tests; what a quiet one takes is measured by benchmarks.takeover."""


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


def test_a_frontend_that_dies_while_postgresql_is_away_is_followed_with_the_promise_of_the_other_host(
    ready: Cluster,
) -> None:
    active = ready.active()

    async def act() -> None:
        ready.network.cut(DATABASE)
        try:
            send(await Site(ready).pids(active, "frontend", "active"), signal.SIGKILL)
            await served()
            # It reports a moment later than it answers.
            assert await Site(ready).active() == active
        finally:
            ready.network.mend(DATABASE)

    asyncio.run(act())


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
