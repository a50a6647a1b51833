"""Bodies and metadata under arbitrary input; updates that never lose anything silently."""

from __future__ import annotations

import time
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signaling.siprec import (
    BodyError,
    MetadataError,
    RecordingMetadata,
    RecordingSession,
    apply_update,
    bind_streams,
    find_contents,
    find_identifiers,
    parse_body,
    parse_metadata,
)
from signaling.siprec import bodies as bodies_module
from signaling.siprec import document as document_module
from signaling.siprec import metadata as metadata_module
from signaling.siprec.media_types import mirror, parse_content_type, parse_disposition

CORPUS = Path(__file__).parents[1] / "corpus"
BODIES = sorted(path.read_bytes() for folder in ("multipart", "vendor") for path in (CORPUS / folder).glob("*.mime"))
DOCUMENTS = sorted(
    [path.read_bytes() for path in (CORPUS / "rs-metadata").glob("*.xml")]
    + [body[body.index(b"<?xml") : body.rindex(b">") + 1] for body in BODIES if b"<?xml" in body]
)
SECONDS_FOR_THE_LARGEST_INPUT = 5.0
"""Many times what linear work takes here; quadratic work would take minutes."""

NAMES = ("recording", "session", "participant", "stream", "participantstreamassoc", "send", "label", "nameID", "x")
IDENTIFIERS = st.sampled_from(("", "a", "b", "c", "d"))
XML_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=10)


def handle_body(content_type: str | None, body: bytes) -> None:
    """Do to a body what is done to a received one; only our errors may come out."""
    try:
        contents = find_contents(parse_body(content_type, body, content_type))
    except BodyError:
        return
    for part in (contents.description, contents.metadata, *contents.others, *contents.unsupported):
        if part is not None:
            assert part.body in body
            assert isinstance(part.content, bytes)
            assert len(part.digest) == 64
    if contents.metadata is not None:
        handle_document(contents.metadata.content, contents.metadata.content_type.charset)


def handle_document(raw: bytes, charset: str | None = None) -> None:
    try:
        metadata = parse_metadata(raw, charset=charset)
    except MetadataError:
        return
    state = apply_update(apply_update(None, metadata), metadata)
    find_identifiers(state)
    bind_streams(state, [stream.label for stream in state.streams[:8]])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=RecordingSession) == state


@given(st.none() | st.text(max_size=60), st.binary(max_size=300))
def test_arbitrary_bodies_raise_only_our_error(content_type: str | None, body: bytes) -> None:
    handle_body(content_type, body)
    handle_body("multipart/mixed;boundary=b", b"--b\r\n" + body + b"\r\n--b--")
    handle_body("application/rs-metadata", body)


@given(st.binary(max_size=60))
def test_a_field_in_any_encoding_leaves_nothing_that_cannot_be_written_down(value: bytes) -> None:
    text = value.decode("utf-8", "surrogateescape")
    for part in parse_body(f"a/{text}", b"x", text).parts:
        part.raw_content_type.encode()
        part.content_type.essence.encode()
        part.disposition.kind.encode()


@given(st.text(max_size=80))
def test_arbitrary_fields_are_read(value: str) -> None:
    for text in (value, f"multipart/mixed;{value}", f'a/b;boundary="{value}"'):
        assert parse_content_type(text).essence == parse_content_type(text).essence.lower()
        assert isinstance(parse_disposition(text).required, bool)
        assert mirror(text).startswith("application/rs-metadata")


@given(st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_mutated_bodies_raise_only_our_error(data: st.DataObject) -> None:
    header, _, rest = data.draw(st.sampled_from(BODIES)).partition(b"\r\n\r\n")
    body = bytearray(rest)
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(body)))
        length = data.draw(st.integers(0, 12))
        body[place : place + length] = data.draw(
            st.binary(max_size=6) | st.sampled_from([b"\r\n", b"--", b"\n\n", b"<", b"&", b"</", b"\r\n--b\r\n"])
        )
    handle_body(header.decode().partition(":")[2].strip(), bytes(body))


@given(st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_mutated_documents_raise_only_our_error(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(DOCUMENTS)))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(raw)))
        length = data.draw(st.integers(0, 20))
        raw[place : place + length] = data.draw(
            st.binary(max_size=6)
            | st.sampled_from(
                [b"<", b">", b"&", b"]]>", b"<![CDATA[", b"<!", b"&#0;", b"&x;", b"<sip:", b"\xff\xfe", b"\0"]
            )
        )
    handle_document(bytes(raw), data.draw(st.sampled_from((None, "utf-8", "utf-16", "iso-8859-1", "punycode"))))


@st.composite
def elements(draw: st.DrawFn, depth: int = 0) -> str:
    name = draw(st.sampled_from(NAMES))
    found = {
        draw(st.sampled_from(("id", "session_id", "stream_id", "aor"))): draw(XML_TEXT)
        for _ in range(draw(st.integers(0, 2)))
    }
    inner = escape(draw(XML_TEXT))
    if depth < 4:
        inner += "".join(draw(st.lists(elements(depth + 1), max_size=3)))
    return f"<{name}{''.join(f' {key}={quoteattr(value)}' for key, value in found.items())}>{inner}</{name}>"


@given(elements())
def test_any_tree_of_known_elements_is_read(tree: str) -> None:
    handle_document(tree.encode())
    handle_document(f"<recording>{tree}</recording>".encode())


@given(
    st.lists(st.binary(max_size=60).filter(lambda body: b"--boundary" not in body), min_size=1, max_size=5),
    st.binary(max_size=20),
    st.binary(max_size=20),
    st.sampled_from([b"\r\n", b"\n"]),
)
def test_parts_come_back_byte_for_byte(parts: list[bytes], preamble: bytes, epilogue: bytes, line_end: bytes) -> None:
    raw = preamble + line_end
    for part in parts:
        raw += b"--boundary" + line_end + b"Content-Type: x/y" + line_end + line_end + part + line_end
    raw += b"--boundary--" + line_end + epilogue
    body = parse_body("multipart/mixed; boundary=boundary", raw)
    expected = [part.removesuffix(b"\r") if line_end == b"\n" else part for part in parts]
    assert [part.body for part in body.parts] == expected
    assert body.doubts == ()


@pytest.mark.parametrize(
    "pattern",
    [
        b"--b\r\n", b"\r--b", b"\n--b x", b"--b", b"\n--b", b"\r\n\r\n", b"\n", b"\r", b";a=b", b"--b--", b"--b\n:",
        b"\\",
        b"--b\r\nContent-Type: text/plain\r\n\r\n", b"--b\nContent-Type: multipart/mixed;boundary=b\n\n",
    ],
)  # fmt: skip
def test_the_largest_bodies_take_linear_time(pattern: bytes) -> None:
    body = (pattern * (bodies_module.MAX_BYTES // len(pattern)))[: bodies_module.MAX_BYTES]
    started = time.process_time()
    handle_body("multipart/mixed;boundary=b", body)
    handle_body("multipart/mixed", body)
    handle_body(body.decode(), b"x")
    assert time.process_time() - started < SECONDS_FOR_THE_LARGEST_INPUT


@pytest.mark.parametrize(
    "pattern",
    [
        "<a>", "<a/>", "<v:a>", "<a b='", "<a {}='1'/>", "<a{}>x</a{}>", "&", "&#65;", "<", "<sip:", "<![CDATA[", "]]>",
        "<!--", "<?x?>", " ", "<recording id='1'>", "<session id='1'/>", "<session id=''/>", "<participant id='{}'/>",
        "<stream><label>{}</label></stream>",
        "<participantstreamassoc participant_id='{}'><send>{}</send></participantstreamassoc>",
    ],
)  # fmt: skip
def test_the_largest_documents_take_linear_time(pattern: str) -> None:
    limit = document_module.MAX_BYTES - 100
    pieces = []
    number = 0
    size = 0
    while size < limit and number * pattern.count("<") < document_module.MAX_TAGS:
        piece = pattern.replace("{}", str(number))
        pieces.append(piece)
        size += len(piece)
        number += 1
    inner = "".join(pieces)[:limit]
    started = time.process_time()
    handle_document(f"<recording>{inner}</recording>".encode())
    handle_document(inner.encode())
    assert time.process_time() - started < SECONDS_FOR_THE_LARGEST_INPUT


@st.composite
def documents(draw: st.DrawFn, *, complete: bool) -> RecordingMetadata:
    """Draw a document of few identifiers, so that later ones often speak of the same elements."""
    inner = f"<datamode>{'complete' if complete else 'partial'}</datamode>"
    for _ in range(draw(st.integers(0, 8))):
        identifier = draw(IDENTIFIERS)
        kind = draw(st.sampled_from(("group", "session", "participant", "stream", "participantstreamassoc")))
        content = {
            "group": "",
            "session": draw(
                st.sampled_from(("", "<sipSessionID>x</sipSessionID>", "<stop-time>2030-01-15T09:30:00Z</stop-time>"))
            ),
            "participant": draw(st.sampled_from(("", "<nameID aor='sip:1'/>", "<nameID aor='sip:2'/>"))),
            "stream": draw(st.sampled_from(("", "<label>1</label>", "<label>2</label>"))),
            "participantstreamassoc": draw(st.sampled_from(("", "<send>a</send>", "<send>b</send><recv>c</recv>"))),
        }[kind]
        attribute = "participant_id" if kind == "participantstreamassoc" else "id"
        inner += f"<{kind} {attribute}='{identifier}'>{content}</{kind}>"
    return parse_metadata(f"<recording>{inner}</recording>".encode())


def identified(state: RecordingSession) -> set[tuple[str, str]]:
    return {
        *(("group", group.group_id) for group in state.groups),
        *(("session", session.session_id) for session in state.sessions),
        *(("participant", participant.participant_id) for participant in state.participants),
        *(("stream", stream.stream_id) for stream in state.streams if stream.stream_id),
        *(("association", association.participant_id) for association in state.participant_stream_associations),
    }


@given(st.lists(documents(complete=True), min_size=1, max_size=3), st.lists(documents(complete=False), max_size=4))
def test_partial_updates_never_remove_an_element(
    snapshots: list[RecordingMetadata], updates: list[RecordingMetadata]
) -> None:
    state: RecordingSession | None = None
    for snapshot in snapshots:
        state = apply_update(state, snapshot)
    assert state == apply_update(None, snapshots[-1])
    assert state is not None
    for update in updates:
        after = apply_update(state, update)
        assert identified(after) >= identified(state)
        names = {participant.participant_id: participant.name_ids for participant in after.participants}
        assert all(names[p.participant_id] for p in state.participants if p.participant_id and p.name_ids)
        assert {doubted.doubt for doubted in state.doubts} <= {doubted.doubt for doubted in after.doubts}
        state = after


@given(st.lists(documents(complete=False), max_size=5))
def test_repeating_an_update_changes_nothing_more(updates: list[RecordingMetadata]) -> None:
    state: RecordingSession | None = None
    for update in updates:
        state = apply_update(state, update)
        again = apply_update(state, update)
        assert identified(again) == identified(state)
        assert sorted(map(repr, again.participants)) == sorted(map(repr, state.participants))


@given(documents(complete=True), st.lists(documents(complete=False), max_size=4))
def test_one_identifier_never_names_two_kinds_of_element(
    snapshot: RecordingMetadata, updates: list[RecordingMetadata]
) -> None:
    state = apply_update(None, snapshot)
    for update in updates:
        state = apply_update(state, update)
    owners = [pair for pair in identified(state) if pair[0] != "association" and pair[1]]
    assert len({identifier for _, identifier in owners}) == len(owners)


def test_what_strangers_write_does_not_fill_the_memory() -> None:
    for number in range(3000):
        times = f"<start-time>{number}</start-time><stop-time>{'9' * 5000}{number}</stop-time>"
        parse_metadata(f"<recording><session>{times}</session></recording>".encode())
    caches = [value for module in (bodies_module, document_module, metadata_module) for value in vars(module).values()]
    sizes = [cache.cache_info().currsize for cache in caches if hasattr(cache, "cache_info")]
    assert sizes
    assert all(size <= 1024 for size in sizes)
