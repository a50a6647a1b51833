"""SIP parser and framer against properties: round trips, one kind of error, any chunking, linear time, an oracle."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable

import pytest
import sipmessage
from hypothesis import example, given
from hypothesis import strategies as st

from signaling.errors import SipSyntaxError
from signaling.sip import (
    Headers,
    MediaType,
    NameAddr,
    Request,
    Response,
    StreamFramer,
    Uri,
    Via,
    build_response,
    parse_message,
    reject_malformed,
)
from signaling.sip.digest import Challenge, Credentials
from signaling.sip.message import HeaderAccess
from signaling.sip.syntax import Params, split_list
from signaling.sip.uri import unescape

from .signaling_sip_strategies import SEEDS, mutated, tokens, well_formed

ACCESSORS = [
    name for name, value in vars(HeaderAccess).items() if not name.startswith("_") and hasattr(value, "__get__")
]

values = st.binary(max_size=30).map(
    lambda octets: octets.translate(None, b"\r\n").decode("utf-8", "surrogateescape").strip(" \t")
)


def use(message: Request | Response) -> None:
    """Read every header field and answer the message: nothing but `SipSyntaxError` may come out of the reading."""
    for name in ACCESSORS:
        with contextlib.suppress(SipSyntaxError):
            getattr(message, name)
    assert parse_message(message.encode()).encode() == message.encode()
    if isinstance(message, Request):
        answer = parse_message(build_response(message, 200, to_tag="t", record_route=True).encode())
        assert isinstance(answer, Response)
        assert (answer.call_id, answer.cseq, answer.from_) == (message.call_id, message.cseq, message.from_)
        assert answer.headers.get_all("Via") == message.headers.get_all("Via")
        assert answer.to.tag is not None


def swallow(data: bytes) -> None:
    try:
        message = parse_message(data)
    except SipSyntaxError as error:
        answer = reject_malformed(error, to_tag="t")
        if answer is not None:
            assert 400 <= parse_status(answer.encode()) < 600
        return
    use(message)


def parse_status(octets: bytes) -> int:
    return int(octets.split(b" ", 2)[1])


def framed(data: bytes, cuts: list[int]) -> tuple[list[bytes], int, bool]:
    framer = StreamFramer()
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    messages = [message for at, end in itertools.pairwise(bounds) for message in framer.feed(data[at:end])]
    return messages, framer.pings(), framer.error is not None


def test_there_are_accessors_to_test() -> None:
    assert {"vias", "contacts", "content_type", "session_expires"} <= set(ACCESSORS)


@given(
    st.lists(st.tuples(tokens.map(lambda name: "X" + name), values), max_size=8), st.binary(max_size=60), st.booleans()
)
def test_what_we_encode_we_parse(extra: list[tuple[str, str]], body: bytes, response: bool) -> None:
    headers = Headers(
        [
            ("Via", "SIP/2.0/UDP a;branch=z9hG4bK1"),
            *extra,
            ("From", "<sip:a@h>;tag=1"),
            ("t", "<sip:b@h>"),
            ("Call-ID", "c"),
            ("CSeq", "1 INVITE"),
            ("Content-Length", str(len(body))),
        ]
    )
    message = Response(200, "OK", headers, body) if response else Request("INVITE", Uri.parse("sip:h"), headers, body)
    assert parse_message(message.encode()) == message


@given(well_formed())
def test_well_formed_messages_are_accepted_and_can_be_answered(data: bytes) -> None:
    use(parse_message(data))


@given(st.binary(max_size=300))
def test_arbitrary_octets_raise_only_our_error(data: bytes) -> None:
    swallow(data)


@given(mutated())
def test_mutated_messages_raise_only_our_error(data: bytes) -> None:
    swallow(data)


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_every_message_of_the_corpus_raises_only_our_error(path: object) -> None:
    swallow(next(seed for seed in SEEDS if seed == path).read_bytes())


@given(
    st.lists(st.one_of(well_formed(), st.just(b"\r\n\r\n"), st.just(b"\r\n")), max_size=4).map(b"".join),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_the_same_messages_come_out_however_the_stream_is_cut(data: bytes, cuts: list[int]) -> None:
    assert framed(data, cuts) == framed(data, [])


@given(st.one_of(st.binary(max_size=200), mutated()), st.lists(st.integers(0, 10_000), max_size=12))
@example(b"X\r\n\n\nY: 1\r\n\r\n", [4, 5])
def test_the_same_is_true_of_rubbish(data: bytes, cuts: list[int]) -> None:
    assert framed(data, cuts) == framed(data, [])


@given(st.lists(well_formed(), max_size=4))
def test_what_was_sent_is_what_is_framed(messages: list[bytes]) -> None:
    assert framed(b"".join(messages), [])[0] == messages


READERS: list[Callable[[str], object]] = [
    Uri.parse,
    Via.parse,
    MediaType.parse,
    Challenge.parse,
    Credentials.parse,
    lambda text: NameAddr.parse(text, "To"),
    lambda text: Params.parse(text, "To"),
    lambda text: split_list(text, "To"),
]


@given(st.sampled_from(READERS), st.text(st.sampled_from('sip:@<>";,=\\ \t[]?%a1/.'), max_size=40))
def test_values_raise_only_our_error(read: Callable[[str], object], text: str) -> None:
    with contextlib.suppress(SipSyntaxError):
        read(text)


@given(well_formed())
def test_sipmessage_reads_the_same(data: bytes) -> None:
    """An independent parser agrees on every message that it accepts (it refuses spaces and some escapes)."""
    try:
        theirs = sipmessage.Message.parse(data)
        their_vias, their_from, their_to = theirs.via, theirs.from_address, theirs.to_address
        their_contacts = theirs.contact
    except ValueError:
        return
    ours = parse_message(data)
    assert theirs.body == ours.body
    assert theirs.call_id == ours.call_id
    assert (theirs.cseq.sequence, theirs.cseq.method) == (ours.cseq.number, ours.cseq.method)
    assert len(their_vias) == len(ours.vias)
    for via, own_via in zip(their_vias, ours.vias, strict=True):
        assert (via.transport, via.host.strip("[]"), via.port) == (own_via.transport, own_via.host, own_via.port)
        assert via.parameters.get("branch") == own_via.branch
    pairs = [(their_from, ours.from_), (their_to, ours.to), *zip(their_contacts, ours.contacts, strict=True)]
    for address, own in pairs:
        assert address.name == own.display_name
        assert address.parameters.get("tag") == own.tag
        assert address.uri.host.strip("[]") == own.uri.host
        assert address.uri.port == own.uri.port
        assert address.uri.user == (None if own.uri.user is None else unescape(own.uri.user))


HEAD = (
    b"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP a\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:h>\r\n"
    b"Call-ID: c\r\nCSeq: 1 OPTIONS\r\n"
)
GROWING: dict[str, Callable[[int], bytes]] = {
    "header fields": lambda n: HEAD + b"X-%d: 1\r\n" * (n // 8),
    "lines without a colon": lambda n: HEAD + b"x\r\n" * min(n // 3, 900),
    "one long field": lambda n: HEAD + b"X: " + b"v" * n + b"\r\n",
    "folded lines": lambda n: HEAD + b"X: 1\r\n" + b" f\r\n" * (n // 4),
    "parameters": lambda n: HEAD + b"Contact: <sip:h>" + b";a=1" * (n // 4) + b"\r\n",
    "list elements": lambda n: HEAD + b"Contact: " + b"<sip:h>," * (n // 8) + b"<sip:h>\r\n",
    "vias": lambda n: HEAD + b"Via: SIP/2.0/TCP a" + b", SIP/2.0/TCP a" * (n // 15) + b"\r\n",
    "open quotes": lambda n: HEAD + b"Contact: " + b'"' * (n | 1) + b"\r\n",
    "open brackets": lambda n: HEAD + b"Contact: " + b"<" * n + b"\r\n",
    "backslashes": lambda n: HEAD + b'Contact: "' + b"\\" * n + b"\r\n",
    "escapes": lambda n: HEAD + b"Contact: <sip:" + b"%41" * (n // 3) + b"@h>\r\n",
    "white space": lambda n: HEAD + b"Contact: <sip:h> ;" + b" " * n + b"x\r\n",
}


def seconds(data: bytes) -> float:
    """Return the CPU time of parsing `data` and reading all of it; the best of five, so that noise plays no part."""
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        swallow(data)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("shape", GROWING)
def test_time_is_linear_in_the_size(shape: str) -> None:
    """From 500 to 16,000 octets is 32 times as much: linear code takes 32 times as long, quadratic 1,024 times."""
    grow = GROWING[shape]
    small, large = seconds(grow(500) + b"\r\n"), seconds(grow(16_000) + b"\r\n")
    assert large < 200 * max(small, 20e-6)


def test_a_stream_that_comes_byte_by_byte_costs_linear_time() -> None:
    def cost(size: int) -> float:
        data = HEAD + b"X: 1\r\n" * (size // 6) + b"Content-Length: 0\r\n\r\n"
        framer = StreamFramer()
        start = time.process_time()
        messages = [message for at in range(len(data)) for message in framer.feed(data[at : at + 1])]
        assert messages == [data]
        return time.process_time() - start

    small, large = min(cost(500) for _ in range(3)), min(cost(5_000) for _ in range(3))
    assert large < 40 * max(small, 1e-4)
