"""Bind every address of the recorder, once, in the process that outlives the others."""

from __future__ import annotations

import errno
import ipaddress
import resource
import socket
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import structlog

from recorder.edge.kernel_filter import FilterTooLongError, attach, compile_filter
from recorder.edge.networks import network
from recorder.errors import SetupError
from recorder.ha.settings import HaSettings
from recorder.settings import HttpSettings, MediaSettings, SipSettings

_log = structlog.get_logger()

_OTHER_DESCRIPTORS: Final = 256
"""Logs, channels, PostgreSQL connections, TCP clients: what a process opens beside its media sockets."""
_IP_PKTINFO: Final = 8
"""<linux/in.h>; not in the socket module of Python 3.11."""
_SIP_BUFFER: Final = 4 << 20
"""Bytes; a registrar's burst after a switch-over is a few thousand datagrams, and the kernel caps the request."""
_RTP_BUFFER: Final = 512 << 10
"""Bytes; the kernel doubles it. Holds about 1,280 packets of G.711, 25 s of a stream: the longest that a replacement
of all writers has taken on a machine that was busy with other work is 8 s. Only what waits uses memory."""
_SO_RCVBUFFORCE: Final = 33
"""<asm-generic/socket.h>; not in the socket module of Python 3.11."""


@dataclass(frozen=True, slots=True)
class MediaPair:
    """The two sockets of one RTP stream."""

    port: int
    """RTP port, even; RTCP is the next one (RFC 3550 section 11)."""
    rtp: socket.socket
    rtcp: socket.socket


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET


def _bound(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    sock = socket.socket(_family(host), kind)
    try:
        if kind is socket.SOCK_STREAM:
            # A restarted recorder must not wait for TIME_WAIT; a second running one is still refused.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _explain(key: str, host: str, port: int, error: OSError) -> SetupError:
    remedies = {
        errno.EADDRINUSE: "another program uses it: stop that program, or choose another port",
        errno.EADDRNOTAVAIL: "this machine has no such address",
        errno.EACCES: "not permitted: ports below 1024 need root or CAP_NET_BIND_SERVICE",
    }
    remedy = remedies.get(error.errno or 0, error.strerror or str(error))
    return SetupError(f"{key}: cannot listen on {host} port {port}: {remedy}")


def bind_sip(settings: SipSettings) -> tuple[socket.socket, socket.socket]:
    """Return the UDP socket and the listening TCP socket of one SIP port.

    Raises:
        SetupError: the address is taken, not ours, or not permitted.

    """
    try:
        udp = _bound(socket.SOCK_DGRAM, settings.host, settings.port)
    except OSError as error:
        raise _explain("sip.port", settings.host, settings.port, error) from None
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SIP_BUFFER)
    # Before the first datagram can be queued: one without its destination could not be answered from that address.
    if udp.family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        udp.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    try:
        tcp = _bound(socket.SOCK_STREAM, settings.host, settings.port)
        tcp.listen(1024)
    except OSError as error:
        udp.close()
        raise _explain("sip.port", settings.host, settings.port, error) from None
    return udp, tcp


def bind_tls(settings: SipSettings) -> socket.socket | None:
    """Return the listening socket of SIP over TLS, or None where it is switched off.

    Raises:
        SetupError: the address is taken, not ours, or not permitted.

    """
    if not settings.tls_port:
        return None
    try:
        sock = _bound(socket.SOCK_STREAM, settings.host, settings.tls_port)
        sock.listen(1024)
    except OSError as error:
        raise _explain("sip.tls_port", settings.host, settings.tls_port, error) from None
    return sock


def restrict(listening: Iterable[socket.socket], allow: Sequence[str], key: str) -> None:
    """Let the kernel drop what comes from networks that are not in the allow list of the settings' `key`.

    Where it cannot, the frontend does it by itself, later and at its own cost.
    """
    networks = [network(text) for text in allow]
    if {one.version for one in networks if one.prefixlen == 0} == {4, 6}:
        return
    try:
        program = compile_filter(networks)
        for sock in listening:
            attach(sock, program)
    except (OSError, FilterTooLongError) as error:
        _log.warning("the kernel does not filter by the allow list; the frontend does", key=key, reason=str(error))


def bind_http(settings: HttpSettings) -> socket.socket | None:
    """Return the listening socket of the HTTP interface, or None where it is switched off.

    Raises:
        SetupError: the address is taken, not ours, or not permitted.

    """
    if not settings.port:
        return None
    try:
        sock = _bound(socket.SOCK_STREAM, settings.host, settings.port)
        sock.listen(128)
    except OSError as error:
        raise _explain("http.port", settings.host, settings.port, error) from None
    return sock


def bind_gateway(settings: HaSettings) -> socket.socket | None:
    """Return the listening socket for the other hosts of the site, or None where there are none.

    Raises:
        SetupError: the address is taken, not ours, or not permitted.

    """
    if not settings.listen:
        return None
    host, _, port = settings.listen.rpartition(":")
    host = host.strip("[]")
    try:
        sock = _bound(socket.SOCK_STREAM, host, int(port))
        sock.listen(128)
    except OSError as error:
        raise _explain("ha.listen", host, int(port), error) from None
    return sock


def reserve_descriptors(settings: MediaSettings) -> None:
    """Raise the soft descriptor limit to what the configured streams need.

    Raises:
        SetupError: the hard limit is lower than that. Better no start than calls lost at the limit.

    """
    needed = 2 * settings.max_streams + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed or soft == resource.RLIM_INFINITY:
        return
    if hard not in {resource.RLIM_INFINITY} and hard < needed:
        raise SetupError(
            f"media.max_streams = {settings.max_streams} needs {needed} file descriptors, the limit is {hard}:"
            " raise it (ulimit -Hn, LimitNOFILE=) or lower media.max_streams"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def bind_media(settings: MediaSettings) -> list[MediaPair]:
    """Return one pair of UDP sockets per stream, on the first free ports of the range.

    A port that another program holds is passed over: only the number of pairs is promised, not which ones.

    Raises:
        SetupError: the range has too few free ports, or the address is not ours.

    """
    pairs: list[MediaPair] = []
    passed_over = 0
    with ExitStack() as undo:
        for port in range(settings.first_port, settings.last_port, 2):
            if len(pairs) == settings.max_streams:
                break
            pair = _bind_pair(settings.host, port)
            if pair is None:
                passed_over += 1
                continue
            pairs.append(pair)
            undo.enter_context(pair.rtp)
            undo.enter_context(pair.rtcp)
        if len(pairs) < settings.max_streams:
            raise SetupError(
                f"media.first_port to media.last_port: only {len(pairs)} of {settings.max_streams} port pairs are free;"
                " widen the range, lower media.max_streams, or stop what else uses these ports"
            )
        undo.pop_all()
    if passed_over:
        _log.info("rtp ports in use by other programs passed over", passed_over=passed_over)
    return pairs


def _bind_pair(host: str, port: int) -> MediaPair | None:
    """Return the sockets of one stream, or None if another program holds one of the two ports."""
    bound: list[socket.socket] = []
    try:
        for number in (port, port + 1):
            bound.append(_bound(socket.SOCK_DGRAM, host, number))
    except OSError as error:
        for sock in bound:
            sock.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise _explain("media.host", host, port, error) from None
    pair = MediaPair(port, *bound)
    try:
        # Beyond net.core.rmem_max, for those who may; the others get what it allows.
        pair.rtp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RTP_BUFFER)
    except PermissionError:
        pair.rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RTP_BUFFER)
    return pair
