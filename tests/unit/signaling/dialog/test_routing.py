"""Request-URI, Route, transport and address of requests inside a dialog."""

from __future__ import annotations

import pytest

from signaling.dialog.flow import Destination, Flow
from signaling.dialog.routing import Path, choose_path, route_request
from signaling.errors import SipSyntaxError
from signaling.sip import Uri

TARGET = Uri.parse("sip:user@remoteua")
LOCAL = ("192.0.2.40", 5060)
UDP = Flow("udp", LOCAL, ("192.0.2.30", 5060))
TCP = Flow("tcp", LOCAL, ("192.0.2.30", 40123), 1)
TLS = Flow("tls", LOCAL, ("192.0.2.30", 40124), 2)


def path(uri: str, flow: Flow, *, size: int = 500, flow_is_open: bool = True, may_reuse: bool = False) -> Path:
    return choose_path(Uri.parse(uri), flow=flow, flow_is_open=flow_is_open, may_reuse=may_reuse, size=size)


def to(transport: str, port: int = 5060, host: str = "192.0.2.30") -> Destination:
    return Destination(transport, host, port, LOCAL)  # type: ignore[arg-type]


def test_without_routes_the_remote_target_is_the_request_uri() -> None:
    routing = route_request(TARGET, [])
    assert (routing.request_uri, routing.route, routing.next_hop) == (TARGET, (), TARGET)


def test_a_loose_route_keeps_the_remote_target_in_the_request_uri() -> None:
    routes = ['"RM" <sip:0x1@192.0.2.30:15060;lr;gvp.rm.datanodes=1;idtag=0C>;x=y', "<sip:p2;lr>"]
    routing = route_request(TARGET, routes)
    assert routing.request_uri == TARGET
    assert routing.route == tuple(routes)
    assert str(routing.next_hop) == "sip:0x1@192.0.2.30:15060;lr;gvp.rm.datanodes=1;idtag=0C"


def test_a_strict_route_becomes_the_request_uri_and_the_target_goes_last() -> None:
    routing = route_request(TARGET, ["<sip:proxy1>", "<sip:proxy2>", "<sip:proxy3;lr>", "<sip:proxy4>"])
    assert str(routing.request_uri) == "sip:proxy1"
    assert routing.route == ("<sip:proxy2>", "<sip:proxy3;lr>", "<sip:proxy4>", "<sip:user@remoteua>")
    assert str(routing.next_hop) == "sip:proxy1"


def test_a_strict_route_loses_what_must_not_stand_in_a_request_uri() -> None:
    routing = route_request(TARGET, ["<sip:proxy1;method=BYE;x=1?Subject=a>"])
    assert str(routing.request_uri) == "sip:proxy1;x=1"


def test_a_route_that_is_no_sip_uri_is_refused() -> None:
    with pytest.raises(SipSyntaxError):
        route_request(TARGET, ["<tel:+1555>"])


@pytest.mark.parametrize(
    ("uri", "flow", "expected"),
    [
        ("sip:a@192.0.2.30", UDP, to("udp")),
        ("sip:a@192.0.2.30:7090", UDP, to("udp", 7090)),
        ("sip:a@192.0.2.30;transport=tcp", UDP, to("tcp")),
        ("sip:a@192.0.2.30;transport=TLS", UDP, to("tls", 5061)),
        ("sips:a@192.0.2.30", UDP, to("tls", 5061)),
        ("sip:a@192.0.2.31:15060", TCP, to("tcp", 15060, "192.0.2.31")),
        ("sip:a@sbc.example.com:5070", UDP, to("udp", 5070, "sbc.example.com")),
        ("sip:a@other;maddr=192.0.2.30", UDP, to("udp")),
    ],
)
def test_first_choice(uri: str, flow: Flow, expected: Destination) -> None:
    assert path(uri, flow).first == expected


def test_a_contact_on_the_ephemeral_port_of_the_connection_reuses_it() -> None:
    chosen = path("sip:a@192.0.2.30:40123;transport=tcp", TCP)
    assert chosen.first == TCP
    assert chosen.fallbacks == (to("tcp", 40123),)


def test_an_alias_lets_the_connection_be_reused() -> None:
    assert path("sip:a@192.0.2.30;transport=tcp", TCP, may_reuse=True).first == TCP


def test_another_advertised_port_is_tried_before_the_connection() -> None:
    chosen = path("sip:a@192.0.2.30;transport=tcp", TCP)
    assert chosen.first == to("tcp")
    assert chosen.fallbacks == (TCP,)


def test_a_closed_connection_is_no_choice() -> None:
    chosen = path("sip:a@192.0.2.30:40123;transport=tcp", TCP, flow_is_open=False)
    assert (chosen.first, chosen.fallbacks) == (to("tcp", 40123), ())


def test_a_peer_that_came_by_tls_is_reached_by_tls() -> None:
    assert path("sip:a@192.0.2.30:5061", TLS).transport == "tls"


def test_udp_named_by_the_peer_is_kept_even_over_tcp() -> None:
    assert path("sip:a@192.0.2.30;transport=udp", TCP).first == to("udp")


@pytest.mark.parametrize(("size", "transport"), [(1300, "udp"), (1301, "tcp")])
def test_a_request_above_1300_bytes_goes_by_tcp(size: int, transport: str) -> None:
    """C24."""
    assert path("sip:a@192.0.2.30", UDP, size=size).transport == transport


def test_a_large_request_falls_back_to_udp() -> None:
    """C24."""
    assert path("sip:a@192.0.2.30", UDP, size=4000).fallbacks == (to("udp"),)


def test_a_large_request_stays_with_udp_if_the_peer_names_it() -> None:
    assert path("sip:a@192.0.2.30;transport=udp", UDP, size=4000) == Path(to("udp"))
