"""The commands of `recorder`: run the recorder, check its settings, simulate a Media Server against it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from recorder.config import load_settings
from recorder.edge.files import read_files
from recorder.edge.users import lines_of
from recorder.errors import ConfigError, RecorderError
from recorder.logs import configure_logging
from recorder.stores import check_directories, check_storage
from recorder.supervisor.supervisor import Supervisor
from storage.cli.on_demand import on_demand

# Loaded when they are called: no recorder starts later for what only trials need.
_TRIALS: Final = {"simulate": "recorder.simulator.command:app", "lab": "recorder.lab.command:app"}


app = typer.Typer(
    cls=on_demand(_TRIALS),
    name="recorder",
    help="Tandem, the call recorder server. Administer it with recorder-admin.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

ConfigPath = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML settings; defaults and RECORDER_* variables without it.")
]
StateDirOption = Annotated[Path | None, typer.Option(help="Directory for everything the recorder writes.")]


def _fail(error: RecorderError) -> NoReturn:
    for line in str(error).splitlines():
        print(f"recorder: {line}", file=sys.stderr)
    raise typer.Exit(error.exit_code)


def _overrides(state_dir: Path | None, sip_port: int | None, http_port: int | None) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    if state_dir is not None:
        wanted["state_dir"] = state_dir
    if sip_port is not None:
        wanted["sip"] = {"port": sip_port}
    if http_port is not None:
        wanted["http"] = {"port": http_port}
    return wanted


@app.command()
def run(
    config: ConfigPath = None,
    state_dir: StateDirOption = None,
    sip_port: Annotated[int | None, typer.Option(help="SIP port, UDP and TCP.")] = None,
    http_port: Annotated[int | None, typer.Option(help="Port of health and metrics; 0 switches them off.")] = None,
) -> None:
    """Start the recorder and stay until SIGTERM; the first signal drains, a second one hurries."""
    try:
        settings = load_settings(config, _overrides(state_dir, sip_port, http_port))
        check_storage(settings)
        configure_logging(settings.log, role="supervisor", name="supervisor")
        asyncio.run(Supervisor(settings).run())
    except RecorderError as error:
        _fail(error)


@app.command()
def check_config(config: ConfigPath = None) -> None:
    """Check the settings and the files they name, without starting anything; every fault comes with its remedy."""
    try:
        settings = load_settings(config)
        read_files(settings)
        check_storage(settings)
        check_directories(settings)
    except ConfigError as error:
        _fail(error)
    print(f"settings are valid; state directory {settings.state_dir}")


@app.command()
def hash_password(
    user: Annotated[str, typer.Argument(help="User name, without colons.")],
    realm: Annotated[str, typer.Option(help="As in access.digest_realm.")] = "tandem",
) -> None:
    """Print the lines of a user for the file that access.digest_users names; the password itself is not kept.

    Example: recorder hash-password sbc1 --realm tandem >> /etc/tandem/users
    """
    if not user or ":" in user or not user.isprintable():
        raise typer.BadParameter(f"{user!r}: a user name is printable and has no colon")
    # Asked for on standard error: standard output is the file. Never an option, which other users could see.
    password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    for line in lines_of(user, realm=realm, password=password):
        print(line)
