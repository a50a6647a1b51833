"""Traces in the catalog: batches over several segments, fencing, and reading them again."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from storage.catalog import Catalog
from storage.catalog.records import SipMessageTrace
from storage.errors import StaleEpoch
from tests.integration.storage_samples import START, opening

pytestmark = pytest.mark.integration


def message(ms: int, text: bytes, *, inbound: bool = True) -> SipMessageTrace:
    return SipMessageTrace(
        at=START + timedelta(milliseconds=ms), inbound=inbound, flow="udp 192.0.2.40:5060 192.0.2.30:5060", message=text
    )


async def test_messages_of_several_segments_are_read_by_segment_and_time(catalog: Catalog, epoch: int) -> None:
    first = opening(epoch=epoch)
    second = opening(epoch=epoch)
    other = opening("OTHER001_2026-11-22_09-30-00", epoch=epoch)
    opened = [await catalog.open_segment(one) for one in (first, second, other)]
    assert opened[0].recording_id == opened[1].recording_id != opened[2].recording_id
    stored = await catalog.add_traces(
        [
            (second.segment_id, message(500, b"INVITE b")),
            (other.segment_id, message(0, b"INVITE c")),
            (first.segment_id, message(5, b"SIP/2.0 100", inbound=False)),
            (first.segment_id, message(0, b"INVITE \xff")),
            (first.segment_id, message(5, b"SIP/2.0 200", inbound=False)),
        ],
        epoch,
    )
    assert stored == {first.segment_id, second.segment_id, other.segment_id}
    traced = await catalog.read_trace(opened[0].recording_id)
    assert [(one.ordinal, one.message, one.inbound) for one in traced] == [
        (1, b"INVITE \xff", True),
        (1, b"SIP/2.0 100", False),
        (1, b"SIP/2.0 200", False),
        (2, b"INVITE b", True),
    ]
    assert (traced[0].segment_id, traced[0].at, traced[0].sip_call_id) == (first.segment_id, START, first.sip_call_id)


async def test_messages_of_a_segment_that_does_not_exist_yet_are_left_out_and_told(
    catalog: Catalog, epoch: int
) -> None:
    known, unknown = opening(epoch=epoch), uuid4()
    opened = await catalog.open_segment(known)
    stored = await catalog.add_traces([(unknown, message(0, b"a")), (known.segment_id, message(0, b"b"))], epoch)
    assert stored == {known.segment_id}
    assert [one.message for one in await catalog.read_trace(opened.recording_id)] == [b"b"]


async def test_a_batch_that_is_written_twice_is_read_once(catalog: Catalog, epoch: int) -> None:
    known = opening(epoch=epoch)
    opened = await catalog.open_segment(known)
    for _ in range(2):
        await catalog.add_traces([(known.segment_id, message(0, b"a"))], epoch)
    assert len(await catalog.read_trace(opened.recording_id)) == 1


async def test_a_former_frontend_adds_nothing(catalog: Catalog, epoch: int) -> None:
    known = opening(epoch=epoch)
    opened = await catalog.open_segment(known)
    await catalog.acquire_lease(holder="successor")
    with pytest.raises(StaleEpoch):
        await catalog.add_traces([(known.segment_id, message(0, b"a"))], epoch)
    assert await catalog.read_trace(opened.recording_id) == ()
