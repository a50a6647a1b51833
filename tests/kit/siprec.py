"""rs-metadata and multipart bodies as literal text, in the forms that real clients send (RFC 7865, RFC 7866)."""

from __future__ import annotations

import hashlib
from typing import Final

RFC_NAMESPACE: Final = "urn:ietf:params:xml:ns:recording:1"
DRAFT_NAMESPACE: Final = "urn:ietf:params:xml:ns:recording"
"""Without `:1`: what most session border controllers still send."""
BOUNDARY: Final = "uniqueBoundary"


def rs_metadata(
    *, session: str, namespace: str = RFC_NAMESPACE, labels: tuple[str, str] = ("1", "2"), data_mode: str = "complete"
) -> str:
    """Return a complete metadata document of a call between two parties, with a SIP session id of its own."""
    own = hashlib.sha256(session.encode()).hexdigest()[:32]
    mode = "dataMode" if namespace == DRAFT_NAMESPACE else "datamode"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="{namespace}">
  <{mode}>{data_mode}</{mode}>
  <group group_id="N2ZlZWU3ZTE3ZDQwMTFl"><associate-time>2030-01-15T09:30:00Z</associate-time></group>
  <session session_id="{session}">
    <sipSessionID>{own};remote=47755a9de7794ba387653f2099600ef2</sipSessionID>
    <group-ref>N2ZlZWU3ZTE3ZDQwMTFl</group-ref>
    <start-time>2030-01-15T09:30:00Z</start-time>
  </session>
  <participant participant_id="c3JmYXNk">
    <nameID aor="sip:5550100@agents.example"><name xml:lang="en">Agent</name></nameID>
  </participant>
  <participant participant_id="ZmFzZGZh">
    <nameID aor="sip:5550111@customers.example"><name xml:lang="en">Customer</name></nameID>
  </participant>
  <stream stream_id="UAAMm5GRQKSCMVvLyl4rFw" session_id="{session}"><label>{labels[0]}</label></stream>
  <stream stream_id="i1Pz3to5hGk8fuXl+PbwCw" session_id="{session}"><label>{labels[1]}</label></stream>
  <participantsessionassoc participant_id="c3JmYXNk" session_id="{session}"/>
  <participantsessionassoc participant_id="ZmFzZGZh" session_id="{session}"/>
  <participantstreamassoc participant_id="c3JmYXNk"><send>UAAMm5GRQKSCMVvLyl4rFw</send></participantstreamassoc>
  <participantstreamassoc participant_id="ZmFzZGZh"><send>i1Pz3to5hGk8fuXl+PbwCw</send></participantstreamassoc>
</recording>
"""


def multipart(
    sdp: str,
    metadata: str | bytes,
    *,
    metadata_type: str = "application/rs-metadata+xml",
    metadata_first: bool = False,
    preamble: str = "",
    final_crlf: bool = True,
) -> tuple[bytes, str]:
    """Return a body with both parts and its Content-Type."""
    xml = metadata.encode() if isinstance(metadata, str) else metadata
    parts = [
        b"Content-Type: application/sdp\r\n\r\n" + sdp.encode(),
        b"Content-Type: " + metadata_type.encode() + b"\r\nContent-Disposition: recording-session\r\n\r\n" + xml,
    ]
    if metadata_first:
        parts.reverse()
    body = preamble.encode()
    for part in parts:
        body += f"--{BOUNDARY}\r\n".encode() + part + b"\r\n"
    body += f"--{BOUNDARY}--".encode() + b"\r\n" * final_crlf
    return body, f"multipart/mixed;boundary={BOUNDARY}"
