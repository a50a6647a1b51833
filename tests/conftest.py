"""A recorder for the tests of one module, run as a user would run it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.running import RunningRecorder


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    """One running recorder for all tests of a module; it must end well and have logged no exception trace."""
    running = RunningRecorder(tmp_path_factory.mktemp("recorder") / "state")
    with running:
        yield running
        assert running.stop() == 0, running.log_tail()
    running.assert_no_traceback()
