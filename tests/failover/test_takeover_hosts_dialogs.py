"""Two hosts as network namespaces: what becomes of dialogs and pauses whose host is cut off or frozen."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import ExitStack

import pytest

from recorder.control import ask
from recorder.lab.cluster import CLIENT_ADDRESS, FLOATING, SIP_PORT, Cluster
from tests.failover.chaos.faults import set_read_only
from tests.failover.chaos.literal import acknowledged, number_of, offered, reply
from tests.kit.call import Call
from tests.kit.hosts import MENDED_S, whole
from tests.kit.running import RunningRecorder

pytestmark = [
    pytest.mark.failover,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

PATIENCE_S = 60.0


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
