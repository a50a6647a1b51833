"""The whole recorder under load: start-up times, then N two-stream calls at once, compared sample by sample.

`python -m benchmarks.recording [--calls 200] [--seconds 20]`. Frontends, writers, curator, database and the simulator
share the machine, so the simulator's own lateness is printed beside the result.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import machine_facts
from tests.kit.running import BIN, RunningRecorder

_TICKS = os.sysconf("SC_CLK_TCK")
_STREAMS_PER_CALL = 2
_PACKETS_PER_SECOND = 50


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def main() -> int:
    """Measure and print; the exit code is that of the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    print(machine_facts(), flush=True)
    streams = options.calls * _STREAMS_PER_CALL
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as directory:
        recorder = RunningRecorder(
            Path(directory) / "state",
            environment={"RECORDER_MEDIA_MAX_STREAMS": str(streams + 100), "RECORDER_MEDIA_VISIT_INTERVAL_MS": "400"},
        )
        print(f"ready to record on a fresh state directory: {recorder.start():.2f} s", flush=True)
        recorder.stop()
        print(f"ready to record on an existing one: {recorder.start():.2f} s", flush=True)
        try:
            return _load(recorder, options.calls, options.seconds)
        finally:
            recorder.stop()


def _load(recorder: RunningRecorder, calls: int, seconds: int) -> int:
    pids = {role: recorder.pids(role) for role in ("writer", "frontend", "curator")}
    before = {role: sum(map(cpu_seconds, of_role)) for role, of_role in pids.items()}
    done = subprocess.run(
        [BIN / "recorder", "simulate", "--target", f"udp:127.0.0.1:{recorder.sip_port}", "--door", "msr",
         "--calls", str(calls), "--concurrency", str(calls), "--seconds", str(seconds), "--rate", "50", "--verify",
         "--state-dir", str(recorder.state_dir)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    after = {role: sum(map(cpu_seconds, of_role)) for role, of_role in pids.items()}
    used = {role: after[role] - before[role] for role in pids}
    packets = calls * seconds * _STREAMS_PER_CALL * _PACKETS_PER_SECOND
    print(done.stdout.strip())
    print(f"{calls} calls of {seconds} s, {calls * _STREAMS_PER_CALL} streams, {packets:,} packets")
    print(f"writers: {used['writer']:.2f} s CPU, {used['writer'] / packets * 1e6:.2f} us per packet")
    print(f"frontends: {used['frontend']:.2f} s CPU, {used['frontend'] / calls * 1e3:.1f} ms per call")
    print(f"curator: {used['curator']:.2f} s CPU, {used['curator'] / calls * 1e3:.1f} ms per call")
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
