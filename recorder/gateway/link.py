"""Connections between hosts of a site: who may, what for, and how to open one.

Mutual TLS with an authority that signs nothing but the hosts of this site: a certificate of it is the permission. The
name in a certificate is not compared, because addresses of hosts change and permissions do not depend on them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Final

import msgspec

from recorder.errors import SetupError
from recorder.frames import Frames, Streams, framed
from recorder.ha.settings import HaSettings

_MAX_FRAME: Final = 4096
"""Bytes; both kinds of frames are far below it."""


class Reach(msgspec.Struct, frozen=True, kw_only=True, tag="reach"):
    """First frame of whoever connects: what is wanted. Everything behind it belongs to that."""

    service: str
    """writer, state (the active frontend's dialogs), capture, or beats."""
    name: str = ""
    """Of the writer, or path of the capture."""


class Beat(msgspec.Struct, frozen=True, kw_only=True, tag="beat"):
    """A sign of life of a host."""

    instance: str
    """Its recorder process; another one has other RTP sockets."""


class Held(msgspec.Struct, frozen=True, kw_only=True, tag="held"):
    """A capture follows; or the host that wrote it says that it is lost."""

    size: int | None
    """Bytes; None: lost."""


Frame = Reach | Beat | Held
FRAMES: Final = Frames[Frame](msgspec.msgpack.Decoder(Frame), limit=_MAX_FRAME, peer="the other host")


def site_context(settings: HaSettings, *, server: bool) -> ssl.SSLContext:
    """Return the TLS context of one end.

    Raises:
        SetupError: a file cannot be used.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(settings.certificate, settings.key)
        context.load_verify_locations(settings.ca)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(Path(name)) for name in (settings.certificate, settings.key, settings.ca))
        raise SetupError(
            f"ha.certificate, ha.key, ha.ca: {error}; give PEM files that belong together: {files}"
        ) from None
    return context


def endpoint_of(text: str) -> tuple[str, int]:
    """Return host and port of `ADDRESS:PORT`."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def own_address(settings: HaSettings) -> str:
    """Return the address of this host that the others know it by: connections to them come from there."""
    return settings.listen.rpartition(":")[0].strip("[]")


async def reach(
    endpoint: str, context: ssl.SSLContext, *, service: str, name: str = "", limit_s: float = 3.0, source: str = ""
) -> Streams:
    """Open a connection to a service of another host.

    Args:
        endpoint: ADDRESS:PORT of its gateway.
        context: see `site_context`.
        service: see `Reach`.
        name: see `Reach`.
        limit_s: for everything until the connection can be used.
        source: own address to come from; empty lets the kernel choose.

    Raises:
        ConnectionRefusedError: no recorder runs on that host.
        OSError: it cannot be reached (`TimeoutError`: it does not answer).

    """
    host, port = endpoint_of(endpoint)
    async with asyncio.timeout(limit_s):
        reader, writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname="", local_addr=(source, 0) if source else None
        )
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    writer.write(framed(Reach(service=service, name=name)))
    return reader, writer
