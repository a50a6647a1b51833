"""A recorder for the tests of one module, run as a user would run it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.kit.running import RunningRecorder

# A slow machine is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# CI repeats the same examples, so that a run tells about the change and not about chance.
settings.register_profile("ci", settings.get_profile("patient"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "patient")


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    """One running recorder for all tests of a module; it must end well and have logged no exception trace."""
    running = RunningRecorder(tmp_path_factory.mktemp("recorder") / "state")
    with running:
        yield running
        assert running.stop() == 0, running.log_tail()
    running.assert_no_traceback()
