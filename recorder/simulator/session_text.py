"""The bodies and headers by which a Media Server or a SIPREC client opens a session: Request-URI, SDP, rs-metadata.

Genesys MSR as in the Genesys guides (all call data in the Request-URI); SIPREC by RFC 7866 section 9.1 and RFC 7865.
Pure text: which message they go into is decided by `caller`.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import quoteattr

import msgspec

from recorder.simulator.conversation import PARTIES
from recorder.simulator.g711 import Law
from recorder.simulator.scenario import CallPlan, Door
from signaling.sdp import (
    Attribute,
    Connection,
    Direction,
    MediaDescription,
    Origin,
    SessionDescription,
)
from signaling.sdp.crypto import Crypto, parse_crypto
from signaling.sip import Uri
from signaling.sip.uri import format_hostport

_BOUNDARY: Final = "tandem-simulator-boundary"
_CRLF: Final = "\r\n"


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """Where a call's RTP comes from."""

    host: str
    ports: tuple[int, ...]
    """RTP port of each stream; RTCP is on the next one."""
    crypto: tuple[Crypto, ...] = ()
    """Our SRTP key for each stream; empty for plain RTP."""

    @property
    def protocol(self) -> str:
        """Transport protocol of our m-lines."""
        return "RTP/SAVP" if self.crypto else "RTP/AVP"


@dataclass(frozen=True, slots=True)
class StreamTarget:
    """Where the recorder wants one stream."""

    host: str
    port: int
    rtcp_port: int
    active: bool
    """False: port 0, inactive, or an unspecified address: nothing may be sent."""


def msr_request_uri(plan: CallPlan, host: str, port: int) -> Uri:
    """Return the Request-URI that carries the call data, with the parameters in the order seen on the wire."""
    parameters = (
        ("calluuid", plan.call_uuid),
        ("dn", plan.dn),
        ("otherdn", plan.other_dn),
        ("agentid", plan.agent_id),
        ("ani", plan.ani),
        ("connid", plan.conn_id),
        ("datetime", f"{plan.started_at:%Y-%m-%dT%H:%M:%SZ}"),
        ("dnis", plan.dnis),
        ("gvp-tenant-id", "[Environment].record"),
        ("recorddn", plan.record_dn),
        ("sipsappname", plan.sips_app_name),
        ("media-id", plan.call_uuid),
    )
    tail = "".join(f";{name}={value}" for name, value in parameters)
    return Uri.parse(f"sip:record={plan.record_identifier}@{format_hostport(host, port)}{tail}")


def msr_headers(session: str) -> list[tuple[str, str]]:
    """Return the X-Genesys header fields that the Resource Manager adds; `session` is a GUID."""
    return [
        ("X-Genesys-GVP-Session-ID", f"{session};gvp.rm.datanodes=1;gvp.rm.tenant-id=1_record"),
        ("X-Genesys-GVP-Session-Data", f"callsession={session};2;1;;;;Environment;record;;0;record"),
        ("X-Genesys-RM-Application-dbid", "105"),
    ]


def describe(
    plan: CallPlan, media: LocalMedia, directions: tuple[Direction, ...], *, session_id: int, version: int
) -> SessionDescription:
    """Return our offer: one m-line per party, labelled 1 and 2 in SIPREC (RFC 7866 section 7.1.1)."""
    return SessionDescription(
        origin=Origin.ours(session_id, media.host).at_version(version),
        connection=Connection.to(media.host),
        media=tuple(
            MediaDescription(
                media="audio",
                port=port,
                protocol=media.protocol,
                formats=(str(plan.law.payload_type), "101"),
                attributes=(*_attributes(plan, index, directions[index]), *_crypto(media, index)),
            )
            for index, port in enumerate(media.ports)
        ),
    )


def _crypto(media: LocalMedia, index: int, tag: int = 1) -> tuple[Attribute, ...]:
    """Return our key, under the tag of the offer that it answers (RFC 4568 section 5.1.2)."""
    if not media.crypto:
        return ()
    return (Attribute("crypto", msgspec.structs.replace(media.crypto[index], tag=tag).encode()),)


def _attributes(plan: CallPlan, index: int, direction: Direction) -> tuple[Attribute, ...]:
    # Genesys writes codec names in lower case.
    name = plan.law.value if plan.door is Door.MSR else plan.law.value.upper()
    label = (Attribute("label", str(index + 1)),) if plan.door is Door.SIPREC else ()
    return (
        Attribute("rtpmap", f"{plan.law.payload_type} {name}/8000"),
        Attribute("rtpmap", "101 telephone-event/8000"),
        Attribute("fmtp", "101 0-15"),
        Attribute("ptime", "20"),
        Attribute(direction.value),
        *label,
    )


_FACING: Final = {
    Direction.RECVONLY: Direction.SENDONLY,
    Direction.SENDRECV: Direction.SENDONLY,
    Direction.SENDONLY: Direction.INACTIVE,
    Direction.INACTIVE: Direction.INACTIVE,
}


def answer(
    offer: SessionDescription, plan: CallPlan, media: LocalMedia, *, paused: bool, session_id: int, version: int
) -> SessionDescription:
    """Return our answer to an offer of the recorder: every m-line of it, in order (RFC 3264 section 6)."""
    lines = []
    for index, theirs in enumerate(offer.media):
        direction = Direction.INACTIVE if paused else _FACING[offer.direction_of(theirs)]
        fits = theirs.protocol == media.protocol
        tag = parse_crypto(theirs.value("crypto") or "").tag if fits and media.crypto and theirs.port else 1
        usable = fits and index < len(media.ports) and str(plan.law.payload_type) in theirs.formats and theirs.port != 0
        lines.append(
            MediaDescription(
                media=theirs.media,
                port=media.ports[index] if usable else 0,
                protocol=theirs.protocol,
                formats=(str(plan.law.payload_type), "101") if usable else theirs.formats,
                attributes=(*_attributes(plan, index, direction), *_crypto(media, index, tag)) if usable else (),
            )
        )
    return SessionDescription(
        origin=Origin.ours(session_id, media.host).at_version(version),
        connection=Connection.to(media.host),
        timing=offer.timing,
        media=tuple(lines),
    )


def stream_targets(description: SessionDescription, law: Law) -> tuple[StreamTarget, ...]:
    """Return where the recorder's description wants each stream."""
    targets = []
    for media in description.media:
        connection = description.connection_of(media)
        rtcp = (media.value("rtcp") or "").partition(" ")[0]  # RFC 3605
        active = (
            connection is not None
            and not connection.unspecified
            and media.port != 0
            and description.direction_of(media) in (Direction.RECVONLY, Direction.SENDRECV)
            and str(law.payload_type) in media.formats
        )
        targets.append(
            StreamTarget(
                host=connection.host if connection else "",
                port=media.port,
                rtcp_port=int(rtcp) if rtcp.isascii() and rtcp.isdigit() else media.port + 1,
                active=active,
            )
        )
    return tuple(targets)


def siprec_body(plan: CallPlan, sdp: bytes, host: str) -> tuple[str, bytes]:
    """Return content type and body of a SIPREC INVITE: SDP and a complete metadata snapshot.

    The metadata part is named by either of the two types that clients use.
    """
    kind = "application/rs-metadata+xml" if plan.index % 2 == 0 else "application/rs-metadata"
    parts = [
        f"--{_BOUNDARY}{_CRLF}Content-Type: application/sdp{_CRLF}{_CRLF}".encode() + sdp,
        f"--{_BOUNDARY}{_CRLF}Content-Type: {kind}{_CRLF}Content-Disposition: recording-session{_CRLF}{_CRLF}".encode()
        + metadata(plan, host),
        f"--{_BOUNDARY}--{_CRLF}".encode(),
    ]
    return f"multipart/mixed;boundary={_BOUNDARY}", _CRLF.encode().join(parts)


def metadata(plan: CallPlan, host: str) -> bytes:
    """Return the metadata of a call between two participants, each sending the stream labelled with its number."""
    session = plan.record_identifier
    started = f"{plan.started_at:%Y-%m-%dT%H:%M:%SZ}"
    people = [_identifier(plan, f"participant {party}") for party in range(len(PARTIES))]
    streams = [_identifier(plan, f"stream {party}") for party in range(len(PARTIES))]
    group = _identifier(plan, "group")
    dialed = (plan.dn, plan.other_dn)
    sip_session = hashlib.sha256(plan.call_uuid.encode()).hexdigest()[:32]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<recording xmlns="urn:ietf:params:xml:ns:recording:1">',
        "  <datamode>complete</datamode>",
        f"  <group group_id={quoteattr(group)}>",
        f"    <associate-time>{started}</associate-time>",
        "  </group>",
        f"  <session session_id={quoteattr(session)}>",
        f"    <sipSessionID>{sip_session};remote={'0' * 32}</sipSessionID>",
        f"    <group-ref>{group}</group-ref>",
        "  </session>",
    ]
    for party, name in enumerate(PARTIES):
        aor = quoteattr(f"sip:{dialed[party]}@{host}")
        lines += [
            f"  <participant participant_id={quoteattr(people[party])}>",
            f'    <nameID aor={aor}><name xml:lang="en">{name.capitalize()} {plan.index + 1}</name></nameID>',
            "  </participant>",
        ]
    lines += [
        f"  <stream stream_id={quoteattr(stream)} session_id={quoteattr(session)}><label>{party + 1}</label></stream>"
        for party, stream in enumerate(streams)
    ]
    lines += [
        f"  <sessionrecordingassoc session_id={quoteattr(session)}>",
        f"    <associate-time>{started}</associate-time>",
        "  </sessionrecordingassoc>",
    ]
    for person in people:
        lines += [
            f"  <participantsessionassoc participant_id={quoteattr(person)} session_id={quoteattr(session)}>",
            f"    <associate-time>{started}</associate-time>",
            "  </participantsessionassoc>",
        ]
    for party, person in enumerate(people):
        lines += [
            f"  <participantstreamassoc participant_id={quoteattr(person)}>",
            f"    <send>{streams[party]}</send>",
            f"    <recv>{streams[1 - party]}</recv>",
            "  </participantstreamassoc>",
        ]
    lines.append("</recording>")
    return (_CRLF.join(lines) + _CRLF).encode()


def _identifier(plan: CallPlan, what: str) -> str:
    """Return 16 octets in base64, as RFC 7865 wants identifiers."""
    return base64.b64encode(hashlib.sha256(f"{plan.call_uuid} {what}".encode()).digest()[:16]).decode()
