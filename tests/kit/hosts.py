"""Hosts of a lab cluster: whether they are whole, and how what a test left is mended."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Final

from recorder.control import ask
from recorder.errors import NotRunningError
from recorder.lab.cluster import Cluster

MENDED_S: Final = 120.0
"""For hosts to be whole again after a test, whatever it left them in."""


def mend(cluster: Cluster) -> None:
    """Undo what a test can have done to the hosts; does nothing to those that are whole."""
    for name, host in cluster.hosts.items():
        cluster.network.mend(name)
        cluster.signal(name, signal.SIGCONT)
        if host.process is None or host.process.poll() is not None:
            cluster.launch(name)
    for of, other in cluster.hosts.items():
        for one in other.status().get("processes", []):
            if one["role"] != "writer":
                continue
            for host in cluster.hosts.values():
                with suppress(NotRunningError):
                    ask(host.state_dir, "drain-writer", writer=f"{of}/{one['name']}", draining=False)


def whole(cluster: Cluster) -> bool:
    """Whether one host is active, one stands by, and every process of both works."""
    working = {"running", "active", "standby", "candidate"}
    status = [host.status() for host in cluster.hosts.values()]
    return bool(cluster.active() and cluster.standby()) and all(
        one["pid"] and one["state"] in working for answer in status for one in answer["processes"]
    )
