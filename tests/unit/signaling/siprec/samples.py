"""Metadata that several tests start from."""

from __future__ import annotations

from signaling.siprec import RecordingMetadata, parse_metadata

NAMESPACE = "urn:ietf:params:xml:ns:recording:1"

SNAPSHOT = """\
<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1">
  <datamode>complete</datamode>
  <group group_id="Z3JvdXA=">
    <associate-time>2030-01-15T09:30:00Z</associate-time>
  </group>
  <session session_id="c2Vzc2lvbg==">
    <sipSessionID>0123456789abcdef0123456789abcdef;
      remote=fedcba9876543210fedcba9876543210</sipSessionID>
    <group-ref>Z3JvdXA=</group-ref>
    <start-time>2030-01-15T09:30:00Z</start-time>
  </session>
  <participant participant_id="cGFydHkx">
    <nameID aor="sip:alice@example.com"><name xml:lang="en">Alice</name></nameID>
  </participant>
  <participant participant_id="cGFydHky">
    <nameID aor="sip:bob@example.com"><name>Bob</name></nameID>
    <nameID aor="tel:+15550100"/>
  </participant>
  <stream stream_id="c3RyZWFtMQ==" session_id="c2Vzc2lvbg=="><label>96</label></stream>
  <stream stream_id="c3RyZWFtMg==" session_id="c2Vzc2lvbg=="><label>97</label></stream>
  <sessionrecordingassoc session_id="c2Vzc2lvbg==">
    <associate-time>2030-01-15T09:30:00Z</associate-time>
  </sessionrecordingassoc>
  <participantsessionassoc participant_id="cGFydHkx" session_id="c2Vzc2lvbg==">
    <associate-time>2030-01-15T09:30:00Z</associate-time>
    <param pname="isfocus" pval="true"/>
  </participantsessionassoc>
  <participantsessionassoc participant_id="cGFydHky" session_id="c2Vzc2lvbg==">
    <associate-time>2030-01-15T09:30:00Z</associate-time>
  </participantsessionassoc>
  <participantstreamassoc participant_id="cGFydHkx">
    <send>c3RyZWFtMQ==</send>
    <recv>c3RyZWFtMg==</recv>
  </participantstreamassoc>
  <participantstreamassoc participant_id="cGFydHky">
    <send>c3RyZWFtMg==</send>
    <recv>c3RyZWFtMQ==</recv>
  </participantstreamassoc>
</recording>
"""


def document(inner: str, *, mode: str = "complete") -> RecordingMetadata:
    """Parse a document that has these elements."""
    return parse_metadata(f'<recording xmlns="{NAMESPACE}"><datamode>{mode}</datamode>{inner}</recording>'.encode())


def partial(inner: str) -> RecordingMetadata:
    """Parse a partial update that has these elements."""
    return document(inner, mode="partial")
