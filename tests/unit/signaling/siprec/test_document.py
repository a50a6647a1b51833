"""XML that is not trusted: encodings, entities, limits, repair."""

from __future__ import annotations

import pytest

from signaling.siprec import MetadataError
from signaling.siprec.document import MAX_BYTES, MAX_TAGS, parse_document
from signaling.siprec.model import Doubt, Doubted


def text_of(raw: bytes, charset: str | None = None) -> tuple[str | None, list[Doubt]]:
    doubts: list[Doubted] = []
    root = parse_document(raw, charset, doubts)
    return (root[0].text if len(root) else root.text), [doubted.doubt for doubted in doubts]


@pytest.mark.parametrize(
    ("raw", "charset"),
    [
        ("<a>ä€</a>".encode(), None),
        (b"\xef\xbb\xbf" + "<a>ä€</a>".encode(), None),
        (b"\r\n " + '<?xml version="1.0" encoding="UTF-8"?><a>ä€</a>'.encode(), None),
        ('<?xml version="1.0" encoding="utf-16"?><a>ä€</a>'.encode("utf-16"), None),
        ("<a>ä€</a>".encode("utf-16-le"), "UTF-16LE"),
        ("<a>ä€</a>".encode("utf-16-be"), "utf-16be"),
        (b"\xfe\xff" + "<a>ä€</a>".encode("utf-16-be"), None),
        ("<?xml version='1.0' encoding='iso-8859-15'?><a>ä€</a>".encode("iso-8859-15"), None),
        ("<?xml version='1.0' encoding='windows-1252'?><a>ä€</a>".encode("cp1252"), None),
        # RFC 7865 §5.1: the charset of the body part overrides the declaration.
        ('<?xml version="1.0" encoding="utf-8"?><a>ä€</a>'.encode("cp1252"), "Windows-1252"),
        ('<?xml version="1.0" encoding="iso-8859-1"?><a>ä€</a>'.encode(), "utf-8"),
    ],
)
def test_encodings(raw: bytes, charset: str | None) -> None:
    assert text_of(raw, charset) == ("ä€", [])


@pytest.mark.parametrize("name", ["punycode", "rot13", "zlib", "utf-7", "x"])
def test_codecs_that_a_peer_may_not_choose(name: str) -> None:
    assert text_of(b"<a>b</a>", name) == ("b", [Doubt.UNKNOWN_CHARSET])
    assert text_of(f"<?xml version='1.0' encoding='{name}'?><a>b</a>".encode()) == ("b", [Doubt.UNKNOWN_CHARSET])


def test_a_readable_declaration_of_utf_16_is_disbelieved() -> None:
    assert text_of(b"<?xml version='1.0' encoding='UTF-16'?><a>b</a>") == ("b", [Doubt.UNKNOWN_CHARSET])


def test_bytes_outside_the_encoding_are_replaced_and_doubted() -> None:
    assert text_of(b"<a>\xff</a>") == ("\ufffd", [Doubt.BAD_CHARACTERS])
    assert text_of("<a>b</a>".encode("utf-16-le") + b"x", "utf-16le") == (
        "b",
        [Doubt.BAD_CHARACTERS, Doubt.NOT_WELL_FORMED],
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
        b"<!doctype a SYSTEM 'http://192.0.2.1/a.dtd'><a/>",
        b"<?xml version='1.0'?>\n<!DOCTYPE a>\n<a/>",
        b"<a/><!ENTITY x SYSTEM 'file:///etc/passwd'>",
        "<!DOCTYPE a><a/>".encode("utf-16"),
        b"<!-- --><!DOCTYPE a><a/>",
    ],
)
def test_a_dtd_is_refused_before_it_is_parsed(raw: bytes) -> None:
    with pytest.raises(MetadataError, match="DTD"):
        parse_document(raw, None, [])


def test_comments_and_instructions_are_dropped() -> None:
    assert text_of(b"<?xml version='1.0'?><?x y?><a><!-- c --><?z?><b>t</b><!-- d --></a>") == ("t", [])


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"<a>sip:x?a=1&b=2&amp;c=&#65;</a>", "sip:x?a=1&b=2&c=A"),
        (b'<a>"Bob" <sip:bob@192.0.2.1;tag=3>;x=1</a>', '"Bob" <sip:bob@192.0.2.1;tag=3>;x=1'),
        (b"<a><SIPS:bob@192.0.2.1> <tel:+1></a>", "<SIPS:bob@192.0.2.1> <tel:+1>"),
        (b"<a>&unknown; &#xFFFFFFFF;</a>", "&unknown; &#xFFFFFFFF;"),
        (b"<a>&#x0;</a>", None),
        (b"<a><![CDATA[<sip:1>&x]]>&<![CDATA[&y]]></a>", "<sip:1>&x&&y"),
    ],
)
def test_addresses_and_ampersands_that_were_not_escaped_are_mended(raw: bytes, text: str | None) -> None:
    assert text_of(raw) == (text, [Doubt.NOT_WELL_FORMED])


def test_cdata_is_plain_text() -> None:
    assert text_of(b"<a><![CDATA[<sip:1>&x]]></a>") == ("<sip:1>&x", [])


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"<r><a>1</a><b>2", "1"),
        (b"<r><x:a>1</x:a></r>", "1"),
        (b"<r><a c='1' c='2'>1</a></r>", "1"),
        (b"<r><a>1</a></r>garbage", "1"),
        (b"<r><a>1</b></r>", "1"),
        (b"<r><a>1\x00</a></r>", "1"),
    ],
)
def test_what_cannot_be_mended_is_read_as_far_as_it_goes(raw: bytes, text: str) -> None:
    assert text_of(raw) == (text, [Doubt.NOT_WELL_FORMED])


@pytest.mark.parametrize("raw", [b"", b" \r\n", b"hello", b"<", b"<>", b"<![CDATA[x]]>", b"\x00\x01", b"v=0\r\n"])
def test_what_is_no_xml_is_unreadable(raw: bytes) -> None:
    with pytest.raises(MetadataError, match="not XML"):
        parse_document(raw, None, [])


def test_the_error_names_the_line_and_nothing_of_the_document() -> None:
    with pytest.raises(MetadataError) as caught:
        parse_document(b"\n\nsecret", None, [])
    assert caught.value.line == 1
    assert "secret" not in str(caught.value)


def test_the_size_is_limited() -> None:
    assert text_of(b"<a>" + b"x" * (MAX_BYTES - 7) + b"</a>")[1] == []
    with pytest.raises(MetadataError, match="too large"):
        parse_document(b"<a>" + b"x" * (MAX_BYTES - 6) + b"</a>", None, [])


def test_the_number_of_tags_is_limited() -> None:
    assert len(parse_document(b"<a>" + b"<b/>" * (MAX_TAGS - 2) + b"</a>", None, [])) == MAX_TAGS - 2
    with pytest.raises(MetadataError, match="too many tags"):
        parse_document(b"<a>" + b"<b/>" * (MAX_TAGS - 1) + b"</a>", None, [])


def test_a_well_formed_document_that_is_too_deep_is_not_followed_to_its_end() -> None:
    doubts: list[Doubted] = []
    root = parse_document(b"<a>" * 5000 + b"</a>" * 5000, None, doubts)
    depth = 0
    while len(root):
        root, depth = root[0], depth + 1
    assert depth < 300
    assert [doubted.doubt for doubted in doubts] == [Doubt.NOT_WELL_FORMED]
