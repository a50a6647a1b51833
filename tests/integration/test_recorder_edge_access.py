"""Access control against a recorder as a user runs it: networks, rates, limits of sessions, floods."""

from __future__ import annotations

import secrets
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kit.call import Call
from tests.kit.running import RunningRecorder, eventually
from tests.kit.sip_client import LOOPBACK, Message, NoAnswerError, SipClient, compose, new_identifier

pytestmark = pytest.mark.integration

STRANGER = "127.0.0.2"
NEIGHBOUR = "127.0.0.3"
RATE, BURST = 20, 30


def request(client: SipClient, method: str, body: str = "") -> bytes:
    """A request outside of any dialog, as its own transaction."""
    host, port = client.socket.getsockname()
    return compose(
        f"""
        {method} sip:record={new_identifier()}@{LOOPBACK} SIP/2.0
        Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{secrets.token_hex(8)};rport
        Max-Forwards: 70
        From: <sip:x@{host}>;tag={secrets.token_hex(4)}
        To: <sip:srs@{LOOPBACK}>
        Call-ID: {secrets.token_hex(8)}@{host}
        CSeq: 1 {method}
        Contact: <sip:x@{host}:{port}>
        """,
        body,
    )


def everything(client: SipClient, *, quiet_s: float = 2.0) -> Iterator[Message]:
    """Every message that comes until nothing comes any more."""
    while True:
        try:
            yield client.receive(quiet_s)
        except NoAnswerError:
            return


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    """A recorder for two addresses, with limits that a test reaches."""
    running = RunningRecorder(
        tmp_path_factory.mktemp("access") / "state",
        environment={
            "RECORDER_ACCESS_ALLOW": f'["{LOOPBACK}", "{NEIGHBOUR}"]',
            "RECORDER_ACCESS_REQUESTS_PER_S": str(RATE),
            "RECORDER_ACCESS_BURST": str(BURST),
            "RECORDER_ACCESS_MAX_SESSIONS_PER_SOURCE": "2",
        },
    )
    with running:
        yield running
        assert running.stop() == 0, running.log_tail()
    running.assert_no_traceback()


def test_strangers_get_neither_an_answer_nor_a_connection(recorder: RunningRecorder) -> None:
    with SipClient(recorder.sip_port, host=STRANGER) as stranger:
        stranger.send(request(stranger, "OPTIONS"))
        assert stranger.quiet(0.5)
    with socket.socket() as caller:
        caller.bind((STRANGER, 0))
        caller.settimeout(0.5)
        with pytest.raises(TimeoutError):
            caller.connect((LOOPBACK, recorder.sip_port))
    with SipClient(recorder.sip_port, "tcp") as friend:
        assert friend.options().status == 200


def test_the_kernel_has_dropped_what_strangers_sent(recorder: RunningRecorder) -> None:
    processes = recorder.status()["processes"]
    active = next(one for one in processes if one["role"] == "frontend" and one["state"] == "active")
    assert active["refused_messages"] == 0


def test_a_client_at_its_limit_of_sessions_gets_503_and_others_do_not(recorder: RunningRecorder) -> None:
    with ExitStack() as stack:
        calls = [stack.enter_context(Call(recorder)) for _ in range(3)]
        for call in calls[:2]:
            call.place()
        refused = calls[2].dialog.send("INVITE", calls[2].offer())
        assert (refused.status, refused.one("Retry-After")) == (503, "10")
        assert calls[2].client.options().status == 503
        with SipClient(recorder.sip_port, host=NEIGHBOUR) as neighbour:
            assert neighbour.options().status == 200
        calls[0].hang_up()
        calls[2].place()
        for call in calls[1:]:
            call.hang_up()


def test_a_client_beyond_its_rate_gets_503_then_nothing_while_its_dialogs_are_answered(
    recorder: RunningRecorder,
) -> None:
    with Call(recorder) as call, SipClient(recorder.sip_port, host=LOOPBACK) as noisy:
        call.place()
        began = time.monotonic()
        for _ in range(12 * BURST):
            noisy.send(request(noisy, "OPTIONS"))
        statuses = [answer.status for answer in everything(noisy)]
        assert set(statuses) == {200, 503}
        # A burst of each, and what the rate gives meanwhile.
        assert len(statuses) < min(2 * (BURST + RATE * (time.monotonic() - began)) + BURST, 11 * BURST)
        began = time.monotonic()
        assert call.dialog.send("OPTIONS").status == 200
        assert call.dialog.send("UPDATE", call.offer()).status == 200
        assert call.hang_up().status == 200
        assert time.monotonic() - began < 10, "a dialog waits behind the requests of its client"
    eventually(
        lambda: "requests refused" in recorder.log() and "too many requests of this source" in recorder.log(),
        limit_s=30, what="the refusals in the log",
    )  # fmt: skip

    def served_again() -> bool:
        with SipClient(recorder.sip_port) as client:
            try:
                return client.options(limit_s=0.5).status == 200
            except NoAnswerError:
                return False

    eventually(served_again, limit_s=30, what="service after the burst is over")


# A flood


class Flood:
    """Strangers' INVITEs from an allowed address, at a bounded pace, until it is told to stop."""

    def __init__(self, port: int, *, per_s: int) -> None:
        self.sent = 0
        self._port = port
        self._per_s = per_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with SipClient(self._port, host=NEIGHBOUR) as client:
            body = "v=0\r\n" * 50
            messages = [request(client, "INVITE", body) for _ in range(200)]
            began = time.monotonic()
            while not self._over.is_set():
                due = min(int((time.monotonic() - began) * self._per_s), self.sent + 100)
                while self.sent < due:
                    client.send(messages[self.sent % len(messages)])
                    self.sent += 1
                time.sleep(0.001)


def test_a_flood_of_strangers_does_not_delay_established_dialogs(tmp_path: Path) -> None:
    with RunningRecorder(tmp_path / "state") as running:
        with Call(running) as call:
            call.start()
            call.media.wait_for(10)
            delays = []
            with Flood(running.sip_port, per_s=10_000) as flood:
                # What comes before the filter may find the socket full, and is asked again.
                eventually(
                    lambda: "flood: the kernel drops" in running.log() and flood.sent >= 10_000,
                    limit_s=60, what="the kernel's filter", detail=running.log_tail,
                )  # fmt: skip
                for _ in range(20):
                    began = time.monotonic()
                    assert call.dialog.insist(call.dialog.request("OPTIONS"), "OPTIONS").status == 200
                    delays.append(time.monotonic() - began)
                # The answer to a BYE waits for the end of the capture, which takes its time in any case.
                assert call.hang_up().status == 200
                assert flood.sent > 10_000
            print(
                f"{flood.sent} sent; median {statistics.median(delays) * 1e3:.1f} ms, worst {max(delays) * 1e3:.1f} ms"
            )
            # Below T1 nothing was lost and asked again; without the kernel's filter each answer waits for thousands.
            assert statistics.median(delays) < 0.4
            assert max(delays) < 5
            call.assert_recorded(tmp_path)
        assert running.stop() == 0, running.log_tail()
        running.assert_no_traceback()
