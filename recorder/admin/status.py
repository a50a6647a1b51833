"""`recorder-admin status`: the processes of the running recorder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from recorder.admin.context import state_dir_of
from recorder.control import ask
from recorder.errors import NotRunningError
from storage.catalog import Catalog
from storage.cli.context import report
from storage.errors import StorageError

_CATALOG_S: Final = 3.0
_COLUMNS: Final = ("role", "name", "pid", "state", "restarts")


def status(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")] = False,
) -> None:
    """Show the processes of the running recorder, their states and figures.

    Example: recorder-admin --state-dir /var/lib/tandem-recorder status --json
    """
    state_dir = state_dir_of(ctx)
    try:
        answer = ask(state_dir, "status")
    except NotRunningError as error:
        report(error, as_json=as_json)
        raise typer.Exit(error.exit_code) from None
    if not answer["site"]["alone"]:
        answer["site"].update(asyncio.run(_site(ctx, answer["site"])))
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    _print(answer)


async def _site(ctx: typer.Context, site: Mapping[str, str]) -> dict[str, Any]:
    """Return who has the lease and which hosts there are; only the fault where the catalog does not say."""
    try:
        async with await Catalog.expect(ctx.obj.storage_context().dsn, max_size=1, timeout_s=_CATALOG_S) as catalog:
            lease = await catalog.sites.see(site["lease"])
            nodes = await catalog.sites.nodes(site["name"])
    except StorageError as error:
        return {"unknown": str(error)}
    return {
        "holder": lease.holder if lease else "",
        "epoch": lease.epoch if lease else 0,
        "nodes": [
            {
                "node": row.node,
                "state": row.state,
                "endpoint": row.endpoint,
                "writers": len(row.writers),
                "silent_s": round(row.silent_s, 1),
            }
            for row in nodes
        ],
    }


def _print_site(console: Console, site: Mapping[str, Any]) -> None:
    if "unknown" in site:
        console.print(f"Site {site['name']}: {site['unknown']}", highlight=False)
        return
    console.print(f"Site {site['name']}: held by {site['holder'] or 'nobody'}, epoch {site['epoch']}", highlight=False)
    table = Table("host", "state", "endpoint", "writers", "heard before", box=None)
    for row in site["nodes"]:
        table.add_row(row["node"], row["state"], row["endpoint"], str(row["writers"]), f"{row['silent_s']} s")
    console.print(table)


def _print(answer: dict[str, Any]) -> None:
    console = Console()
    sip, http = answer["sip"], answer["http"]
    console.print(
        f"Tandem {answer['version']} on {answer['node']}: {answer['state']} since {answer['started_at']}",
        highlight=False,
    )
    console.print(
        f"SIP {'+'.join(sip['transports'])} {sip['host']}:{sip['port']}"
        f"   HTTP {http['host']}:{http['port'] or 'off'}"
        f"   PostgreSQL {'embedded' if answer['database']['embedded'] else 'external'}"
        f"   state {answer['state_dir']}",
        highlight=False,
    )
    if not answer["site"]["alone"]:
        _print_site(console, answer["site"])
    table = Table(*_COLUMNS, "figures", box=None)
    for process in answer["processes"]:
        figures = "  ".join(f"{key} {value}" for key, value in process.items() if key not in _COLUMNS)
        table.add_row(*(str(process[column] if process[column] is not None else "-") for column in _COLUMNS), figures)
    console.print(table)
