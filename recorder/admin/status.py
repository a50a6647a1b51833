"""`recorder-admin status`: the processes of the running recorder."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from recorder.admin.asking import ask_recorder
from recorder.admin.context import AdminContext, admin_context_of
from recorder.errors import NotRunningError
from storage.catalog import Catalog
from storage.catalog.views import Workload, iso_utc
from storage.cli.context import make_console
from storage.cli.options import JsonObject
from storage.cli.presentation import age, moment, size_text
from storage.errors import StorageError

_CATALOG_S: Final = 3.0
_COLUMNS: Final = ("role", "name", "pid", "state", "restarts")


def status(
    ctx: typer.Context,
    local: Annotated[bool, typer.Option("--local", help="Ask this host's processes only, not the catalog.")] = False,
    as_json: JsonObject = False,
) -> None:
    """Show what is recorded, what waits, how full the disks are, and the processes with their figures.

    Example: recorder-admin --state-dir /var/lib/tandem-recorder status --json
    """
    answer = ask_recorder(ctx, "status", as_json=as_json)
    _complete(answer, admin_context_of(ctx), local=local)
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    _print(answer)


def disks(places: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Return how much is free where finished files and captures lie.

    The first place is made with the first file: until then its parent counts. Another one that does not exist may be a
    disk that is not mounted, and is left out.
    """
    found = []
    for number, (name, path) in enumerate(places.items()):
        standing = path if number or path.is_dir() else path.parent
        if standing.is_dir():
            facts = shutil.disk_usage(standing)
            found.append({"what": name, "path": str(path), "total_bytes": facts.total, "free_bytes": facts.free})
    return found


def _complete(answer: dict[str, Any], admin: AdminContext, *, local: bool) -> None:
    """Add disks, and what the catalog knows."""
    answer["disks"] = []
    try:
        context = admin.storage_context()
    except NotRunningError as error:  # it starts, and has not said yet where its catalog is
        _unknown(answer, str(error))
        return
    answer["disks"] = disks({**context.roots, "captures": admin.state_dir.captures})
    if local:
        _unknown(answer, "not asked")
    else:
        asyncio.run(_add_from_catalog(answer, context.dsn))


def _unknown(answer: dict[str, Any], why: str) -> None:
    answer["work"] = answer["takeover"] = {"unknown": why}
    if not answer["site"]["alone"]:
        answer["site"]["unknown"] = why


async def _add_from_catalog(answer: dict[str, Any], dsn: str) -> None:
    """Add work, lease and hosts as the catalog has them; only the fault where it does not answer."""
    site = answer["site"]
    try:
        async with await Catalog.expect(dsn, max_size=1, timeout_s=_CATALOG_S) as catalog:
            workload = await catalog.workload(site["lease"])
            answer["work"] = work_json(workload)
            answer["takeover"] = takeover_json(workload)
            if not site["alone"]:
                site.update(await _site(catalog, site))
    except StorageError as error:
        _unknown(answer, str(error))


def work_json(workload: Workload) -> dict[str, Any]:
    """Return the documented form of what waits and runs."""
    return {
        "open_sessions": workload.open_segments,
        "jobs_queued": workload.queued,
        "jobs_due": workload.due,
        "oldest_due_s": _rounded(workload.oldest_due_s),
        "jobs_running": workload.running,
        "longest_running_s": _rounded(workload.longest_running_s),
        "jobs_dead": workload.dead,
    }


def takeover_json(workload: Workload) -> dict[str, Any]:
    """Return the documented form of the last takeover."""
    return {
        "holder": workload.holder,
        "epoch": workload.epoch,
        "at": iso_utc(workload.acquired_at),
        "since_s": _rounded(workload.held_s),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


async def _site(catalog: Catalog, site: Mapping[str, str]) -> dict[str, Any]:
    """Return who has the lease and which hosts there are."""
    lease = await catalog.sites.see(site["lease"])
    nodes = await catalog.sites.nodes(site["name"])
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
        console.print(f"Site {site['name']}: {site['unknown']}")
        return
    console.print(f"Site {site['name']}: held by {site['holder'] or 'nobody'}, epoch {site['epoch']}")
    table = Table("host", "state", "endpoint", "writers", "heard before", box=None)
    for row in site["nodes"]:
        table.add_row(row["node"], row["state"], row["endpoint"], str(row["writers"]), f"{row['silent_s']} s")
    console.print(table)


def _print_work(console: Console, work: Mapping[str, Any], takeover: Mapping[str, Any]) -> None:
    if "unknown" in work:
        console.print(f"Catalog: {work['unknown']}")
        return
    due = f", the oldest due for {age(work['oldest_due_s'])}" if work["jobs_due"] else ""
    longest = f" (for {age(work['longest_running_s'])})" if work["jobs_running"] else ""
    dead = f", {work['jobs_dead']} dead: see `jobs list --state dead`" if work["jobs_dead"] else ", none dead"
    console.print(
        f"Sessions: {work['open_sessions']} recorded now   Jobs: {work['jobs_queued']} queued{due}, "
        f"{work['jobs_running']} running{longest}{dead}",
    )
    if takeover["at"] is not None:
        console.print(
            f"Last takeover: {age(takeover['since_s'])} ago, epoch {takeover['epoch']}",
        )


def _print(answer: dict[str, Any]) -> None:
    console = make_console()
    sip, http = answer["sip"], answer["http"]
    console.print(
        f"Tandem {answer['version']} on {answer['node']}: {answer['state']} since "
        f"{moment(datetime.fromisoformat(answer['started_at']))} UTC",
    )
    console.print(
        f"SIP {'+'.join(sip['transports'])} {sip['host']}:{sip['port']}"
        f"   HTTP {http['host']}:{http['port'] or 'off'}"
        f"   PostgreSQL {'embedded' if answer['database']['embedded'] else 'external'}"
        f"   state {answer['state_dir']}",
    )
    _print_work(console, answer["work"], answer["takeover"])
    console.print(
        "Disk: "
        + "   ".join(
            f"{disk['what']} {size_text(disk['free_bytes'])} free of {size_text(disk['total_bytes'])}"
            for disk in answer["disks"]
        ),
    )
    if not answer["site"]["alone"]:
        _print_site(console, answer["site"])
    table = Table(*_COLUMNS, "figures", box=None)
    for process in answer["processes"]:
        figures = "  ".join(f"{key} {value}" for key, value in process.items() if key not in _COLUMNS and value != "")
        table.add_row(*(str(process[column] if process[column] is not None else "-") for column in _COLUMNS), figures)
    console.print(table)
