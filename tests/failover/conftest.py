"""Two hosts as network namespaces, whole whenever a test begins with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from recorder.errors import SetupError
from recorder.lab.cluster import CLIENT, Cluster
from tests.kit.hosts import MENDED_S, mend, whole
from tests.kit.namespaces import inside


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with (
        Cluster(directory, settings={"ha": {"lost_after_ms": 800.0}}) as running,
        inside(running.network.namespace(CLIENT)),
    ):
        yield running
    for host in running.hosts.values():
        text = host.log.read_text()
        assert "Traceback" not in text, text[text.index("Traceback") - 500 :][:4000]


@dataclass
class Wreck:
    """What a test left that nothing mends: why those after it need not wait for it again."""

    reason: str = ""


@pytest.fixture(scope="module")
def wreck() -> Wreck:
    return Wreck()


@pytest.fixture
def ready(cluster: Cluster, wreck: Wreck) -> Cluster:
    """The cluster, whole: what a test that failed left cut, frozen, dead or drained is mended first."""
    assert not wreck.reason, f"the hosts have not been whole since an earlier test: {wreck.reason}"
    try:
        mend(cluster)
        cluster.wait(lambda: whole(cluster), "one active host, one that stands by, and all processes", limit_s=MENDED_S)
    except SetupError as error:
        wreck.reason = str(error).partition("\n")[0]
        raise
    return cluster
