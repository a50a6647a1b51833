"""Where receiver reports go."""

from __future__ import annotations

import socket

import pytest

from media.writer.config import PortPair
from media.writer.kernel import Address, numeric_address
from media.writer.protocol import Reports, StreamSpec
from media.writer.reporter import destination
from media.writer.sources import SourceLock
from media.writer.stream import LiveStream


@pytest.fixture
def pair() -> PortPair:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return PortPair(20000, sock, None, "127.0.0.1")


def stream(pair: PortPair, host: str) -> LiveStream:
    spec = StreamSpec(
        index=0, party=0, payload_types={}, port=20000, reports=Reports(ssrc=1, cname="us", host=host, port=4001)
    )
    announced = numeric_address("192.0.2.1", 4000, family=socket.AF_INET)
    return LiveStream(spec, 0, pair, socket.AF_INET, SourceLock(announced))


def test_reports_go_where_the_sdp_says(pair: PortPair) -> None:
    assert destination(stream(pair, "192.0.2.1")) == ("192.0.2.1", 4001)


@pytest.mark.parametrize("host", ["media.example.com", "localhost", "", "2001:db8::1", "0.0.0.0"])
def test_a_host_that_is_no_address_of_ours_gets_nothing_before_the_sender_is_known(pair: PortPair, host: str) -> None:
    """To look a name up would hold up every stream of the writer."""
    nameless = stream(pair, host)
    assert destination(nameless) is None
    nameless.lock.accepted = Address("192.0.2.1", 4000, family=socket.AF_INET)
    assert destination(nameless) == ("192.0.2.1", 4001)
