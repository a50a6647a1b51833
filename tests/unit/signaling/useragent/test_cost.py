"""What a dialog costs: memory while it is open, timers while nothing happens, and time to set it up."""

from __future__ import annotations

import itertools
import statistics
import time
import tracemalloc

import pytest

from signaling.sip import parse_message
from signaling.useragent import Identity, InviteReceived, UserAgent

from .peer import ANSWER, OFFER, SDP, UDP, octets, request

METADATA = f"<recording xmlns='urn:ietf:params:xml:ns:recording:1'>{'x' * 1800}</recording>"
MULTIPART = (
    f"--b\nContent-Type: application/sdp\n\n{OFFER}\n"
    f"--b\nContent-Type: application/rs-metadata+xml\n\n{METADATA}\n--b--\n"
)


def siprec_invite(number: int) -> bytes:
    """Return an INVITE of some 3 kB as a session border controller sends it through a proxy."""
    return request(
        "INVITE",
        via=f"SIP/2.0/UDP 192.0.2.30:5060;rport;branch=z9hG4bK-{number}, SIP/2.0/TCP 192.0.2.20:7090",
        branch="z9hG4bK-behind",
        from_=f"<sip:src@192.0.2.20>;tag=src-{number}",
        call_id=f"{number}-0123456789abcdef@192.0.2.20",
        cseq="1 INVITE",
        contact="<sip:src@192.0.2.20:5060>;+sip.src",
        headers=[
            "Record-Route: <sip:192.0.2.30:5060;lr>",
            "Require: siprec",
            "Supported: timer, siprec, replaces",
            "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO",
            "Session-Expires: 1800",
            "Min-SE: 90",
        ],
        body=MULTIPART,
        content_type="multipart/mixed;boundary=b",
    )


class Load:
    """Sets calls up one after the other, as fast as it can."""

    def __init__(self) -> None:
        tokens = itertools.count()
        self.agent = UserAgent(Identity("192.0.2.40"), token=lambda: f"{next(tokens):016x}")

    def set_up(self, invite: bytes, *, ack: bool = True) -> None:
        self.agent.receive(invite, UDP, 0.0)
        (event,) = self.agent.events()
        assert isinstance(event, InviteReceived)
        prepared = self.agent.prepare(event.request_id, 200, body=ANSWER, content_type=SDP)
        assert self.agent.send(prepared, 0.0)
        self.agent.outgoing()
        if ack:
            state = self.agent.state(event.dialog_id)
            to = f"<sip:srs@192.0.2.40>;tag={state.local_tag}"
            from_ = f"<sip:src@192.0.2.20>;tag={state.remote_tag}"
            data = request(
                "ACK", branch=f"z9hG4bK-{state.local_tag}", from_=from_, to=to, call_id=state.call_id, cseq="1 ACK"
            )
            self.agent.receive(data, UDP, 0.0)
        self.agent.events()


def test_an_open_dialog_costs_far_less_than_40_kb() -> None:
    """40 kB is the budget at 10,000 open dialogs; the INVITE must not be kept with them."""
    load = Load()
    load.set_up(siprec_invite(0))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1, 201):
            load.set_up(siprec_invite(number))
        young, _ = tracemalloc.get_traced_memory()
        load.agent.handle_timer(40.0)
        load.agent.outgoing()
        load.agent.events()
        old, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(load.agent.dialogs()) == 201
    assert (young - before) / 200 < 16 * 1024
    assert (old - before) / 200 < 8 * 1024


def test_after_a_call_is_over_nothing_of_it_is_left() -> None:
    """The server runs for weeks."""
    load = Load()
    for number in range(50):
        load.set_up(siprec_invite(number))
    for dialog_id in load.agent.dialogs():
        load.agent.bye(dialog_id, 1.0)
    load.agent.outgoing()
    now = 1.0
    while (deadline := load.agent.deadline) is not None:
        now = max(now, deadline)
        load.agent.handle_timer(now)
        load.agent.outgoing()
        load.agent.events()
    core = load.agent._core
    for table in (
        core.server, core.server_by_id, core.merged, core.client, core.client_by_id, core.client_by_flow, core.repeated,
        core.repeated_merges, core.dialogs, core.queue, core.dialogs._by_peer,
    ):  # fmt: skip
        assert len(table) == 0
    assert now < 100


def test_a_timer_call_does_not_look_at_every_dialog() -> None:
    """With nothing due, the queue is asked once and no action runs."""
    load = Load()
    for number in range(100):
        load.set_up(siprec_invite(number))
    load.agent.handle_timer(40.0)
    assert load.agent.deadline == pytest.approx(1768.0)
    # Each open dialog keeps one timer: that of its session.
    assert len(load.agent._core.queue) == 100


@pytest.mark.bench
def test_time_from_invite_to_200(capsys: pytest.CaptureFixture[str]) -> None:
    """Budget: 250 microseconds on a core that is not shared."""
    load = Load()
    invites = [siprec_invite(number) for number in range(3000)]
    clock = time.perf_counter
    parsing, whole = [], []
    for invite in invites:
        start = clock()
        parse_message(invite)
        parsing.append(clock() - start)
        start = clock()
        load.set_up(invite, ack=False)
        whole.append(clock() - start)
    with capsys.disabled():
        for name, times in (("parse alone", parsing), ("INVITE to 200", whole)):
            quartiles = [1e6 * value for value in statistics.quantiles(times, n=4)]
            print(f"\n{name}: {quartiles[0]:.0f} / {quartiles[1]:.0f} / {quartiles[2]:.0f} us (quartiles)", end="")
    assert statistics.median(whole) < 8 * statistics.median(parsing)


def test_the_invite_is_of_the_size_that_is_meant() -> None:
    assert 2500 < len(siprec_invite(1)) < 3500
    assert octets(MULTIPART) in siprec_invite(1)
