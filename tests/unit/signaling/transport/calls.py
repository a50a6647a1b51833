"""Requests that the transport tests send, a transaction user that accepts everything, and established calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from signaling.useragent import ByeReceived, Event, InviteReceived, OptionsReceived
from tests.unit.signaling.useragent.peer import ANSWER, OFFER, SDP, request

from .server import Datagrams, Served, serving, until


def answering(served: Served, event: Event) -> None:
    """Accept every call and answer every question, as a transaction user does."""
    now = asyncio.get_running_loop().time()
    match event:
        case OptionsReceived() | ByeReceived():
            served.agent.respond(event.request_id, 200, now=now)
        case InviteReceived():
            served.agent.respond(event.request_id, 200, body=ANSWER, content_type=SDP, now=now)
        case _:
            pass


def options(port: int, *, transport: str = "UDP", branch: str = "z9hG4bK1") -> bytes:
    """Return an OPTIONS outside of a dialog."""
    via = f"SIP/2.0/{transport} 127.0.0.1:{port};rport"
    return request("OPTIONS", via=via, branch=branch, cseq="1 OPTIONS", call_id=branch)


def invite(port: int, *, transport: str = "UDP", contact: str | None = None) -> bytes:
    """Return an INVITE whose peer wants requests at `contact`."""
    via = f"SIP/2.0/{transport} 127.0.0.1:{port};rport"
    contact = contact or f"<sip:src@127.0.0.1:{port}>"
    return request("INVITE", via=via, branch="z9hG4bKi", cseq="1 INVITE", contact=contact, body=OFFER)


def acknowledging(accepted: bytes) -> bytes:
    """Return the ACK of a 2xx."""
    return request("ACK", branch="z9hG4bKa", cseq="1 ACK", to=to_of(accepted))


def to_of(response: bytes) -> str:
    """Return the To value of a response."""
    return response.partition(b"\r\nTo: ")[2].partition(b"\r\n")[0].decode()


async def dialog_of(served: Served) -> str:
    """Wait until the INVITE is known and acknowledged; return the dialog."""
    event = await served.event(InviteReceived)
    assert isinstance(event, InviteReceived)
    await until(lambda: served.agent.state(event.dialog_id).answers[0].acknowledged)
    return event.dialog_id


@asynccontextmanager
async def call(contact: str, **options_: Any) -> AsyncIterator[tuple[Served, str]]:
    """Serve, and hold a call over UDP whose peer wants requests at `contact`."""
    async with serving(answer=answering, **options_) as served:
        with Datagrams(served.port("udp")) as src:
            src.send(invite(src.port, contact=contact))
            await src.receive()
            accepted, _ = await src.receive()
            src.send(acknowledging(accepted))
            yield served, await dialog_of(served)


def ask(served: Served, dialog_id: str) -> str:
    """Send an OPTIONS inside the dialog."""
    request_id = served.agent.options(dialog_id, asyncio.get_running_loop().time())
    served.transport.flush()
    return request_id
