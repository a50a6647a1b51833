"""Flows and destinations say whether they are reliable."""

from __future__ import annotations

import pytest

from signaling.dialog.flow import Destination, Flow, TransportName


@pytest.mark.parametrize(("transport", "reliable"), [("udp", False), ("tcp", True), ("tls", True)])
def test_only_udp_is_unreliable(transport: TransportName, reliable: bool) -> None:
    assert Flow(transport, ("192.0.2.40", 5060), ("192.0.2.30", 5060)).reliable is reliable
    assert Destination(transport, "192.0.2.30", 5060).reliable is reliable
