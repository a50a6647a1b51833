"""`make chaos`: many random rounds against one recorder after another; exit code 1 if any of them broke a promise."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.machine import machine_facts
from tests.failover.chaos.faults import FAULTS, LONG_FAULTS
from tests.failover.chaos.rounds import plan_round, run_round
from tests.kit.running import RunningRecorder

_SHOWN: Final = 12
_ROUNDS_PER_RECORDER: Final = 10


def main() -> int:
    """Run and print each round with its seed."""
    parser = argparse.ArgumentParser(prog="make chaos ARGS=", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, help="of the first round; the next ones follow. Default: random")
    parser.add_argument("--fault", action="append", default=[], choices=[*FAULTS, *LONG_FAULTS])
    parser.add_argument("--count", type=int, default=2, help="faults in each round")
    parser.add_argument("--calls", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=7.0)
    parser.add_argument("--keep", type=Path, help="directory for journals and logs of rounds that failed")
    options = parser.parse_args()
    first = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    print(f"{machine_facts()}\nfirst seed {first}", flush=True)
    failed = 0
    FAULTS.update({name: LONG_FAULTS[name] for name in options.fault if name in LONG_FAULTS})
    for start in range(0, options.rounds, _ROUNDS_PER_RECORDER):
        seeds = range(first + start, first + min(start + _ROUNDS_PER_RECORDER, options.rounds))
        with tempfile.TemporaryDirectory(prefix="tandem-chaos-") as directory:
            failed += _rounds(Path(directory), seeds, options)
    print(f"{options.rounds} rounds, {failed} failed")
    return 1 if failed else 0


def _rounds(directory: Path, seeds: range, options: argparse.Namespace) -> int:
    failed = 0
    with RunningRecorder(directory / "state") as recorder:
        for seed in seeds:
            round_ = plan_round(seed, options.fault, count=options.count, calls=options.calls, seconds=options.seconds)
            print(round_, flush=True)
            result = asyncio.run(run_round(recorder, round_))
            print(
                f"  {result.packets} packets, {result.lost} in declared gaps, {len(result.faults)} faults", flush=True
            )
            for fault in result.faults[:_SHOWN]:
                print(f"  {fault}", flush=True)
            failed += bool(result.faults)
            if result.faults and options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                result.journal.save(options.keep / f"{seed}.npz")
                (options.keep / f"{seed}.log").write_text(recorder.log())
        recorder.stop()
        recorder.assert_no_traceback()
    return failed


if __name__ == "__main__":
    sys.exit(main())
