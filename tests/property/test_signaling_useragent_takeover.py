"""A dialog handed from process to process at any moment goes on as if nothing had happened.

The SRC and the recorder talk at random. Before each promise a checkpoint is made, and at any time the process may die
and another one continue from the last checkpoint. The SRC never learns of it: pitfalls 6, 7, 9, 10, 11, 12 and 13 of
ha-and-durability.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from signaling.dialog.dialog import MAX_ANSWERS
from signaling.sip import Request
from signaling.useragent import (
    ByeReceived,
    DialogEnded,
    Identity,
    InfoReceived,
    InviteReceived,
    OptionsReceived,
    ReinviteReceived,
    UpdateReceived,
)
from tests.unit.signaling.useragent.peer import ANSWER, OFFER, SDP, Line, Src, parsed

ASKED = (InviteReceived, ReinviteReceived, UpdateReceived, ByeReceived, OptionsReceived, InfoReceived)
PROMISED = ("INVITE", "UPDATE", "BYE")


class Takeover(RuleBasedStateMachine):
    """One dialog, its peer, and the processes that serve it one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line()
        self.src = Src(self.line)
        self.durable = b""
        self.stored_at = 0.0
        self.answers: dict[bytes, bytes] = {}
        """Request as sent -> the final response that was seen."""
        self.asked_at: dict[bytes, float] = {}
        self.numbers: list[int] = []
        """CSeq numbers of the recorder's own requests, in order, ACK and CANCEL left out."""
        self.ended = False
        self.processes = 1
        self.unacknowledged = False

    @initialize(crash=st.booleans())
    def call(self, crash: bool) -> None:
        invite = self.src.build("INVITE", body=OFFER)
        self.line.receive(invite)
        event = self.line.event(InviteReceived)
        prepared = self.line.agent.prepare(event.request_id, 200, body=ANSWER, content_type=SDP)
        assert prepared.snapshot is not None
        self.store(prepared.snapshot)
        self.src.dialog_id = event.dialog_id
        if crash:
            # Pitfall 9: between commit and 2xx.
            self.successor()
            self.line.receive(invite)
        else:
            assert self.line.agent.send(prepared, self.line.now)
        self.collect(invite)
        assert invite in self.answers
        self.src.to = self.tagged(self.answers[invite])
        self.unacknowledged = True

    @precondition(lambda self: not self.ended and self.promised_lately() < MAX_ANSWERS - 1)
    @rule(
        method=st.sampled_from(["INVITE", "UPDATE", "OPTIONS", "INFO"]), crash=st.sampled_from(["", "before", "after"])
    )
    def peer_asks(self, method: str, crash: str) -> None:
        self.ask(method, crash)

    @precondition(lambda self: not self.ended and self.unacknowledged)
    @rule()
    def peer_acknowledges(self) -> None:
        self.src.ack()
        self.unacknowledged = False
        self.collect(None)

    @precondition(lambda self: not self.ended)
    @rule(crash=st.sampled_from(["", "before", "after"]))
    def peer_hangs_up(self, crash: str) -> None:
        self.ask("BYE", crash)
        self.ended = True

    @precondition(lambda self: not self.ended and not self.unacknowledged)
    @rule(method=st.sampled_from(["INVITE", "UPDATE", "OPTIONS"]), status=st.sampled_from([200, 488, 491]))
    def recorder_asks(self, method: str, status: int) -> None:
        agent = self.line.agent
        body = b"" if method == "OPTIONS" else ANSWER
        prepared = agent.prepare_request(self.src.dialog_id, method, body=body, content_type=SDP if body else None)
        self.store(prepared.snapshot)
        assert agent.send(prepared, self.line.now)
        (sent,) = self.mine()
        assert (sent.from_.tag, sent.to.tag) == (self.tag(self.src.to), "src-1")
        self.line.receive(self.src.answer(sent, status, body=OFFER if method == "INVITE" and status == 200 else ""))
        self.collect(None)

    @precondition(lambda self: not self.ended and not self.unacknowledged)
    @rule()
    def recorder_dies_during_its_own_reinvite(self) -> None:
        """Pitfall 12: the 2xx comes to a process that did not send the INVITE; it must be acknowledged."""
        agent = self.line.agent
        prepared = agent.prepare_request(self.src.dialog_id, "INVITE", body=ANSWER, content_type=SDP)
        self.store(prepared.snapshot)
        assert agent.send(prepared, self.line.now)
        (sent,) = self.mine()
        self.successor()
        self.line.receive(self.src.answer(sent, 200, body=OFFER))
        acks = [message for message in self.line.requests() if message.method == "ACK"]
        owed = self.line.agent.state(self.src.dialog_id)
        # The checkpoint reserved a whole block, so the number in flight is known only if it is the reserved one.
        assert [ack.cseq.number for ack in acks] == [sent.cseq.number]
        assert owed.own_invite is None

    @precondition(lambda self: not self.ended)
    @rule()
    def process_dies(self) -> None:
        self.successor()

    @rule(seconds=st.sampled_from([0.1, 0.6, 5.0, 20.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.line.advance(seconds)
        self.collect(None)

    @rule(data=st.data())
    def a_request_is_repeated(self, data: st.DataObject) -> None:
        fresh = [
            sent
            for sent, at in self.asked_at.items()
            if self.line.now - at < 31 and sent.split(b" ", 1)[0].decode() in PROMISED
        ]
        if fresh:
            sent = data.draw(st.sampled_from(fresh))
            self.line.receive(sent)
            self.collect(sent)

    @invariant()
    def our_numbers_rise(self) -> None:
        assert self.numbers == sorted(set(self.numbers))

    @invariant()
    def the_dialog_is_there_until_it_ends(self) -> None:
        if self.src.dialog_id:
            assert self.line.agent.dialogs() == ([] if self.ended else [self.src.dialog_id])

    def promised_lately(self) -> int:
        """Count the answers that the recorder has to remember: beyond its limit it may forget the oldest."""
        return sum(self.line.now - at <= 33 for at in self.asked_at.values())

    def ask(self, method: str, crash: str) -> None:
        body = OFFER if method in ("INVITE", "UPDATE") else ""
        sent = self.src.build(method, body=body)
        self.line.receive(sent)
        if crash == "before":
            # Pitfalls 11 and 13: the request was taken in, nothing was promised; the peer repeats it.
            self.successor()
            self.line.receive(sent)
        (event,) = [event for event in self.line.events() if isinstance(event, ASKED)]
        answer = ANSWER if body else b""
        prepared = self.line.agent.prepare(event.request_id, 200, body=answer, content_type=SDP if answer else None)
        if prepared.snapshot is not None:
            self.store(prepared.snapshot)
            if crash == "after":
                self.successor()
                self.line.receive(sent)
                self.collect(sent)
                assert self.answers[sent] == prepared.data
                self.unacknowledged |= method == "INVITE"
                return
        assert self.line.agent.send(prepared, self.line.now)
        self.collect(sent)
        assert self.answers[sent] == prepared.data
        self.unacknowledged |= method == "INVITE"
        if method == "BYE":
            assert [type(event) for event in self.line.events()][-1:] == [DialogEnded]

    def store(self, snapshot: bytes) -> None:
        self.durable = snapshot
        self.stored_at = self.line.now

    def successor(self) -> None:
        """Continue in another process, from the last checkpoint."""
        dead = self.line
        self.processes += 1
        self.line = Line(
            identity=Identity("192.0.2.40", stamp=f"a.{self.processes}"), now=dead.now, token=f"p{self.processes}x"
        )
        self.line.agent.restore(self.durable, self.line.now, age=self.line.now - self.stored_at)
        self.src.line = self.line

    def collect(self, request: bytes | None) -> None:
        """Look at everything sent: one final answer per request, for ever."""
        for outgoing in self.line.heard():
            message = parsed(outgoing)
            if isinstance(message, Request):
                if message.method not in ("ACK", "CANCEL"):
                    self.numbers.append(message.cseq.number)
                continue
            if message.is_provisional or request is None:
                continue
            if message.via.branch == self.branch(request):
                self.asked_at.setdefault(request, self.line.now)
                assert self.answers.setdefault(request, outgoing.data) == outgoing.data

    def mine(self) -> list[Request]:
        fresh = [message for message in self.line.requests() if message.method not in ("ACK", "CANCEL")]
        self.numbers += (message.cseq.number for message in fresh)
        return fresh

    @staticmethod
    def branch(request: bytes) -> str:
        return request.partition(b"branch=")[2].partition(b"\r\n")[0].decode()

    @staticmethod
    def tag(to: str) -> str:
        return to.partition(";tag=")[2]

    def tagged(self, response: bytes) -> str:
        tag = response.partition(b"\r\nTo: ")[2].partition(b"\r\n")[0].partition(b";tag=")[2].decode()
        return f"<sip:srs@192.0.2.40>;tag={tag}"


Takeover.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestTakeover = Takeover.TestCase
