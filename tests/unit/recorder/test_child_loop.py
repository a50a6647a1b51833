"""What a process says of errors that nobody catches."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop
from structlog.testing import capture_logs

from recorder.channel import Channel
from recorder.child_loop import ChildLoop


@asynccontextmanager
async def started() -> AsyncIterator[asyncio.AbstractEventLoop]:
    """A loop that listens to a supervisor."""
    ours, theirs = Channel.pair()
    loop = asyncio.get_running_loop()
    ChildLoop(theirs).start()
    try:
        yield loop
    finally:
        loop.remove_reader(theirs.socket.fileno())
        loop.remove_signal_handler(signal.SIGTERM)
        ours.close()
        theirs.close()


def test_a_connection_lost_while_it_is_written_to_is_told_without_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with started() as loop:
            server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
            transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
            server.close()
            transport.abort()
            await asyncio.sleep(0)
            # Uvloop's own words; its TLS hands them to the loop when it writes to what is lost.
            with pytest.raises(RuntimeError) as lost:
                transport.write(b"late")
            loop.call_exception_handler({"message": "Fatal error on SSL protocol", "exception": lost.value})

    with capture_logs() as lines, caplog.at_level(logging.INFO):
        uvloop.run(scenario())
    assert [line["event"] for line in lines] == ["connection was lost before all was written"]
    assert not caplog.records


def test_any_other_error_keeps_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with started() as loop:
            loop.call_exception_handler({"message": "broken", "exception": RuntimeError("why")})

    uvloop.run(scenario())
    assert [record.getMessage().splitlines()[0] for record in caplog.records] == ["broken"]
    assert caplog.records[0].exc_info
