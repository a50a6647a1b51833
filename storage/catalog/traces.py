"""SIP messages of sessions: written in batches by the frontend, read again for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from storage.catalog.connection import Database, LeaseLost
from storage.catalog.records import SipMessageTrace
from storage.catalog.text import storable
from storage.catalog.views import TracedMessage
from storage.errors import StaleEpoch

MAX_READ: Final = 20_000
"""Messages of one recording that are read at once; a session that is refreshed every 90 s needs ten days for them."""


async def add_traces(
    database: Database, messages: Sequence[tuple[UUID, SipMessageTrace]], *, lease: str, epoch: int
) -> set[UUID]:
    """Append messages to the traces of their segments; returns the segments that exist."""
    traced = [message for _, message in messages]
    try:
        rows = await database.rows(
            "add_traces",
            lease,
            epoch,
            [segment for segment, _ in messages],
            [message.at for message in traced],
            [message.inbound for message in traced],
            [storable(message.flow) for message in traced],
            [message.message for message in traced],
        )
    except LeaseLost as error:
        raise StaleEpoch(lease, epoch) from error
    return {UUID(str(row["segment_id"])) for row in rows}


async def read_trace(database: Database, recording_id: UUID) -> tuple[TracedMessage, ...]:
    """Return the messages of a recording in the order of segments and time; one that was stored twice once."""
    rows = await database.rows("trace_of", recording_id, MAX_READ)
    found = (TracedMessage(**{**row, "segment_id": UUID(str(row["segment_id"]))}) for row in rows)
    return tuple(dict.fromkeys(found))
