"""Via: reading, and what the receiver adds."""

from __future__ import annotations

import pytest

from signaling.errors import SipSyntaxError
from signaling.sip import Via


@pytest.mark.parametrize(
    ("text", "transport", "sent_by", "branch"),
    [
        ("SIP/2.0/UDP 192.0.2.30:15060;branch=z9hG4bK1", "UDP", ("192.0.2.30", 15060), "z9hG4bK1"),
        ("SIP/2.0/udp H.example", "UDP", ("h.example", 5060), None),
        ("SIP/2.0/TLS h", "TLS", ("h", 5061), None),
        ("SIP / 2.0 / TCP  h : 5070 ; branch = x", "TCP", ("h", 5070), "x"),
        ("SIP/2.0/TCP h: 5070", "TCP", ("h", 5070), None),
        ("SIP/7.0/UNKNOWN [2001:db8::1]:5062", "UNKNOWN", ("2001:db8::1", 5062), None),
    ],
)
def test_reading(text: str, transport: str, sent_by: tuple[str, int], branch: str | None) -> None:
    via = Via.parse(text)
    assert (via.transport, via.sent_by, via.branch) == (transport, sent_by, branch)


@pytest.mark.parametrize(
    "text",
    [
        "", "SIP/2.0", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0 h", "/2.0/UDP h", "SIP//UDP h", "SIP/2.0/UDP h x",
        "SIP/2.0/UDP h;;", "SIP/2.0/UDP h:x", "SIP/2.0/UDP h:5060 x", "SIP/2.0/U@P h", "SIP/2.0/UDP 2001:db8::1",
    ],
)  # fmt: skip
def test_malformed(text: str) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        Via.parse(text)
    assert (caught.value.status, caught.value.header) == (400, "Via")


def test_what_is_written_can_be_read() -> None:
    text = "SIP/2.0/UDP [2001:db8::1]:5070;branch=z9hG4bK1;rport"
    assert str(Via.parse(text)) == text
    assert Via.parse(str(Via.parse(text))) == Via.parse(text)


@pytest.mark.parametrize(
    ("params", "rport"),
    [("", None), (";rport", None), (";rport=5070", 5070), (";rport=x", None), (";rport=123456", None)],
)
def test_rport(params: str, rport: int | None) -> None:
    assert Via.parse(f"SIP/2.0/UDP h{params}").rport == rport


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SIP/2.0/UDP 192.0.2.30;branch=b", "SIP/2.0/UDP 192.0.2.30;branch=b"),
        ("SIP/2.0/UDP rm.example;branch=b", "SIP/2.0/UDP rm.example;branch=b;received=192.0.2.30"),
        ("SIP/2.0/UDP 192.0.2.30;rport;branch=b", "SIP/2.0/UDP 192.0.2.30;rport=40000;branch=b;received=192.0.2.30"),
        (
            "SIP/2.0/UDP 10.0.0.1:5060;branch=b;rport;received=1.1.1.1",
            "SIP/2.0/UDP 10.0.0.1:5060;branch=b;rport=40000;received=192.0.2.30",
        ),
    ],
)
def test_the_receiver_completes_it(text: str, expected: str) -> None:
    assert str(Via.parse(text).seen_from("192.0.2.30", 40000)) == expected


def test_received() -> None:
    via = Via.parse("SIP/2.0/UDP h;received=192.0.2.1")
    assert (via.received, Via.parse("SIP/2.0/UDP h").received) == ("192.0.2.1", None)
