"""`make chaos`: many random rounds against one recorder, or site of hosts, after another; exit code 1 if any of them
broke a promise.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import machine_facts
from recorder.lab.cluster import CLIENT, Cluster
from tests.failover.chaos.faults import ASKED_FAULTS, FAULTS, Fault, Target
from tests.failover.chaos.rounds import Victim, plan_round, run_round
from tests.failover.chaos.site import SITE_FAULTS, Site
from tests.kit.namespaces import inside
from tests.kit.running import RunningRecorder

_SHOWN: Final = 12
_ROUNDS_PER_RECORDER: Final = 10


def main() -> int:
    """Run and print each round with its seed."""
    parser = argparse.ArgumentParser(prog="make chaos ARGS=", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, help="of the first round; the next ones follow. Default: random")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME", help="in this order; --fault list shows them"
    )
    parser.add_argument("--count", type=int, default=2, help="faults in each round")
    parser.add_argument("--calls", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=7.0)
    parser.add_argument(
        "--hosts", type=int, default=1, choices=(1, 2, 3), help="more than one: network namespaces, needs root"
    )
    parser.add_argument("--keep", type=Path, help="directory for journals and logs of rounds that failed")
    options = parser.parse_args()
    options.among = dict(SITE_FAULTS if options.hosts > 1 else FAULTS)
    if "list" in options.fault:
        print("\n".join([*options.among, *([] if options.hosts > 1 else ASKED_FAULTS)]))
        return 0
    options.among |= {name: ASKED_FAULTS[name] for name in options.fault if name in ASKED_FAULTS}
    if unknown := set(options.fault) - set(options.among):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; --fault list shows them")
    first = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    print(f"{machine_facts()}\nfirst seed {first}", flush=True)
    failed = 0
    for start in range(0, options.rounds, _ROUNDS_PER_RECORDER):
        seeds = range(first + start, first + min(start + _ROUNDS_PER_RECORDER, options.rounds))
        with tempfile.TemporaryDirectory(prefix="tandem-chaos-") as directory:
            # PostgreSQL of a lab runs under an account of its own.
            Path(directory).chmod(0o755)
            failed += _rounds(Path(directory), seeds, options)
    print(f"{options.rounds} rounds, {failed} failed")
    return 1 if failed else 0


def _rounds(directory: Path, seeds: range, options: argparse.Namespace) -> int:
    failed = 0
    with (_one_host if options.hosts == 1 else _site)(directory, options.hosts) as (victim, log):
        for seed in seeds:
            failed += _round(victim, seed, options.among, options, log)
    return failed


def _round(
    victim: Victim, seed: int, among: Mapping[str, Fault[Any]], options: argparse.Namespace, log: Callable[[], str]
) -> bool:
    round_ = plan_round(
        seed, options.fault, among=among, count=options.count, calls=options.calls, seconds=options.seconds
    )
    print(round_, flush=True)
    result = asyncio.run(run_round(victim, round_))
    print(f"  {result.packets} packets, {result.lost} in declared gaps, {len(result.faults)} faults", flush=True)
    for fault in result.faults[:_SHOWN]:
        print(f"  {fault}", flush=True)
    if result.faults and options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        result.journal.save(options.keep / f"{seed}.npz")
        (options.keep / f"{seed}.log").write_text(log())
    return bool(result.faults)


@contextmanager
def _one_host(directory: Path, _: int) -> Iterator[tuple[Victim, Callable[[], str]]]:
    # As on a host of the site: one writer takes the calls of both while the other one is drained.
    room = {"RECORDER_MEDIA_MAX_STREAMS": "200"}
    with RunningRecorder(directory / "state", environment=room) as recorder:
        yield Target(recorder), recorder.log
        recorder.stop()
        recorder.assert_no_traceback()


@contextmanager
def _site(directory: Path, hosts: int) -> Iterator[tuple[Victim, Callable[[], str]]]:
    with Cluster(directory, hosts=hosts) as cluster, inside(cluster.network.namespace(CLIENT)):
        site = Site(cluster)
        yield site, site.log
    site.assert_no_traceback()


if __name__ == "__main__":
    sys.exit(main())
