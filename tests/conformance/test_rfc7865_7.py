"""RFC 7865 §7, the format of a snapshot request (checklist S15)."""

from __future__ import annotations

from lxml import etree

from signaling.siprec import snapshot_request

NAMESPACE = "{urn:ietf:params:xml:ns:recording:1}"


def test_s15_a_requestsnapshot_element_must_be_the_top_level_element() -> None:
    assert etree.fromstring(snapshot_request("restart")).tag == f"{NAMESPACE}requestsnapshot"


def test_s15_a_requestreason_element_may_be_present_with_its_language() -> None:
    root = etree.fromstring(snapshot_request("SRS internal error", language="it"))
    assert [child.tag for child in root] == [f"{NAMESPACE}requestreason"]
    assert root[0].text == "SRS internal error"
    assert root[0].get("{http://www.w3.org/XML/1998/namespace}lang") == "it"


def test_s15_the_reason_is_optional() -> None:
    assert len(etree.fromstring(snapshot_request())) == 0
