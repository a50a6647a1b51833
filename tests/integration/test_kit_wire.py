"""Faults of the network between hosts, as the chaos rounds have them."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack

import pytest

from recorder.lab.network import LabNetwork
from tests.kit.namespaces import inside
from tests.kit.wire import dropping

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]


def rules(network: LabNetwork) -> int:
    with inside(network.switch):
        listed = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    return listed.count("drop\n")


def test_losses_of_one_host_may_overlap_and_each_ends_by_itself() -> None:
    network = LabNetwork(f"kw{os.getpid()}")
    try:
        network.add("client", "10.77.2.11")
        with ExitStack() as first, ExitStack() as second:
            first.enter_context(dropping(network, "client", 5))
            second.enter_context(dropping(network, "client", 20))
            assert rules(network) == 2
            first.close()
            assert rules(network) == 1
        assert rules(network) == 0
    finally:
        network.close()
