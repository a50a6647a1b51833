"""No recording and no file is lost, doubled or orphaned, wherever curator or PostgreSQL die.

A few rounds; the long form is `python -m tests.failover.files --rounds 1000 --seed 1`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.failover.files.rounds import run_rounds
from tests.kit.recipients import make_recipient

pytestmark = pytest.mark.failover


@pytest.mark.parametrize(("seed", "encrypted"), [(7, False), (11, True)])
async def test_nothing_is_lost_doubled_or_orphaned(tmp_path: Path, seed: int, encrypted: bool) -> None:
    tables: dict[str, Any] = {}
    if encrypted:
        public, _ = make_recipient(tmp_path, "x25519")
        tables["recordings"] = {"encrypt_to": [str(public)]}
    assert await run_rounds(tmp_path, 10, seed, tables) == []
