"""RFC 3581 §4 and RFC 3261 §18.2.1: completing the Via, and where responses go."""

from __future__ import annotations

import pytest

from signaling.useragent import Flow, OptionsReceived
from tests.unit.signaling.useragent.peer import SRC, SRS, TCP, Line, Src

NAT = Flow("udp", SRS, ("198.51.100.9", 31000))


def answered(via: str, flow: Flow) -> tuple[Flow, str]:
    line = Line(flow=flow)
    src = Src(line, via=via)
    src.send("OPTIONS")
    line.agent.respond(line.event(OptionsReceived).request_id, 200, now=line.now)
    (outgoing,) = line.heard()
    assert isinstance(outgoing.flow, Flow)
    return outgoing.flow, outgoing.data.decode().split("\r\n")[1]


def test_an_empty_rport_is_filled_and_received_is_added() -> None:
    """C7."""
    flow, via = answered("SIP/2.0/UDP 10.1.1.1:4540;rport", NAT)
    assert via == "Via: SIP/2.0/UDP 10.1.1.1:4540;rport=31000;branch=z9hG4bK-src1-1;received=198.51.100.9"
    assert flow == NAT


def test_received_is_added_even_if_it_is_identical_to_sent_by() -> None:
    """C7: "even if it is identical to the value of the "sent-by" component"."""
    _, via = answered("SIP/2.0/UDP 198.51.100.9:31000;rport", NAT)
    assert ";received=198.51.100.9" in via


def test_the_response_leaves_from_the_address_that_the_request_came_to() -> None:
    """C7: "The response MUST be sent from the same address and port that the corresponding request was received on"."""
    other = Flow("udp", ("192.0.2.44", 5070), SRC)
    flow, _ = answered("SIP/2.0/UDP 192.0.2.30:5060;rport", other)
    assert flow.local == ("192.0.2.44", 5070)


def test_without_rport_received_is_added_only_if_the_host_differs() -> None:
    """C7, RFC 3261 §18.2.1."""
    flow, via = answered("SIP/2.0/UDP sbc.example.com:5070", NAT)
    assert via.endswith(";received=198.51.100.9")
    assert flow.remote == ("198.51.100.9", 5070)
    flow, via = answered("SIP/2.0/UDP 198.51.100.9:5070", NAT)
    assert "received" not in via
    assert flow.remote == ("198.51.100.9", 5070)


def test_this_takes_place_independent_of_the_transport() -> None:
    """RFC 3581 §4."""
    flow, via = answered("SIP/2.0/TCP 192.0.2.30;rport", TCP)
    assert ";rport=40123" in via
    assert flow == TCP


@pytest.mark.parametrize("via", ["SIP/2.0/UDP [2001:db8::9]:5070", "SIP/2.0/UDP [2001:DB8::9]:5070"])
def test_an_ipv6_host_is_compared_without_its_brackets(via: str) -> None:
    flow, written = answered(via, Flow("udp", ("2001:db8::40", 5060), ("2001:db8::9", 5070)))
    assert "received" not in written
    assert flow.remote == ("2001:db8::9", 5070)


def test_a_repetition_from_another_port_is_answered_to_that_port() -> None:
    line = Line(flow=NAT)
    src = Src(line, via="SIP/2.0/UDP 10.1.1.1;rport")
    again = src.send("OPTIONS")
    line.agent.respond(line.event(OptionsReceived).request_id, 200, now=line.now)
    line.heard()
    rebound = Flow("udp", SRS, ("198.51.100.9", 31001))
    line.receive(again, rebound)
    (outgoing,) = line.heard()
    assert outgoing.flow == rebound
