"""RFC 7865 §5, the format of recording metadata (checklist S8, S22; parser policy 2, 3, 6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from signaling.siprec import MetadataError, parse_metadata
from signaling.siprec.model import Doubt
from signaling.siprec.schema import NAMESPACES
from tests.unit.signaling.siprec.samples import SNAPSHOT, document

CORPUS = Path(__file__).parent.parent / "corpus" / "rs-metadata"


def test_s8_5_1_2_a_missing_datamode_means_a_complete_snapshot() -> None:
    assert parse_metadata(SNAPSHOT.replace("<datamode>complete</datamode>", "").encode()).complete


@pytest.mark.parametrize("name", ["datamode", "dataMode"])
@pytest.mark.parametrize(("mode", "complete"), [("complete", True), ("partial", False)])
def test_s8_both_spellings_of_datamode(name: str, mode: str, complete: bool) -> None:
    raw = f"<recording xmlns='urn:ietf:params:xml:ns:recording:1'><{name}>{mode}</{name}></recording>"
    assert parse_metadata(raw.encode()).complete is complete


def test_s22_5_1_utf_8_must_be_supported() -> None:
    read = document(
        '<participant participant_id="p"><nameID aor="sip:a@example.com"><name>Zoë 張</name></nameID></participant>'
    )
    assert read.participants[0].name == "Zoë 張"


def test_s22_5_1_the_charset_parameter_overrides_the_declaration() -> None:
    raw = '<?xml version="1.0" encoding="UTF-8"?><recording><session id="ä"/></recording>'.encode("latin-1")
    assert parse_metadata(raw, charset="ISO-8859-1").sessions[0].session_id == "ä"
    assert parse_metadata(raw).doubts[0].doubt is Doubt.BAD_CHARACTERS


@pytest.mark.parametrize("namespace", sorted(NAMESPACES))
def test_5_1_1_the_namespaces_in_use(namespace: str) -> None:
    read = parse_metadata(SNAPSHOT.replace("urn:ietf:params:xml:ns:recording:1", namespace).encode())
    assert (len(read.participants), read.doubts) == (2, ())


def test_6_11_another_version_is_read_as_far_as_it_is_known() -> None:
    raw = SNAPSHOT.replace("urn:ietf:params:xml:ns:recording:1", "urn:ietf:params:xml:ns:recording:2")
    read = parse_metadata(raw.encode())
    assert len(read.participants) == 2
    assert [doubted.doubt for doubted in read.doubts] == [Doubt.UNKNOWN_NAMESPACE]


def test_a_document_of_another_kind_is_no_metadata() -> None:
    with pytest.raises(MetadataError):
        parse_metadata(b"<presence xmlns='urn:ietf:params:xml:ns:pidf'/>")


def test_a_broken_document_gives_what_can_be_read_and_a_doubt() -> None:
    read = parse_metadata((CORPUS / "broken.xml").read_bytes())
    assert read.sessions[0].session_id == "1"
    assert "sip:a?b&c <sip:1@2>" in {extension.text for extension in read.sessions[0].extensions}
    assert {doubted.doubt for doubted in read.doubts} == {
        Doubt.NOT_WELL_FORMED, Doubt.BAD_TIME, Doubt.IDENTIFIER_CONFLICT,
    }  # fmt: skip
