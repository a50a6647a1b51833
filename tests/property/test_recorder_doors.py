"""Whatever stands in a Request-URI or a body, a door makes a request of it or refuses; nothing else comes out.

The corpora are `tests/corpus/request-uri` and `tests/corpus/vendor`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.doors.entrance import Refused, read_change, read_invite
from recorder.doors.request import RecordingRequest
from recorder.edge.profile_files import load_profiles
from signaling.errors import SipSyntaxError
from signaling.sip import Request, parse_message

CORPUS = Path(__file__).parents[1] / "corpus"
URIS = sorted(path.read_bytes() for path in (CORPUS / "request-uri").glob("*.txt"))
BODIES = sorted(path.read_bytes() for path in (CORPUS / "vendor").glob("*.mime"))
PROFILES = [load_profiles().named(name) for name in ("default", "genesys-mcp", "cucm-bib")]
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
PIECES = (b"record=", b";", b"=", b"@", b"%", b"%00", b"%ff", b"[", b"]", b"sip:", b"\xff", b"?", b":", b'"', b"<")


def invite(uri: bytes, fields: bytes = b"Content-Type: application/sdp", body: bytes = SDP) -> Request | None:
    """Return an INVITE with this Request-URI; None if the parser refuses it with our own error."""
    data = (
        b"INVITE " + uri + b" SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.30;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
        b"To: <sip:c@d>\r\nCall-ID: x@y\r\nCSeq: 1 INVITE\r\n"
        + fields
        + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
        + body
    )
    try:
        message = parse_message(data)
    except SipSyntaxError:
        return None
    return message if isinstance(message, Request) else None


def handle(request: Request | None) -> None:
    """Do to an INVITE what the frontend does to a received one, by profiles that look in different places."""
    if request is None:
        return
    for profile in PROFILES:
        found = read_invite(request, profile)
        if isinstance(found, Refused):
            assert 400 <= found.status < 600
        else:
            kept(found)
    changed = read_change(request)
    assert not isinstance(changed, Refused) or changed.status in {415, 488}


def kept(found: RecordingRequest) -> None:
    """What goes into the catalog can be written there."""
    assert found.record_identifier
    told = [msgspec.structs.asdict(found.call), found.parameters, found.participants, found.warnings]
    msgspec.json.encode([found.record_identifier, *told])


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    octets = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(octets)))
        length = draw(st.integers(0, 8))
        octets[place : place + length] = draw(st.binary(max_size=4) | st.sampled_from(PIECES))
    return bytes(octets)


@pytest.mark.parametrize("uri", URIS)
def test_every_request_uri_of_the_corpus_is_read_or_refused(uri: bytes) -> None:
    handle(invite(uri))


@given(st.binary(max_size=200).filter(lambda text: b"\n" not in text and b"\r" not in text))
def test_arbitrary_request_uris_raise_only_our_error(text: bytes) -> None:
    handle(invite(b"sip:record=" + text))
    handle(invite(b"sip:record=a@h;" + text))
    handle(invite(text))


@given(mutated(URIS))
def test_mutated_request_uris_raise_only_our_error(uri: bytes) -> None:
    handle(invite(uri.replace(b"\r", b"").replace(b"\n", b"")))


@given(mutated(BODIES))
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
def test_mutated_bodies_of_every_client_are_recorded_or_refused(message: bytes) -> None:
    fields, _, body = message.partition(b"\r\n\r\n")
    handle(invite(b"sip:srs@192.0.2.40", fields + b"\r\nRequire: siprec", body))


GROWING: dict[str, Callable[[int], bytes]] = {
    "parameters": lambda size: b"sip:record=a@h" + b";p=1" * (size // 4),
    "one long value": lambda size: b"sip:record=a@h;dn=" + b"5" * size,
    "one long identifier": lambda size: b"sip:record=" + b"a" * size + b"@h",
    "escapes": lambda size: b"sip:record=" + b"%41" * (size // 3) + b"@h;dn=" + b"%41" * (size // 3),
    "semicolons": lambda size: b"sip:record=a@h" + b";" * size,
    "brackets": lambda size: b"sip:record=a@h;dn=" + b"[" * size,
}


@pytest.mark.parametrize("shape", GROWING)
def test_time_is_linear_in_the_size_of_a_request_uri(shape: str) -> None:
    """From 500 to 16,000 octets is 32 times as much: linear code takes 32 times as long, quadratic 1,024 times."""

    def seconds(size: int) -> float:
        request_line = GROWING[shape](size)
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            handle(invite(request_line))
            best = min(best, time.process_time() - started)
        return best

    assert seconds(16_000) < 200 * max(seconds(500), 50e-6)
