"""Reads the whole audit log: is its chain unbroken up to its head, and does it hold what others know of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from storage.catalog import Catalog
from storage.integrity import Anchor, ChainCheck, ChainEntry, ChainFault


async def check_log(catalog: Catalog, anchors: Sequence[tuple[str, Anchor]]) -> tuple[ChainCheck, list[ChainFault]]:
    """Check the log in the catalog; `anchors` have names for messages."""
    # The head first: what is appended meanwhile is read as well, and must follow from it.
    head = await catalog.audit.head()
    check = ChainCheck()
    faults = await check_entries(catalog.audit.read(), check, [*anchors, ("the head", head)])
    latest = await catalog.audit.head()
    if latest.number <= check.number:
        check.ends_at(latest.number, latest.digest)
    return check, [*check.faults, *faults]


async def check_entries(
    entries: AsyncIterator[ChainEntry], check: ChainCheck, anchors: Sequence[tuple[str, Anchor]]
) -> list[ChainFault]:
    """Feed all entries; return what contradicts an anchor."""
    digests: dict[int, bytes] = {0: check.digest}
    wanted = {anchor.number for _, anchor in anchors}
    async for entry in entries:
        check.feed(entry)
        if entry.number in wanted:
            digests[entry.number] = entry.digest
    return [
        ChainFault(anchor.number, f"{name} says {anchor.digest.hex()[:16]}..., the log something else or nothing")
        for name, anchor in anchors
        if digests.get(anchor.number) != anchor.digest
    ]
