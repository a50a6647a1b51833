"""`recorder simulate`: place recording sessions as a Media Server would, and prove what was recorded.

Exit status: 0 all calls went well (and with --verify every recording equals what was sent); 1 something differs or a
call failed; else as `storage.exit_codes` says. Everything but the results goes to standard error.
"""

from __future__ import annotations

import asyncio
import ipaddress
import resource
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import typer

from media.srtp import SUITES
from recorder.admin.context import AdminContext
from recorder.config import load_settings
from recorder.errors import RecorderError
from recorder.simulator import options as option
from recorder.simulator.copies_check import verify_masters
from recorder.simulator.g711 import Law
from recorder.simulator.journal import Note
from recorder.simulator.network import TlsSide
from recorder.simulator.oracle import Verdict
from recorder.simulator.report import all_good, json_lines, report_lines
from recorder.simulator.scenario import Door, Impairments, Pause, ScenarioOptions, plan_calls
from recorder.simulator.simulation import RunOptions, RunOutcome, Target, run_calls
from recorder.simulator.verification import Patience, verify
from storage.catalog import Catalog
from storage.cli.context import CliContext
from storage.errors import StorageError
from storage.exit_codes import exit_code_of
from storage.inputs import named

_DIFFERS: Final = 1
_SWITCH_INTERVAL_S: Final = 0.001
"""The default 5 ms would let the event loop make the sender late by a quarter of a packet."""


app = typer.Typer(add_completion=False)


@app.command()
def simulate(  # noqa: PLR0917 - each is an option of the command
    target: option.TargetOption = "udp:127.0.0.1:5060",  # type: ignore[assignment] # typer parses the default as well
    door: option.DoorOption = Door.MSR,
    calls: option.Calls = 1,
    seconds: option.Seconds = 10.0,
    check: option.Verify = False,
    state_dir: option.StateDirectory = None,
    config: option.Config = None,
    concurrency: option.Concurrency = 0,
    rate: option.Rate = 20.0,
    codec: option.Codec = Law.PCMU,
    srtp: option.Srtp = "",
    pause: option.Pauses = None,
    leak: option.Leak = False,
    loss: option.Loss = 0.0,
    reorder: option.Reorder = 0.0,
    duplicate_packets: option.DuplicatePackets = 0.0,
    duplicate: option.Duplicate = False,
    copy_loss: option.CopyLoss = "0",  # type: ignore[assignment] # typer parses the default as well
    record_route: option.RecordRoute = False,
    local_host: option.LocalHost = "",
    tls_ca: option.TlsCa = None,
    tls_certificate: option.TlsCertificate = None,
    tls_key: option.TlsKey = None,
    session_expires: option.SessionExpires = 1800,
    timeout: option.Timeout = 60.0,
    journal: option.JournalFile = None,
    seed: option.Seed = 1,
    as_json: option.AsJson = False,
) -> None:
    """Place calls as a Genesys Media Server or a SIPREC client would; verify what was recorded.

    Example: recorder simulate --target udp:127.0.0.1:5060 --calls 20 --seconds 10 --verify
    """
    pauses = tuple(sorted(pause or (), key=lambda one: one.at_s))
    _check_pauses(pauses, seconds)
    _check_copy_loss(copy_loss, seconds, duplicate=duplicate)
    _check_local(local_host)
    if journal is not None and not journal.absolute().parent.is_dir():
        raise typer.BadParameter(f"--journal {journal}: its directory does not exist")
    scenario = ScenarioOptions(
        door=door, calls=calls, seconds=seconds, law=codec, seed=seed, rate=rate, pauses=pauses,
        impairments=Impairments(loss / 100, reorder / 100, duplicate_packets / 100), srtp=_suite(srtp),
        copies=2 if duplicate else 1, copy_loss_s=copy_loss,
    )  # fmt: skip
    with _told():
        options = RunOptions(
            concurrency=concurrency, resource_manager=record_route, leak_while_paused=leak,
            session_expires_s=session_expires, local_host=local_host,
            tls=_tls(target, tls_ca, tls_certificate, tls_key),
        )  # fmt: skip
        # Before the first call: a missing recorder is then said at once.
        where = _find_catalog(config, state_dir) if check else None
        with _real_time():
            outcome, verdicts = asyncio.run(
                _run(scenario, target, options, where=where, timeout_s=timeout, journal=journal)
            )
    for line in json_lines(outcome, verdicts) if as_json else report_lines(outcome, verdicts, journal):
        typer.echo(line)
    raise typer.Exit(0 if all_good(outcome, verdicts) else _DIFFERS)


@contextmanager
def _told() -> Iterator[None]:
    """End the command with one line and its status when something cannot be done."""
    try:
        yield
    except (RecorderError, StorageError, OSError) as error:
        typer.echo(f"recorder simulate: {error}", err=True)
        raise typer.Exit(exit_code_of(error)) from None


def _tls(target: Target, authorities: Path | None, certificate: Path | None, key: Path | None) -> TlsSide | None:
    if target.transport != "tls":
        return None
    for path in (authorities, certificate, key):
        if path is not None:
            # The ssl module does not say which of them.
            with named(path, "give a readable PEM file"), path.open("rb"):
                pass
    try:
        return TlsSide.of(target.name, authorities=authorities, certificate=certificate, key=key)
    except OSError as error:
        raise typer.BadParameter(f"the files of --tls-ca, --tls-certificate and --tls-key: {error}") from None


def _suite(name: str) -> str:
    if name and name.upper() not in SUITES:
        raise typer.BadParameter(f"--srtp {name!r}: choose one of {', '.join(SUITES)}")
    return name.upper()


def _check_pauses(pauses: tuple[Pause, ...], seconds: float) -> None:
    end = 0.0
    for one in pauses:
        if one.at_s < end:
            raise typer.BadParameter(f"--pause {one.at_s:g}:{one.for_s:g} begins before the one before it has ended")
        end = one.at_s + one.for_s
    if end >= seconds:
        raise typer.BadParameter(f"--pause must end before the {seconds:g} s of the call; lengthen it with --seconds")


def _check_copy_loss(copy_loss: float, seconds: float, *, duplicate: bool) -> None:
    if copy_loss and not duplicate:
        raise typer.BadParameter("--copy-loss withholds from copies: give --duplicate as well")
    if copy_loss > seconds / 2:
        raise typer.BadParameter(
            f"--copy-loss {copy_loss:g} s is more than half of the {seconds:g} s of the call, so that both copies would"
            " lose the same; lengthen it with --seconds"
        )


def _check_local(host: str) -> None:
    try:
        ipaddress.ip_address(host or "127.0.0.1")
    except ValueError:
        raise typer.BadParameter(f"--local-host {host!r}: give an IP address") from None


def _find_catalog(config: Path | None, state_dir: Path | None) -> CliContext:
    settings = load_settings(config, {"state_dir": state_dir} if state_dir else {})
    return AdminContext(settings).storage_context()


@contextmanager
def _real_time() -> Iterator[None]:
    """Let the sending thread run when it is due, and open as many sockets as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _run(
    scenario: ScenarioOptions,
    target: Target,
    options: RunOptions,
    *,
    where: CliContext | None,
    timeout_s: float,
    journal: Path | None,
) -> tuple[RunOutcome, list[Verdict] | None]:
    """Run the calls; with `where`, compare the recordings. The catalog is opened first, so that a fault shows early."""
    async with AsyncExitStack() as stack:
        catalog = None
        if where is not None:
            catalog = await stack.enter_async_context(
                await Catalog.connect(where.dsn, max_size=2, application="tandem-simulate")
            )
        calls = plan_calls(scenario, started_at=datetime.now(UTC), run=secrets.token_hex(8))
        typer.echo(
            f"{scenario.calls} {scenario.door} calls of {scenario.seconds:g} s to {target}, {scenario.law},"
            f"{' each sent twice,' if scenario.copies > 1 else ''}"
            f" seed {scenario.seed}",
            err=True,
        )
        outcome = await run_calls(calls, target, options=options, observe=_progress(len(calls)))
        if journal is not None:
            outcome.journal.save(journal)
        if where is None or catalog is None:
            return outcome, None
        patience = Patience(limit_s=timeout_s, progress=_say_final)
        verdicts = await verify(outcome.journal, catalog, where.files_root, patience=patience)
        masters = await verify_masters(outcome.journal, catalog, where.files_root, patience=patience)
        return outcome, [*verdicts, *masters]


def _say_final(final: int, wanted: int) -> None:
    typer.echo(f"{final} of {wanted} recordings are final", err=True)


def _progress(calls: int) -> Callable[[Note], None]:
    """Return an observer that says how far the run is, about twenty times in all, and every failure."""
    counted = {"media-started": 0, "ended": 0}
    step = max(1, calls // 10)

    def observe(note: Note) -> None:
        if note.what in counted:
            counted[note.what] += 1
            if counted[note.what] % step == 0 or counted[note.what] == calls:
                verb = "answered" if note.what == "media-started" else "over"
                typer.echo(f"{counted[note.what]} of {calls} calls {verb}", err=True)
        elif note.what in {"refused", "failed", "bad-sdp", "media-moved"}:
            typer.echo(f"call {note.call}: {note.what}: {note.detail}", err=True)

    return observe
