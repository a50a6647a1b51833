"""Requests that come again byte for byte: answered by their transaction without a look at them."""

from __future__ import annotations

import pytest

from signaling.sip import parse_message
from signaling.useragent import Flow, InviteReceived, Traced, agent

from .peer import ANSWER, OFFER, SDP, SRS, TCP, UDP, Line, Src


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the list of messages that are parsed from now on."""
    found: list[bytes] = []

    def parse(data: bytes) -> object:
        found.append(data)
        return parse_message(data)

    monkeypatch.setattr(agent, "parse_message", parse)
    return found


def test_an_invite_that_waits_for_its_answer_gets_the_same_100_unparsed(parsed: list[bytes]) -> None:
    line = Line()
    invite = Src(line).send("INVITE", body=OFFER)
    (trying,) = line.heard()
    for _ in range(3):
        line.receive(invite)
    assert [sent.data for sent in line.heard()] == [trying.data] * 3
    assert parsed == [invite]
    assert len([event for event in line.events() if isinstance(event, InviteReceived)]) == 1


def test_after_the_2xx_it_is_absorbed_and_after_a_refusal_that_is_repeated(parsed: list[bytes]) -> None:
    line = Line()
    invite = Src(line).send("INVITE", body=OFFER)
    request_id = line.event(InviteReceived).request_id
    line.agent.respond(request_id, 200, body=ANSWER, content_type=SDP, now=line.now)
    line.heard()
    line.receive(invite)
    assert line.heard() == []
    refused = Src(line, call="2").send("INVITE", body=OFFER)
    line.agent.respond(line.event(InviteReceived).request_id, 488, now=line.now)
    line.heard()
    line.receive(refused)
    assert line.statuses() == [488]
    assert parsed == [invite, refused]


def test_a_bye_and_an_options_are_known_as_well(parsed: list[bytes]) -> None:
    line = Line()
    src = Src(line)
    src.establish()
    bye = src.send("BYE")
    parsed.clear()
    line.receive(bye)
    assert parsed == []


@pytest.mark.parametrize("flow", [Flow("udp", SRS, ("192.0.2.30", 5061)), TCP])
def test_one_that_comes_by_another_way_is_looked_at_and_answered_there(parsed: list[bytes], flow: Flow) -> None:
    line = Line()
    invite = Src(line).send("INVITE", body=OFFER)
    line.heard()
    line.receive(invite, flow)
    assert parsed == [invite, invite]
    assert line.statuses() == [100]


def test_one_byte_makes_it_another_message(parsed: list[bytes]) -> None:
    line = Line()
    invite = Src(line).send("INVITE", body=OFFER)
    again = invite.replace(b"Max-Forwards: 70", b"Max-Forwards: 69")
    line.receive(again)
    assert parsed == [invite, again]
    assert line.statuses() == [100, 100]


def test_what_comes_more_often_than_any_timer_repeats_it_is_looked_at_again(parsed: list[bytes]) -> None:
    line = Line()
    invite = Src(line).send("INVITE", body=OFFER)
    for _ in range(20):
        line.receive(invite)
    assert len(parsed) == 1 + 20 - 16


def test_once_its_transaction_is_over_it_is_forgotten(parsed: list[bytes]) -> None:
    line = Line()
    invite = Src(line).send("INVITE", body=OFFER)
    line.agent.respond(line.event(InviteReceived).request_id, 488, now=line.now)
    line.advance(40)
    line.receive(invite)
    assert parsed == [invite, invite]
    assert line.event(InviteReceived)


def test_a_repetition_is_traced_with_its_answer() -> None:
    line = Line(trace=True)
    invite = Src(line).send("INVITE", body=OFFER)
    (dialog_id,) = [event.dialog_id for event in line.told if isinstance(event, InviteReceived)]
    before = len(line.told)
    line.receive(invite)
    traced = [event for event in line.told[before:] if isinstance(event, Traced)]
    assert [(one.direction, one.flow, one.dialog_id) for one in traced] == [
        ("in", UDP, dialog_id),
        ("out", UDP, dialog_id),
    ]
