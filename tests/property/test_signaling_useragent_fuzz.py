"""Nothing that comes from the network makes the user agent raise, and established dialogs survive it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.errors import SipSyntaxError
from signaling.sip import Request, parse_message
from signaling.transaction import TransactionKey, server_key
from signaling.useragent import Flow, MessageDiscarded, OptionsReceived
from tests.unit.signaling.useragent.peer import OFFER, SRS, TCP, UDP, Line, Src

CORPUS = Path(__file__).parent.parent / "corpus" / "sip"
MESSAGES = tuple(path.read_bytes() for path in sorted(CORPUS.rglob("*")) if path.is_file() and path.suffix != ".md")
PIECES = (b"\r\n", b";tag=x", b'"', b"<", b"%", b",", b"\x00", b"sips:", b" ")
FLOWS = (UDP, TCP, Flow("udp", SRS, ("198.51.100.9", 40000)))


def mutated(data: st.DataObject, message: bytes) -> bytes:
    """Change a message in a few places: bytes replaced, removed, doubled, or lines swapped."""
    octets = bytearray(message)
    for _ in range(data.draw(st.integers(0, 4))):
        if not octets:
            break
        at = data.draw(st.integers(0, len(octets) - 1))
        until = min(len(octets), at + data.draw(st.integers(1, 12)))
        match data.draw(st.sampled_from(["replace", "remove", "double", "insert"])):
            case "replace":
                octets[at] = data.draw(st.integers(0, 255))
            case "remove":
                del octets[at:until]
            case "double":
                octets[at:at] = octets[at:until]
            case _:
                octets[at:at] = data.draw(
                    st.sampled_from([b"\r\n", b";tag=x", b'"', b"<", b"%", b",", b"\x00", b"sips:"])
                )
    return bytes(octets)


def established() -> tuple[Line, Src]:
    line = Line()
    src = Src(line)
    src.establish()
    return line, src


def still_alive(line: Line, src: Src) -> None:
    """The established dialog answers."""
    assert src.dialog_id in line.agent.dialogs()
    line.events()
    line.heard()
    line.flow = UDP
    src.cseq += 1000
    src.send("OPTIONS")
    event = line.event(OptionsReceived)
    assert event.dialog_id == src.dialog_id
    line.agent.respond(event.request_id, 200, now=line.now)
    assert line.statuses() == [200]


def heeded(line: Line, data: bytes, before: set[TransactionKey]) -> None:
    """A new request that parses is answered, or given to the transaction user, or is an ACK: silence is no answer."""
    try:
        message = parse_message(data)
    except SipSyntaxError:
        return
    if isinstance(message, Request) and message.method != "ACK" and server_key(message) not in before:
        before.add(server_key(message))
        told = [event for event in line.events() if not isinstance(event, MessageDiscarded)]
        assert told or line.heard()


@settings(deadline=None, max_examples=150)
@given(st.lists(st.binary(max_size=300), max_size=6), st.sampled_from(FLOWS))
def test_arbitrary_bytes(datagrams: list[bytes], flow: Flow) -> None:
    line, src = established()
    for datagram in datagrams:
        line.receive(datagram, flow)
    line.advance(40)
    still_alive(line, src)


@pytest.mark.parametrize("message", MESSAGES, ids=range(len(MESSAGES)))
def test_every_message_of_the_corpus(message: bytes) -> None:
    """C27: what an element above the parser does with the torture messages is at least not to fall over."""
    for flow in FLOWS:
        line, src = established()
        line.events()
        line.heard()
        line.receive(message, flow)
        heeded(line, message, set())
        line.receive(message, flow)
        line.advance(200)
        still_alive(line, src)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_mutated_messages_of_the_corpus(data: st.DataObject) -> None:
    line, src = established()
    flow = data.draw(st.sampled_from(FLOWS))
    before: set[TransactionKey] = set()
    for _ in range(data.draw(st.integers(1, 3))):
        line.events()
        line.heard()
        message = mutated(data, data.draw(st.sampled_from(MESSAGES)))
        line.receive(message, flow)
        heeded(line, message, before)
    line.advance(200)
    still_alive(line, src)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_mutated_requests_of_another_call_and_of_the_dialog(data: st.DataObject) -> None:
    """In the dialog itself only a BYE may end it."""
    line, src = established()
    other = Src(line, call="2")
    for _ in range(data.draw(st.integers(1, 4))):
        method = data.draw(st.sampled_from(["INVITE", "UPDATE", "OPTIONS", "INFO", "PRACK", "ACK", "CANCEL"]))
        who = data.draw(st.sampled_from([src, other]))
        message = mutated(data, who.build(method, body=data.draw(st.sampled_from(["", OFFER]))))
        if b"BYE" not in message:
            line.receive(message, data.draw(st.sampled_from(FLOWS)))
        line.advance(data.draw(st.sampled_from([0.0, 0.5, 10.0])))
    line.advance(200)
    assert src.dialog_id in line.agent.dialogs()


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_mutated_responses_to_our_requests(data: st.DataObject) -> None:
    line, src = established()
    method = data.draw(st.sampled_from(["OPTIONS", "UPDATE", "INVITE"]))
    line.agent.send(line.agent.prepare_request(src.dialog_id, method, body=b"", content_type=None), line.now)
    (sent,) = line.requests()
    for _ in range(data.draw(st.integers(1, 3))):
        status = data.draw(st.sampled_from([100, 180, 200, 302, 401, 408, 422, 481, 491, 500, 603]))
        line.receive(mutated(data, src.answer(sent, status, contact="<sip:src@192.0.2.30>", headers=["Min-SE: 100"])))
    line.advance(100)
    still_alive(line, src)
