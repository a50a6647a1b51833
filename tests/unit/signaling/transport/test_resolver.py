"""Addresses and names."""

from __future__ import annotations

import pytest

from signaling.dialog.flow import Destination
from signaling.transport.resolver import is_numeric, plain_address, resolve_host


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.1", True),
        ("2001:db8::1", True),
        ("fe80::1%eth0", True),
        ("sbc.example.com", False),
        ("192.0.2", False),
        ("", False),
        ("1:2", False),
    ],
)
def test_what_is_an_address(host: str, expected: bool) -> None:
    assert is_numeric(host) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (("192.0.2.1", 5060), ("192.0.2.1", 5060)),
        (("2001:db8::1", 5060, 0, 0), ("2001:db8::1", 5060)),
        (("::ffff:192.0.2.1", 5060, 0, 0), ("192.0.2.1", 5060)),
        (("fe80::1%lo", 5060, 0, 1), ("fe80::1", 5060)),
    ],
)
def test_plain_addresses(name: tuple[str, int], expected: tuple[str, int]) -> None:
    assert plain_address(name) == expected


async def test_the_system_resolves_names() -> None:
    assert await resolve_host(Destination("udp", "localhost", 5070)) in [("127.0.0.1", 5070), ("::1", 5070)]
    with pytest.raises(OSError, match=r".+"):
        await resolve_host(Destination("tcp", "no-such-host.invalid", 5060))
