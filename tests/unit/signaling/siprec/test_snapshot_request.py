"""The document that asks for a snapshot."""

from __future__ import annotations

from lxml import etree

from signaling.siprec import snapshot_request
from signaling.siprec.schema import NAMESPACE
from signaling.siprec.snapshot_request import DISPOSITION


def test_the_form() -> None:
    assert snapshot_request("SRS restarted") == (
        b'<?xml version="1.0" encoding="UTF-8"?>\r\n'
        b'<requestsnapshot xmlns="urn:ietf:params:xml:ns:recording:1">'
        b'<requestreason xml:lang="en">SRS restarted</requestreason></requestsnapshot>'
    )
    assert DISPOSITION == "recording-session"


def test_without_a_reason_there_is_no_element_for_it() -> None:
    root = etree.fromstring(snapshot_request())
    assert (root.tag, len(root)) == (f"{{{NAMESPACE}}}requestsnapshot", 0)


def test_a_reason_cannot_break_the_document() -> None:
    root = etree.fromstring(snapshot_request('<&"\x00\n\ud800 ä', language='e"n'))
    assert root[0].text == '<&" ä'
    assert root[0].get("{http://www.w3.org/XML/1998/namespace}lang") == 'e"n'
