"""Settings of a site: what is wrong is said with its remedy."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from recorder.ha.settings import HaSettings

FILES = {"certificate": "/c.pem", "key": "/k.pem", "ca": "/ca.pem"}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"lease_s": 1.0}, "a holder could not try twice"),
        ({"listen": "host-a:5070"}, "must be an IPv4 or IPv6 address"),
        ({"listen": "10.0.0.1"}, "must be an IPv4 or IPv6 address"),
        ({"listen": "10.0.0.1:0"}, "must be ADDRESS:PORT"),
        ({"listen": "10.0.0.1:5070"}, "listen needs certificate, key and ca"),
        ({"address": "10.0.0.9"}, "must have a prefix length"),
        ({"address": "10.0.0.9/24"}, "needs interface"),
        ({"heartbeat_ms": 200.0}, "must hold three heartbeats"),
    ],
)
def test_a_fault_is_told_with_its_remedy(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        HaSettings(**values)


def test_a_site_names_its_lease() -> None:
    assert HaSettings().lease == "frontend"
    assert HaSettings(site="west").lease == "frontend:west"


def test_ipv6_endpoints_are_endpoints() -> None:
    assert HaSettings(listen="[2001:db8::1]:5070", **FILES).listen == "[2001:db8::1]:5070"
