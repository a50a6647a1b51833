"""What callers hand to the catalog shows no octets: they hold keys, and what people say."""

from __future__ import annotations

from uuid import UUID

from rich.pretty import pretty_repr

from storage.catalog.records import DialogCheckpoint, OpeningMetadata

SECRET = b"key of a session"


def test_the_text_form_leaves_octets_out() -> None:
    checkpoint = DialogCheckpoint(epoch=3, dialog_id="d", segment_id=UUID(int=1), writer="writer-1", snapshot=SECRET)
    document = OpeningMetadata(content_type="application/rs-metadata+xml", body=SECRET)
    for value in (checkpoint, document):
        assert SECRET.decode() not in repr(value)
        assert SECRET.decode() not in pretty_repr(value)
    assert repr(document) == "OpeningMetadata(content_type='application/rs-metadata+xml', keep_body=True)"
    assert pretty_repr(document) == repr(document)
