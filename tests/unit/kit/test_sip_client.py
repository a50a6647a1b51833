"""A client that meets what no recorder sent it."""

from __future__ import annotations

import socket

from tests.kit.sip_client import LOOPBACK, SipClient, compose

OK = compose("SIP/2.0 200 OK\nCSeq: 1 BYE\nCall-ID: a")
RECEIVER_REPORT = b"\x81\xc9\x00\x07" + bytes(28)


def test_a_report_for_a_call_that_had_this_port_before_is_passed_over() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, SipClient(9) as client:
        for data in (RECEIVER_REPORT, OK):
            other.sendto(data, (LOOPBACK, client.local_port))
        assert client.final("BYE", cseq=1).raw == OK
