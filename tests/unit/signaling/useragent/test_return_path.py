"""Where responses go."""

from __future__ import annotations

import pytest

from signaling.dialog.flow import Destination, Flow
from signaling.sip import Via
from signaling.useragent.return_path import response_path
from tests.unit.signaling.useragent.peer import SRS, TCP, TLS

NATTED = Flow("udp", SRS, ("198.51.100.9", 31000))


def path(via: str, flow: Flow, *, is_open: bool = True) -> Flow | Destination:
    return response_path(Via.parse(via), flow, is_open=is_open)


def test_over_a_connection_the_response_goes_back_on_it() -> None:
    """C8."""
    assert path("SIP/2.0/TCP 192.0.2.30:5060;branch=z9hG4bK1", TCP) == TCP


@pytest.mark.parametrize(
    ("via", "flow", "port"),
    [
        ("SIP/2.0/TCP a.example.com:7090;received=192.0.2.30", TCP, 7090),
        ("SIP/2.0/TCP 192.0.2.30", TCP, 5060),
        ("SIP/2.0/TLS 192.0.2.30", TLS, 5061),
    ],
)
def test_if_the_connection_is_gone_a_new_one_goes_to_received_and_the_port_of_sent_by(
    via: str, flow: Flow, port: int
) -> None:
    """C8."""
    expected = Destination(flow.transport, "192.0.2.30", port, flow.local)
    assert path(via, flow, is_open=False) == expected


def test_over_udp_without_rport_the_port_is_that_of_sent_by() -> None:
    """C7."""
    assert path("SIP/2.0/UDP 10.0.0.1:5070;received=198.51.100.9", NATTED) == Flow("udp", SRS, ("198.51.100.9", 5070))


def test_over_udp_without_any_port_it_is_5060() -> None:
    """C7."""
    assert path("SIP/2.0/UDP 10.0.0.1", NATTED) == Flow("udp", SRS, ("198.51.100.9", 5060))


def test_with_rport_the_response_goes_to_the_source() -> None:
    """C7."""
    assert path("SIP/2.0/UDP 10.0.0.1:5070;rport=31000;received=198.51.100.9", NATTED) == NATTED


def test_a_received_that_the_sender_wrote_itself_is_not_believed() -> None:
    assert path("SIP/2.0/UDP 198.51.100.9:31000;received=203.0.113.1", NATTED) == NATTED


def test_maddr_leads_over_udp() -> None:
    expected = Destination("udp", "203.0.113.5", 5060, SRS)
    assert path("SIP/2.0/UDP 10.0.0.1;maddr=203.0.113.5;rport", NATTED) == expected
