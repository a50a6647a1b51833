"""The options of `recorder simulate`, what they mean to people, and how their texts are read."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, TypeAlias, get_args

import typer

from recorder.simulator.dialog import TransportName
from recorder.simulator.g711 import Law
from recorder.simulator.scenario import Door, Pause
from recorder.simulator.simulation import Target


def parse_target(text: str) -> Target:
    """Read `udp:HOST:PORT`, `tcp:HOST:PORT` or `tls:HOST:PORT`; a name is looked up once, here.

    Raises:
        typer.BadParameter: it is something else.

    """
    transport, _, address = text.partition(":")
    host, _, port = address.rpartition(":")
    wanted = next((one for one in get_args(TransportName) if one == transport), None)
    if wanted is None:
        raise typer.BadParameter(f"{text!r}: begin with udp:, tcp: or tls:, for example udp:127.0.0.1:5060")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise typer.BadParameter(f"{text!r}: give host and port, for example {wanted}:127.0.0.1:5060")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except OSError as error:
        raise typer.BadParameter(f"{text!r}: {host}: {error.strerror}") from None
    return Target(wanted, str(found[0][4][0]), int(port), host.strip("[]"))


def parse_duration(text: str) -> float:
    """Read `2s`, `1.5`, `500ms`; seconds.

    Raises:
        typer.BadParameter: it is something else.

    """
    number, scale = (text[:-2], 0.001) if text.endswith("ms") else (text.removesuffix("s"), 1.0)
    try:
        seconds = float(number) * scale
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise typer.BadParameter(f"{text!r}: give a time such as 2s or 500ms")
    return seconds


def parse_pause(text: str) -> Pause:
    """Read `AT:FOR`, both in seconds.

    Raises:
        typer.BadParameter: it is something else.

    """
    begin, _, length = text.partition(":")
    try:
        pause = Pause(float(begin), float(length))
    except ValueError:
        pause = Pause(-1, -1)
    if not (0 <= pause.at_s < float("inf") and 0 < pause.for_s < float("inf")):
        raise typer.BadParameter(f"{text!r}: give AT:FOR in seconds, for example 3:2.5")
    return pause


# Where
TargetOption: TypeAlias = Annotated[
    Target, typer.Option(parser=parse_target, metavar="udp|tcp|tls:HOST:PORT", help="Where the recorder takes SIP.")
]
RecordRoute: TypeAlias = Annotated[
    bool, typer.Option("--record-route", help="Stand a Genesys Resource Manager in front.")
]
LocalHost: TypeAlias = Annotated[str, typer.Option(help="Local address; default: the one that routes to the target.")]
TlsCa: TypeAlias = Annotated[
    Path | None, typer.Option(help="PEM file of who signed the recorder's certificate; default: the system's.")
]
TlsCertificate: TypeAlias = Annotated[Path | None, typer.Option(help="PEM file of our own certificate (mutual TLS).")]
TlsKey: TypeAlias = Annotated[Path | None, typer.Option(help="PEM file of its key.")]
StateDirectory: TypeAlias = Annotated[Path | None, typer.Option(help="State directory of the recorder.")]
Config: TypeAlias = Annotated[Path | None, typer.Option("--config", "-c", help="The recorder's TOML settings.")]

# How many calls, and of what kind
DoorOption: TypeAlias = Annotated[Door, typer.Option(help="Genesys MSR or SIPREC sessions.")]
Calls: TypeAlias = Annotated[int, typer.Option(min=1, help="Number of calls.")]
Seconds: TypeAlias = Annotated[float, typer.Option(min=0.02, help="Media time of each call.")]
Concurrency: TypeAlias = Annotated[int, typer.Option(min=0, help="Calls at a time; 0: no limit.")]
Rate: TypeAlias = Annotated[float, typer.Option(min=0.01, help="Call set-ups per second.")]
SessionExpires: TypeAlias = Annotated[int, typer.Option(min=90, help="Session-Expires in seconds.")]
Seed: TypeAlias = Annotated[int, typer.Option(min=0, help="Decides what is sent; identifiers are always new.")]

# What their media are like
Codec: TypeAlias = Annotated[Law, typer.Option(help="Companding law of the media.")]
Srtp: TypeAlias = Annotated[
    str, typer.Option(metavar="SUITE", help="Send SRTP with this crypto-suite, such as AES_CM_128_HMAC_SHA1_80.")
]
Pauses: TypeAlias = Annotated[
    list[Pause] | None,
    typer.Option(parser=parse_pause, metavar="AT:FOR", help="Pause recording by re-INVITE; may be repeated."),
]
Leak: TypeAlias = Annotated[bool, typer.Option("--leak", help="Go on sending RTP during pauses; none may be kept.")]
Loss: TypeAlias = Annotated[float, typer.Option(min=0, max=100, help="Per cent of packets never sent.")]
Reorder: TypeAlias = Annotated[float, typer.Option(min=0, max=100, help="Per cent sent behind their successor.")]
DuplicatePackets: TypeAlias = Annotated[float, typer.Option(min=0, max=100, help="Per cent sent twice.")]
Duplicate: TypeAlias = Annotated[
    bool, typer.Option("--duplicate", help="Send each call twice, under different record identifiers.")
]
CopyLoss: TypeAlias = Annotated[
    float,
    typer.Option(
        parser=parse_duration, metavar="TIME", help="With --duplicate: withhold so much of each copy, such as 2s."
    ),
]

# What is said about it
Verify: TypeAlias = Annotated[
    bool, typer.Option("--verify", help="Compare each recording with what was sent; needs the state directory.")
]
Timeout: TypeAlias = Annotated[
    float, typer.Option(min=1, help="Seconds without progress after which verification gives up.")
]
JournalFile: TypeAlias = Annotated[Path | None, typer.Option(help="Write what was sent to this .npz file.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")]
