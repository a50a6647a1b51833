"""A call that reaches the recorder twice, under two record identifiers, as a Media Server duplicates it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from recorder.state_dir import StateDir
from tests.kit.call import Call
from tests.kit.running import FINISHED_LIMIT_S, RunningRecorder, eventually
from tests.kit.sip_client import LOOPBACK, msr_uri

_DUE: Final = "SELECT count(*) FROM recordings WHERE record_identifier = ANY ($1) AND pairing_due"


def call_uuid() -> str:
    """Return a Call UUID of the usual form."""
    return secrets.token_hex(16).upper()


def copy_of_call(
    recorder: RunningRecorder,
    uuid: str,
    number: int,
    audio: Sequence[Sequence[bytes]],
    *,
    payload_type: int = 0,
    record_dn: str = "5550100",
    dn: str = "5550100",
    other_dn: str = "5550111",
    conn_id: str = "",
) -> Call:
    """Return one copy of a call: what differs is the record identifier, what is equal names the call.

    Args:
        recorder: to send it to.
        uuid: of the call.
        number: of the copy.
        audio: per party, what it says: frames of 20 ms.
        payload_type: 0 for PCMU, 8 for PCMA.
        record_dn: the recorded party.
        dn: of the first stream.
        other_dn: of the second stream.
        conn_id: T-lib connection id; one of its own without it.

    """
    identifier = f"{uuid}_2030-01-15_09-30-{number:02d}"
    call = Call(recorder, identifier=identifier, audio=audio, payload_type=payload_type)
    call.dialog.uri = msr_uri(
        identifier,
        recorder.sip_port,
        lambda _: (
            f"calluuid={uuid};dn={dn};otherdn={other_dn};agentid=agent-0001;ani=5550111;"
            f"connid={conn_id or secrets.token_hex(8)};recorddn={record_dn};sipsappname=SIP_Example;media-id={uuid}"
        ),
    )
    assert call.dialog.uri.startswith(f"sip:record={identifier}@{LOOPBACK}")
    return call


def group_of(recorder: RunningRecorder, identifier: str) -> dict[str, Any] | None:
    """Return what `recordings show` says of the copies of a recording."""
    found: dict[str, Any] | None = recorder.admin("recordings", "show", identifier)["copies"]
    return found


def pair_of(recorder: RunningRecorder, one: str, other: str) -> dict[str, Any] | None:
    """Return the pair of two record identifiers, None while there is none."""
    group = group_of(recorder, one)
    if not group:
        return None
    ids = {member["id"] for member in group["members"] if member["record_identifier"] in {one, other}}
    return next((pair for pair in group["pairs"] if {pair["one"], pair["other"]} == ids), None)


def looked_at(recorder: RunningRecorder, *identifiers: str) -> bool:
    """Return whether partners of these recordings have been looked for since they last changed."""
    running = StateDir(recorder.state_dir).read_running()
    assert running

    async def due() -> int:
        connection = await asyncpg.connect(running.dsn)
        try:
            return int(await connection.fetchval(_DUE, list(identifiers)))
        finally:
            await connection.close()

    return asyncio.run(due()) == 0


def decided(recorder: RunningRecorder, one: str, other: str, *, limit_s: float = FINISHED_LIMIT_S) -> dict[str, Any]:
    """Wait until a pair is decided and return it."""

    def probe() -> dict[str, Any] | None:
        pair = pair_of(recorder, one, other)
        return pair if pair and pair["state"] != "candidate" else None

    return eventually(probe, limit_s=limit_s, what=f"{one} and {other} decided", detail=recorder.log_tail)


def master_of(recorder: RunningRecorder, *identifiers: str, limit_s: float = FINISHED_LIMIT_S) -> dict[str, Any]:
    """Wait until one healed master stands for all of these and return everything about it."""

    def probe() -> dict[str, Any] | None:
        shown = [recorder.admin("recordings", "show", identifier) for identifier in identifiers]
        masters = {one["master_id"] for one in shown}
        if len(masters) != 1 or None in masters:
            return None
        master: dict[str, Any] = recorder.admin("recordings", "show", masters.pop())
        sources = {source["id"] for source in master["copies"]["members"] if source["given_s"] is not None}
        return master if sources >= {one["id"] for one in shown} else None

    return eventually(probe, limit_s=limit_s, what=f"a master of {identifiers}", detail=recorder.log_tail)
