"""Names, ports and stamps."""

from __future__ import annotations

import pytest

from signaling.errors import LocalProtocolError
from signaling.useragent import Identity, stamp_of
from tests.unit.signaling.useragent.peer import TCP, UDP


def test_a_tag_says_who_made_it() -> None:
    identity = Identity("192.0.2.40", stamp="a.7")
    assert stamp_of(identity.tag("x1")) == "a.7"


@pytest.mark.parametrize("tag", ["abc", "", "~x", "as76fd98"])
def test_a_foreign_tag_has_no_stamp(tag: str) -> None:
    assert stamp_of(tag) is None


@pytest.mark.parametrize("stamp", ["", "a~b", "a b", "a;b"])
def test_a_stamp_that_would_not_survive_in_a_tag_is_refused(stamp: str) -> None:
    with pytest.raises(LocalProtocolError):
        Identity("192.0.2.40", stamp=stamp)


def test_tls_has_its_own_port() -> None:
    identity = Identity("192.0.2.40", port=5070, tls_port=5071)
    assert [identity.port_for(transport) for transport in ("udp", "tcp", "tls")] == [5070, 5070, 5071]


def test_without_a_host_each_peer_sees_the_address_it_reached() -> None:
    assert Identity("").host_towards(UDP) == "192.0.2.40"
    assert Identity("srs.example.com").host_towards(UDP) == "srs.example.com"


def test_hosts_of_earlier_instances_are_ours_too() -> None:
    identity = Identity("192.0.2.40", other_hosts=frozenset({"srs.example.com"}))
    assert identity.is_ours("192.0.2.40", TCP)
    assert identity.is_ours("SRS.example.com", TCP)
    assert not identity.is_ours("192.0.2.30", TCP)
