"""`recorder lab cluster`: a site of several hosts on this machine, to look at and to break."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from recorder.errors import SetupError
from recorder.lab.cluster import CLIENT, FLOATING, SIP_PORT, Cluster

app = typer.Typer(
    name="lab", no_args_is_help=True, add_completion=False, help="Trials on this machine; nothing of it is for a site."
)


@app.callback()
def _group() -> None:
    """Keep `cluster` a command of its own, although it is the only one."""


@app.command()
def cluster(
    hosts: Annotated[int, typer.Option(min=2, max=3, help="How many hosts.")] = 2,
    directory: Annotated[
        Path | None,
        typer.Option(help="Where everything is kept. Default: a temporary directory, removed at the end."),
    ] = None,
) -> None:
    """Make hosts out of network namespaces, with one PostgreSQL and a recorder in each; Ctrl-C removes everything.

    Needs root. Example: recorder lab cluster --hosts 2
    """
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        with tempfile.TemporaryDirectory(prefix="tandem-lab-") as temporary:
            place = directory or Path(temporary)
            place.mkdir(parents=True, exist_ok=True)
            # PostgreSQL runs under an account of its own and has to pass through.
            place.chmod(0o755)
            print(f"starting {hosts} hosts in {place} ...", flush=True)
            with Cluster(place, hosts=hosts) as running:
                print(_how_to(running), flush=True)
                _follow(running, stopped)
                print("removing everything ...", flush=True)
    except SetupError as error:
        print(f"recorder: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from None


def _how_to(running: Cluster) -> str:
    client = " ".join(running.network.command(CLIENT, ["recorder", "simulate"]))
    lines = [
        f"SIP at {FLOATING}:{SIP_PORT}, active on {running.active()}",
        "",
        "Place calls (in another terminal):",
        f"  {client} --target udp:{FLOATING}:{SIP_PORT} --calls 5 --seconds 30",
        "",
        "Look at a host, kill it, cut it off and connect it again:",
    ]
    for host in running.hosts.values():
        switch, port = running.network.switch, running.network.port(host.name)
        pid = host.process.pid if host.process else 0
        lines += [
            f"  {host.name} ({host.address}), log {host.log}",
            f"    recorder-admin --state-dir {host.state_dir.root} status",
            f"    kill -9 -{pid}",
            f"    ip -n {switch} link set {port} nomaster",
            f"    ip -n {switch} link set {port} master br0",
        ]
    return "\n".join([*lines, "", "Ctrl-C ends it."])


def _follow(running: Cluster, stopped: threading.Event) -> None:
    """Say which host is active whenever that changes; start a recorder again that was killed."""
    active = running.active()
    while not stopped.wait(0.5):
        for host in running.hosts.values():
            if host.process and host.process.poll() is not None:
                print(f"the recorder of {host.name} has ended; starting it again in 10 s", flush=True)
                if stopped.wait(10):
                    return
                running.launch(host.name)
        with suppress(SetupError):
            now = running.active()
            if now != active:
                print(f"active: {now or 'nobody'}", flush=True)
                active = now
