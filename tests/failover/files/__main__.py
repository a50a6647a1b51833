"""The long form: `python -m tests.failover.files --rounds 1000 --seed 1 [--encrypted]`; exit code 1 on a fault."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

from tests.failover.files.rounds import run_rounds
from tests.kit.recipients import make_recipient


def main() -> int:
    """Run the rounds and print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--encrypted", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tandem-files-") as directory:
        folder = Path(directory)
        tables: dict[str, Any] = {}
        if options.encrypted:
            public, _ = make_recipient(folder, "x25519")
            tables["recordings"] = {"encrypt_to": [str(public)]}
        faults = asyncio.run(run_rounds(folder, options.rounds, options.seed, tables))
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
