"""The transport as a whole: datagrams, the timer, what cannot be delivered, beginning and end."""

from __future__ import annotations

import asyncio
import socket

import pytest

from signaling.dialog.flow import Destination, Flow
from signaling.errors import LocalProtocolError
from signaling.transport import SipTransport
from signaling.useragent import DialogEnded, Event, RequestTimedOut, Timers
from tests.unit.signaling.useragent.peer import request

from .calls import acknowledging, answering, ask, call, dialog_of, invite, options, to_of
from .server import Datagrams, Stream, listening, serving, until

FAST = Timers(t1=0.02, t2=0.08, t4=0.1)


async def test_a_call_over_udp() -> None:
    async with serving(answer=answering) as served:
        with Datagrams(served.port("udp")) as src:
            src.send(invite(src.port))
            trying, _ = await src.receive()
            accepted, source = await src.receive()
            assert (trying[:11], accepted[:11]) == (b"SIP/2.0 100", b"SIP/2.0 200")
            assert source == ("127.0.0.1", served.port("udp"))
            src.send(acknowledging(accepted))
            via = f"SIP/2.0/UDP 127.0.0.1:{src.port}"
            src.send(request("BYE", via=via, branch="z9hG4bKb", cseq="2 BYE", to=to_of(accepted)))
            ended, _ = await src.receive()
            assert ended.startswith(b"SIP/2.0 200")
            await served.event(DialogEnded)


async def test_timers_of_the_agent_run() -> None:
    """C5: the 2xx is repeated while nobody acknowledges it."""
    async with serving(answer=answering, timers=FAST) as served:
        with Datagrams(served.port("udp")) as src:
            src.send(invite(src.port))
            received = [(await src.receive())[0] for _ in range(4)]
    assert received[0].startswith(b"SIP/2.0 100")
    assert received[1] == received[2] == received[3]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_name_that_cannot_be_resolved_ends_the_request(transport: str) -> None:
    async def nobody(_: Destination) -> tuple[str, int]:
        raise OSError("unknown")

    contact = f"<sip:src@sbc.example.com;transport={transport}>"
    async with call(contact, resolve=nobody) as (served, dialog_id):
        request_id = ask(served, dialog_id)
        assert await served.event(RequestTimedOut) == RequestTimedOut(request_id, dialog_id, "transport")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_host_that_is_no_name_ends_the_request(transport: str) -> None:
    contact = f"<sip:src@{'a' * 70}.example.com;transport={transport}>"
    async with call(contact) as (served, dialog_id):
        request_id = ask(served, dialog_id)
        assert await served.event(RequestTimedOut) == RequestTimedOut(request_id, dialog_id, "transport")


async def test_a_name_is_resolved_for_datagrams() -> None:
    with Datagrams(0) as target:

        async def resolve(_: Destination) -> tuple[str, int]:
            return "127.0.0.1", target.port

        async with call("<sip:src@sbc.example.com>", resolve=resolve) as (served, dialog_id):
            ask(served, dialog_id)
            data, source = await target.receive()
            assert data.startswith(b"OPTIONS sip:src@sbc.example.com SIP/2.0")
            assert source == ("127.0.0.1", served.port("udp"))


async def test_a_datagram_that_is_too_large_to_send_ends_the_request() -> None:
    async with call("<sip:src@127.0.0.1:9;transport=udp>") as (served, dialog_id):
        prepared = served.agent.prepare_request(dialog_id, "INFO", body=bytes(70_000), content_type="a/b")
        served.agent.send(prepared, asyncio.get_running_loop().time())
        served.transport.flush()
        assert await served.event(RequestTimedOut) == RequestTimedOut(prepared.request_id, dialog_id, "transport")


async def test_a_peer_of_a_family_without_socket_ends_the_request() -> None:
    async with call("<sip:src@[2001:db8::1];transport=udp>") as (served, dialog_id):
        request_id = ask(served, dialog_id)
        assert await served.event(RequestTimedOut) == RequestTimedOut(request_id, dialog_id, "transport")


async def test_a_failing_task_stays_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: Destination) -> tuple[str, int]:
        raise RuntimeError("a resolver with a bug")

    async with call("<sip:src@sbc.example.com>", resolve=broken) as (served, dialog_id):
        ask(served, dialog_id)
        await until(lambda: "a task of the SIP transport failed" in caplog.text)
        with Datagrams(served.port("udp")) as src:
            src.send(options(src.port))
            assert (await src.receive())[0].startswith(b"SIP/2.0 200")


async def test_before_serve_the_agents_words_are_kept() -> None:
    """A standby holds the sockets unread; its agent may have something to say before it serves."""
    sock = listening(socket.SOCK_DGRAM)
    async with serving() as helper:
        with Datagrams(sock.getsockname()[1]) as src:
            flow = ("127.0.0.1", sock.getsockname()[1])
            transport = SipTransport(helper.agent, deliver=lambda events: None)
            helper.agent.receive(
                request("REGISTER", via="SIP/2.0/UDP 127.0.0.1;rport", branch="z9hG4bK1", cseq="1 REGISTER"),
                Flow("udp", flow, ("127.0.0.1", src.port)),
                0.0,
            )
            transport.flush()
            await transport.serve(udp=[sock])
            data, source = await src.receive()
            assert data.startswith(b"SIP/2.0 405")
            assert source == flow
        await transport.aclose(close_listening=True)
    assert sock.fileno() == -1


async def test_after_aclose_the_sockets_live_on_for_a_successor() -> None:
    udp, tcp = listening(socket.SOCK_DGRAM), listening()
    async with serving() as helper:

        def deliver(events: list[Event]) -> None:
            for event in events:
                answering(helper, event)

        transport = SipTransport(helper.agent, deliver=deliver)
        await transport.serve(udp=[udp], tcp=[tcp])
        async with await Stream.to(tcp.getsockname()[1]) as src:
            src.send(options(src.local[1], transport="TCP"))
            await src.message()
            await transport.aclose()
            assert await src.closed()
        async with await Stream.to(tcp.getsockname()[1]) as waiting:
            with Datagrams(udp.getsockname()[1]) as peer:
                peer.send(options(peer.port, branch="z9hG4bKu"))
                waiting.send(options(waiting.local[1], transport="TCP", branch="z9hG4bKt"))
                successor = SipTransport(helper.agent, deliver=deliver)
                await successor.serve(udp=[udp], tcp=[tcp])
                assert (await peer.receive())[0].startswith(b"SIP/2.0 200")
                assert (await waiting.message()).startswith(b"SIP/2.0 200")
        await successor.aclose(close_listening=True)
    assert (udp.fileno(), tcp.fileno()) == (-1, -1)


async def test_it_serves_only_once() -> None:
    async with serving() as served:
        with pytest.raises(LocalProtocolError):
            await served.transport.serve()


async def test_closing_is_no_news_for_dialogs() -> None:
    """Whoever goes on with the sockets goes on with the dialogs."""
    async with serving(answer=answering) as served, await Stream.to(served.port("tcp")) as src:
        port = src.local[1]
        src.send(invite(port, transport="TCP", contact=f"<sip:src@127.0.0.1:{port};transport=tcp>"))
        await src.message()
        src.send(acknowledging(await src.message()))
        dialog_id = await dialog_of(served)
        ask(served, dialog_id)
        assert (await src.message()).startswith(b"OPTIONS ")
        served.events.clear()
        await served.transport.aclose()
        assert served.events == []
        assert served.agent.dialogs() == [dialog_id]


async def test_an_event_handler_may_give_commands_and_flush() -> None:
    def hasty(served: object, event: Event) -> None:
        answering(served, event)  # type: ignore[arg-type]
        served.transport.flush()  # type: ignore[attr-defined]

    async with serving(answer=hasty) as served:
        with Datagrams(served.port("udp")) as src:
            src.send(options(src.port))
            assert (await src.receive())[0].startswith(b"SIP/2.0 200")
