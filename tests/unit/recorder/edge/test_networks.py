"""Networks as people write them."""

from __future__ import annotations

import pytest

from recorder.edge.networks import EVERYWHERE, contains, network, parse


def test_a_single_address_is_a_network() -> None:
    assert str(network("192.0.2.7")) == "192.0.2.7/32"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10.0.0.1/8", "has host bits set; write 10.0.0.0/8"),
        ("10.0.0.0/33", "is no network: write 10.0.0.0/8"),
        ("sbc.example", "is no network"),
    ],
)
def test_what_is_none_is_told_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(text)


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("::ffff:10.0.0.1", True),
        ("2001:db8::1", True),
        ("fe80::1%eth0", False),
        ("nonsense", False),
    ],
)
def test_addresses_inside_and_outside(host: str, inside: bool) -> None:
    assert contains([network("10.0.0.0/8"), network("2001:db8::/32")], host) is inside


def test_everywhere_contains_both_families() -> None:
    everywhere = [network(text) for text in EVERYWHERE]
    assert contains(everywhere, "203.0.113.9")
    assert contains(everywhere, "2001:db8::9")


def test_a_zone_is_no_part_of_the_address() -> None:
    assert str(parse("fe80::1%eth0")) == "fe80::1"
