"""Messages of the benchmark's recording clients, as literal text: an MSR call and a SIPREC call of some 3 kB."""

from __future__ import annotations

from typing import Final, Literal

Door = Literal["msr", "siprec"]
DOORS: Final[tuple[Door, ...]] = ("msr", "siprec")
_BOUNDARY: Final = "benchmark-boundary"
_BASE_NUMBER: Final = 5_000_000
_NUMBERS: Final = 999_983


def sdp(host: str, streams: int, *, labels: bool) -> str:
    """Return an offer of so many audio streams."""
    lines = ["v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    for index in range(streams):
        lines += [
            f"m=audio {40000 + 2 * index} RTP/AVP 0 8 101",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-15",
            "a=ptime:20",
            "a=sendonly",
        ]
        lines += [f"a=label:{index + 1}"] * labels
    return "\r\n".join(lines) + "\r\n"


def parties(call: str) -> tuple[str, str]:
    """Return the numbers of agent and customer: of each call others, or a curator would take it for copies of one."""
    number = int(call, 16)
    return str(_BASE_NUMBER + number % _NUMBERS), str(2 * _BASE_NUMBER + number // _NUMBERS % _NUMBERS)


def metadata(session: str) -> str:
    """Return the rs-metadata of a call between two parties, with a vendor's extension."""
    agent, customer = parties(session)
    participants = ((f"QWdl{session[:8]}", agent, "Agent"), (f"Q3Vz{session[:8]}", customer, "Customer"))
    people = "".join(
        f'<participant participant_id="{identifier}"><nameID aor="sip:{user}@customers.example"><name xml:lang="en">'
        f'{name}</name></nameID><ac:extensiondata xmlns:ac="http://vendor.example/extension"><ac:CallUUID>{session}'
        "</ac:CallUUID></ac:extensiondata></participant>\r\n"
        f'<participantsessionassoc participant_id="{identifier}" session_id="{session}"><associate-time>'
        "2030-01-15T09:30:00Z</associate-time></participantsessionassoc>\r\n"
        for identifier, user, name in participants
    )
    streams = "".join(
        f'<stream stream_id="stream-{index}" session_id="{session}"><label>{index + 1}</label><associate-time>'
        "2030-01-15T09:30:00Z</associate-time></stream>\r\n"
        f'<participantstreamassoc participant_id="{identifier}"><send>stream-{index}</send>'
        "</participantstreamassoc>\r\n"
        for index, (identifier, _, _) in enumerate(participants)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\r\n<recording xmlns="urn:ietf:params:xml:ns:recording:1">\r\n'
        f'<datamode>complete</datamode>\r\n<group group_id="N2ZlZWU3ZTE3ZDQwMTFl"/>\r\n<session session_id="{session}">'
        f"<sipSessionID>{session};remote={session[::-1]}</sipSessionID>"
        "<group-ref>N2ZlZWU3ZTE3ZDQwMTFl</group-ref><start-time>2030-01-15T09:30:00Z</start-time></session>\r\n"
        f"{people}{streams}</recording>\r\n"
    )


def invite(
    door: Door,
    call: str,
    *,
    target: str = "192.0.2.40:5060",
    host: str = "192.0.2.20",
    port: int = 5060,
    streams: int = 2,
) -> bytes:
    """Return the INVITE of a call.

    Args:
        door: which kind of client sends it.
        call: 32 hexadecimal digits; names everything that must be unique.
        target: host and port of the recorder.
        host: of the client.
        port: of the client.
        streams: audio m-lines.

    """
    body = sdp(host, streams, labels=door == "siprec")
    if door == "msr":
        agent, customer = parties(call)
        uri = (
            f"sip:record={call.upper()}_2030-01-15_09-30-00@{target};calluuid={call.upper()};dn={agent};"
            f"otherdn={customer};agentid=agent-{agent};ani={customer};connid={call[:16]};dnis=5550199;"
            f"recorddn={agent};sipsappname=SIP_Example"
        )
        kind, extra = "application/sdp", ""
    else:
        uri = f"sip:srs@{target}"
        body = (
            f"--{_BOUNDARY}\r\nContent-Type: application/sdp\r\n\r\n{body}\r\n--{_BOUNDARY}\r\n"
            "Content-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n\r\n"
            f"{metadata(call)}\r\n--{_BOUNDARY}--\r\n"
        )
        kind = f"multipart/mixed;boundary={_BOUNDARY}"
        extra = "Require: siprec\r\nAccept: application/sdp, application/rs-metadata\r\n"
    contact = f"<sip:src@{host}:{port}>" + (";+sip.src" if door == "siprec" else "")
    head = (
        f"INVITE {uri} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {host}:{port};rport;branch=z9hG4bK{call}i\r\n"
        "Max-Forwards: 69\r\n"
        f"From: <sip:src@{host}>;tag={call[:12]}\r\n"
        f"To: <sip:srs@{target}>\r\n"
        f"Call-ID: {call}@{host}\r\n"
        "CSeq: 1 INVITE\r\n"
        f"Contact: {contact}\r\n"
        "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO\r\n"
        "Supported: timer, replaces\r\n"
        "Session-Expires: 1800\r\n"
        f"{extra}"
        f"Content-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


def in_dialog(method: str, call: str, number: int, *, target: str, host: str, port: int, tag: str, uri: str) -> bytes:
    """Return an ACK or BYE of a call whose 2xx brought `tag` and the Contact `uri`."""
    return (
        f"{method} {uri} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {host}:{port};rport;branch=z9hG4bK{call}{method.lower()}{number}\r\n"
        "Max-Forwards: 69\r\n"
        f"From: <sip:src@{host}>;tag={call[:12]}\r\n"
        f"To: <sip:srs@{target}>;tag={tag}\r\n"
        f"Call-ID: {call}@{host}\r\n"
        f"CSeq: {number} {method}\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


def siprec_invite(number: int) -> bytes:
    """Return the INVITE of a SIPREC call of this number."""
    return invite("siprec", f"{number:032x}")
