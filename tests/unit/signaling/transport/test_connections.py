"""TCP and TLS: framing, keep-alive, re-use, new connections, limits, certificates."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from signaling.dialog.state import decode_snapshot, encode_snapshot
from signaling.transport import SipTransport, StreamLimits
from signaling.transport.connections import ConnectionTable
from signaling.transport.resolver import resolve_host
from signaling.transport.stream import StreamConnection
from signaling.useragent import Destination, Event, Flow, InviteReceived, OptionsReceived, Outgoing, RequestTimedOut
from tests.kit.certificates import Authority

from .calls import acknowledging, answering, ask, call, dialog_of, invite, options
from .server import PATIENCE, Served, Stream, listening, serving, until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def server_context(authority: Authority, name: str = "server") -> ssl.SSLContext:
    pair = authority.sign(name, alternative=("127.0.0.1", "localhost"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


@asynccontextmanager
async def peer_server(context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, asyncio.Queue[Stream]]]:
    """Listen as a peer; give the port and the connections that come."""
    came: asyncio.Queue[Stream] = asyncio.Queue()
    accepted: list[Stream] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(Stream(reader, writer))
        came.put_nowait(accepted[-1])

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], came
    finally:
        server.close()
        for stream in accepted:
            await stream.close()
        await server.wait_closed()


async def next_of(came: asyncio.Queue[Stream]) -> Stream:
    async with asyncio.timeout(PATIENCE):
        return await came.get()


async def test_several_messages_in_one_segment_and_one_in_several() -> None:
    async with serving(answer=answering) as served, await Stream.to(served.port("tcp")) as src:
        first, second = (options(src.local[1], transport="TCP", branch=f"z9hG4bK{n}") for n in (1, 2))
        src.send(first + second[:50])
        assert b"branch=z9hG4bK1" in await src.message()
        src.send(second[50:])
        assert b"branch=z9hG4bK2" in await src.message()


async def test_a_double_crlf_is_answered_with_a_single_one() -> None:
    """C26, RFC 5626 §4.4.1."""
    async with serving(answer=answering) as served, await Stream.to(served.port("tcp")) as src:
        src.send(b"\r\n\r\n")
        assert await src.exactly(2) == b"\r\n"
        src.send(options(src.local[1], transport="TCP"))
        assert (await src.message()).startswith(b"SIP/2.0 200")


async def test_a_stream_without_boundaries_is_answered_and_closed() -> None:
    """C2: a stream transport needs Content-Length."""
    async with serving() as served, await Stream.to(served.port("tcp")) as src:
        src.send(options(src.local[1], transport="TCP").replace(b"Content-Length: 0\r\n", b""))
        assert (await src.exactly(11)) == b"SIP/2.0 400"
        await src.closed()


async def test_a_message_beyond_the_limit_is_answered_and_closed() -> None:
    async with serving(limits=StreamLimits(message=2000)) as served, await Stream.to(served.port("tcp")) as src:
        src.send(options(src.local[1], transport="TCP").replace(b"Content-Length: 0", b"Content-Length: 99999"))
        assert (await src.exactly(11)) == b"SIP/2.0 513"
        await src.closed()


async def test_requests_go_back_on_the_connection_of_a_peer_with_an_ephemeral_contact() -> None:
    """E12."""
    async with serving(answer=answering) as served, await Stream.to(served.port("tcp")) as src:
        port = src.local[1]
        src.send(invite(port, transport="TCP", contact=f"<sip:src@127.0.0.1:{port};transport=tcp>"))
        await src.message()
        src.send(acknowledging(await src.message()))
        ask(served, await dialog_of(served))
        assert (await src.message()).startswith(b"OPTIONS ")


async def test_a_peer_that_cannot_be_reached_at_its_contact_is_reached_by_its_own_connection() -> None:
    with listening() as nobody:
        port = nobody.getsockname()[1]
    async with serving(answer=answering) as served, await Stream.to(served.port("tcp")) as src:
        src.send(invite(port, transport="TCP", contact=f"<sip:src@127.0.0.1:{port};transport=tcp>"))
        await src.message()
        src.send(acknowledging(await src.message()))
        ask(served, await dialog_of(served))
        assert (await src.message()).startswith(b"OPTIONS ")


async def test_a_connection_is_opened_where_the_contact_says_and_used_again() -> None:
    async with peer_server() as (port, came), call(f"<sip:src@localhost:{port};transport=tcp>") as (served, dialog_id):
        ask(served, dialog_id)
        ask(served, dialog_id)
        peer = await next_of(came)
        assert b"CSeq: 1 OPTIONS" in await peer.message()
        assert b"CSeq: 2 OPTIONS" in await peer.message()
        ask(served, dialog_id)
        assert b"CSeq: 3 OPTIONS" in await peer.message()
        assert served.transport.connections == 1


async def test_a_connection_that_is_refused_ends_the_request() -> None:
    with listening() as nobody:
        port = nobody.getsockname()[1]
    async with call(f"<sip:src@127.0.0.1:{port};transport=tcp>") as (served, dialog_id):
        request_id = ask(served, dialog_id)
        assert await served.event(RequestTimedOut) == RequestTimedOut(request_id, dialog_id, "transport")


async def test_a_request_whose_connection_breaks_ends_at_once() -> None:
    """RFC 3261 §18.4."""
    async with peer_server() as (port, came), call(f"<sip:src@127.0.0.1:{port};transport=tcp>") as (served, dialog_id):
        request_id = ask(served, dialog_id)
        peer = await next_of(came)
        await peer.message()
        ask(served, dialog_id)
        await peer.message()
        await peer.close()
        event = await served.event(RequestTimedOut)
        assert event == RequestTimedOut(request_id, dialog_id, "transport")


async def test_a_response_goes_to_a_new_connection_if_the_old_one_is_gone() -> None:
    """C8: to `received` and the port of sent-by."""
    seen: list[OptionsReceived] = []

    def wait(_: Served, event: Event) -> None:
        if isinstance(event, OptionsReceived):
            seen.append(event)

    async with peer_server() as (port, came), serving(answer=wait) as served:
        async with await Stream.to(served.port("tcp")) as src:
            src.send(options(port, transport="TCP"))
            await served.event(OptionsReceived)
        await until(lambda: served.transport.connections == 0)
        served.agent.respond(seen[0].request_id, 200, now=asyncio.get_running_loop().time())
        served.transport.flush()
        back = await next_of(came)
        assert (await back.message()).startswith(b"SIP/2.0 200")


async def test_more_connections_than_allowed_are_reset() -> None:
    async with (
        serving(answer=answering, limits=StreamLimits(connections=1)) as served,
        await Stream.to(served.port("tcp")) as first,
    ):
        first.send(options(first.local[1], transport="TCP"))
        await first.message()
        with suppress(ConnectionResetError):  # it may come before the connection looks open
            async with await Stream.to(served.port("tcp")) as second:
                assert await second.closed()
        first.send(options(first.local[1], transport="TCP", branch="z9hG4bK2"))
        assert (await first.message()).startswith(b"SIP/2.0 200")
        assert served.transport.connections == 1


async def test_no_connection_is_opened_beyond_the_limit() -> None:
    limits = StreamLimits(connections=0)
    async with call("<sip:src@127.0.0.1:9;transport=tcp>", limits=limits) as (served, dialog_id):
        request_id = ask(served, dialog_id)
        assert await served.event(RequestTimedOut) == RequestTimedOut(request_id, dialog_id, "transport")


@pytest.mark.parametrize(
    ("limits", "sent"),
    [
        (StreamLimits(idle=0.05), b""),
        (StreamLimits(incomplete=0.05), b"OPTIONS sip:a@b SIP/2.0\r\nVia: "),
    ],
)
async def test_a_connection_that_is_idle_or_stuck_is_closed(limits: StreamLimits, sent: bytes) -> None:
    async with serving(limits=limits) as served, await Stream.to(served.port("tcp")) as src:
        src.send(sent)
        assert await src.closed()


class Silent:
    """An owner that is told and does nothing."""

    def connection_opened(self, connection: StreamConnection, flow: Flow) -> None:
        """Take no note."""

    def messages_received(self, messages: list[bytes], flow: Flow) -> None:
        """Take no note."""

    def stream_broken(self, error: Exception, flow: Flow) -> None:
        """Take no note."""

    def connection_closed(self, connection: StreamConnection, flow: Flow) -> None:
        """Take no note."""


class StalledTransport(asyncio.Transport):
    """A connection whose peer has stopped reading: nothing that is written ever leaves."""

    def __init__(self, *, gone: bool = False) -> None:
        super().__init__({} if gone else {"sockname": ("127.0.0.1", 5060), "peername": ("127.0.0.1", 40000)})
        self.stuck = 0
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.stuck += len(data)

    def get_write_buffer_size(self) -> int:
        return self.stuck

    def is_closing(self) -> bool:
        return self.aborted

    def close(self) -> None:
        """Wait for what is queued, in vain."""

    def abort(self) -> None:
        self.aborted = True


async def test_a_peer_that_does_not_read_is_cut_off() -> None:
    connection = StreamConnection(Silent(), "tcp", 1, limits=StreamLimits(unsent=1000), outbound=False)
    transport = StalledTransport()
    connection.connection_made(transport)
    assert [connection.write(bytes(600)) for _ in range(4)] == [True, True, False, False]
    assert transport.aborted
    assert transport.stuck == 1200


async def test_a_connection_whose_peer_is_gone_before_we_look_is_cut() -> None:
    connection = StreamConnection(Silent(), "tcp", 1, limits=StreamLimits(), outbound=False)
    transport = StalledTransport(gone=True)
    connection.connection_made(transport)
    connection.data_received(b"OPTIONS sip:a@b SIP/2.0\r\n")
    assert (transport.aborted, connection.flow, connection.incomplete_since) == (True, None, None)


async def test_connections_that_do_not_close_are_cut_in_the_end() -> None:
    table = ConnectionTable(
        Silent(), limits=StreamLimits(), resolve=resolve_host, carried=lambda _, __: None, undeliverable=print
    )
    connection, transport = table.make("tcp", outbound=False), StalledTransport()
    connection.connection_made(transport)
    assert connection.flow is not None
    table.add(connection, connection.flow)
    table.close_all()
    assert not transport.aborted
    table.abort_all()
    assert transport.aborted


async def test_a_connection_that_closes_while_it_is_written_gives_its_messages_back() -> None:
    undelivered: list[Outgoing] = []
    table = ConnectionTable(
        Silent(),
        limits=StreamLimits(),
        resolve=resolve_host,
        carried=lambda _, __: None,
        undeliverable=undelivered.append,
    )
    connection, transport = table.make("tcp", outbound=False), StalledTransport()
    connection.connection_made(transport)
    assert connection.flow is not None
    message = Outgoing(b"x", connection.flow)
    table.send_by(message, connection.flow)
    table.add(connection, connection.flow)
    transport.aborted = True
    table.send_by(message, connection.flow)
    assert undelivered == [message, message]


class ExhaustedListener(socket.socket):
    """A listening socket in a process that is out of descriptors for a moment."""

    failures = 1

    def accept(self) -> tuple[socket.socket, Any]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_out_of_descriptors_it_pauses_and_accepts_again() -> None:
    listener = ExhaustedListener()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    async with serving() as helper:

        def deliver(events: list[Event]) -> None:
            for event in events:
                answering(helper, event)

        transport = SipTransport(helper.agent, deliver=deliver, limits=StreamLimits(accept_pause=0.05))
        await transport.serve(udp=[], tcp=[listener])
        async with await Stream.to(listener.getsockname()[1]) as src:
            src.send(options(src.local[1], transport="TCP"))
            assert (await src.message()).startswith(b"SIP/2.0 200")
        await transport.aclose(close_listening=True)
    assert listener.failures == 0


async def test_stopping_does_not_wait_for_a_handshake(authority: Authority) -> None:
    async with (
        serving(server_context=server_context(authority)) as served,
        await Stream.to(served.port("tls")) as mute,
    ):
        await asyncio.sleep(0.02)
        async with asyncio.timeout(PATIENCE):
            await served.transport.aclose()
        assert await mute.closed()


async def test_an_address_that_is_not_ours_any_more_does_not_keep_a_connection_back() -> None:
    """A dialog restored from another host names that host's address."""
    async with peer_server() as (port, came), call(f"<sip:src@127.0.0.1:{port};transport=tcp>") as (served, dialog_id):
        state = decode_snapshot(served.agent.snapshot(dialog_id))
        state.flow = Flow("udp", ("192.0.2.40", 5060), state.flow.remote)
        served.agent.restore(encode_snapshot(state), 0.0, age=100)
        ask(served, dialog_id)
        peer = await next_of(came)
        assert (await peer.message()).startswith(b"OPTIONS ")


async def test_a_call_over_tls(authority: Authority) -> None:
    """S25: TLS 1.2 or better."""
    async with (
        serving(answer=answering, server_context=server_context(authority)) as served,
        await Stream.to(served.port("tls"), authority.trusting()) as src,
    ):
        assert src.writer.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
        src.send(invite(src.local[1], transport="TLS"))
        await src.message()
        accepted = await src.message()
        assert f"<sip:srs@127.0.0.1:{served.port('tls')};transport=tls>".encode() in accepted
        event = await served.event(InviteReceived)
        assert isinstance(event, InviteReceived)
        assert event.flow.transport == "tls"


async def test_a_new_certificate_is_used_from_the_next_connection_on(authority: Authority) -> None:
    def serial(stream: Stream) -> str:
        return str(stream.writer.get_extra_info("peercert")["serialNumber"])

    async with (
        serving(answer=answering, server_context=server_context(authority)) as served,
        await Stream.to(served.port("tls"), authority.trusting()) as old,
    ):
        served.transport.use_tls_context(server_context(authority, "renewed"))
        async with await Stream.to(served.port("tls"), authority.trusting()) as new:
            assert serial(old) != serial(new)
            old.send(options(old.local[1], transport="TLS"))
            assert (await old.message()).startswith(b"SIP/2.0 200")


async def test_a_peer_that_speaks_no_tls_on_the_tls_port_harms_nobody(authority: Authority) -> None:
    async with serving(answer=answering, server_context=server_context(authority)) as served:
        async with await Stream.to(served.port("tls")) as rude:
            rude.send(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n")
            await rude.closed()
        async with await Stream.to(served.port("tls"), authority.trusting()) as src:
            src.send(options(src.local[1], transport="TLS"))
            assert (await src.message()).startswith(b"SIP/2.0 200")


async def test_a_tls_connection_of_ours_verifies_the_peer(authority: Authority) -> None:
    async with peer_server(server_context(authority, "peer")) as (port, came):
        contact = f"<sip:src@127.0.0.1:{port};transport=tls>"
        async with call(contact, client_context=authority.trusting()) as (served, dialog_id):
            ask(served, dialog_id)
            peer = await next_of(came)
            assert (await peer.message()).startswith(b"OPTIONS ")


async def test_a_tls_peer_with_a_foreign_certificate_is_not_spoken_to(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """C26, RFC 5922."""
    foreign = Authority(tmp_path_factory.mktemp("foreign"), "Foreign Authority")
    async with peer_server(server_context(foreign, "peer")) as (port, _):
        contact = f"<sip:src@127.0.0.1:{port};transport=tls>"
        async with call(contact, client_context=authority.trusting()) as (served, dialog_id):
            request_id = ask(served, dialog_id)
            assert await served.event(RequestTimedOut) == RequestTimedOut(request_id, dialog_id, "transport")


async def test_without_a_context_no_tls_connection_is_opened(authority: Authority) -> None:
    contact = "<sip:src@127.0.0.1:9;transport=tls>"
    async with call(contact, client_context=authority.trusting()) as (served, dialog_id):
        served.transport.use_tls_client_context(None)
        request_id = ask(served, dialog_id)
        assert await served.event(RequestTimedOut) == RequestTimedOut(request_id, dialog_id, "transport")


def test_only_so_many_messages_wait_for_one_connection() -> None:
    undelivered: list[Outgoing] = []
    table = ConnectionTable(
        Silent(),
        limits=StreamLimits(waiting=2),
        resolve=resolve_host,
        carried=lambda outgoing, flow: None,
        undeliverable=undelivered.append,
    )
    destination = Destination("tcp", "192.0.2.30", 5060)
    messages = [Outgoing(b"%d" % number, destination) for number in range(4)]
    assert [table.send_to(message, destination) for message in messages] == [True, False, False, False]
    assert undelivered == messages[2:]
    table.give_up(destination)
    assert undelivered == [*messages[2:], *messages[:2]]


def test_a_connection_that_never_opened_can_be_written_and_closed_in_vain() -> None:
    connection = StreamConnection(Silent(), "tcp", 1, limits=StreamLimits(), outbound=True)
    assert connection.write(b"x") is False
    connection.close()
    connection.abort()
    connection.connection_lost(None)
    assert connection.flow is None
