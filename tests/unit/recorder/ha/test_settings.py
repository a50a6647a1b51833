"""Settings of a site: what is wrong is said with its remedy."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from recorder.ha.settings import HaSettings
from storage.catalog.records import FRONTEND_LEASE

FILES = {"certificate": "/c.pem", "key": "/k.pem", "ca": "/ca.pem"}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"lease_s": 1.0}, "a holder could not try twice"),
        ({"listen": "host-a:5070"}, "must be an IPv4 or IPv6 address"),
        ({"listen": "10.0.0.1"}, "must be ADDRESS:PORT"),
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


def test_the_lease_of_the_default_site_is_the_one_that_the_catalog_assumes() -> None:
    assert HaSettings().lease == FRONTEND_LEASE


@pytest.mark.parametrize("library", ["asyncpg", "pydantic_settings", "lxml"])
def test_the_first_writers_wait_for_no_database_library_and_nothing_that_reads_files(library: str) -> None:
    """The fork server loads what their role needs, and nothing else before they are there."""
    loaded = f"import sys, recorder.fork_server, recorder.writer.process; print({library!r} in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "False\n"
    )
