"""Hypothesis strategies for SIP: well-formed values, whole messages, and mutations of messages."""

from __future__ import annotations

import string
from pathlib import Path

from hypothesis import strategies as st

CORPUS = Path(__file__).parent.parent / "corpus" / "sip"
SEEDS = sorted(CORPUS.rglob("*.dat"))

TOKEN_CHARACTERS = string.ascii_letters + string.digits + "-.!%*_+`'~"
tokens = st.text(st.sampled_from(TOKEN_CHARACTERS), min_size=1, max_size=12)
words = st.text(st.sampled_from(string.ascii_lowercase + string.digits), min_size=1, max_size=8)
hosts = st.one_of(
    words.map(lambda word: f"{word}.example"), st.sampled_from(["192.0.2.40", "[2001:db8::40]", "[::ffff:192.0.2.1]"])
)
ports = st.one_of(st.just(""), st.integers(0, 65535).map(":{}".format))
parameters = st.lists(
    st.one_of(words, st.tuples(words, tokens).map("=".join)).map(lambda text: ";" + text), max_size=3
).map("".join)
users = st.text(st.sampled_from(string.ascii_letters + string.digits + "-_.!~*'()&=+$,;?/"), min_size=1, max_size=10)


@st.composite
def uris(draw: st.DrawFn) -> str:
    user = draw(st.one_of(st.just(""), users.map(lambda text: text + "@")))
    return f"sip:{user}{draw(hosts)}{draw(ports)}{draw(parameters)}"


@st.composite
def addresses(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(["", "Bob ", "Bob Q ", '"B, \\"ob\\"; <x>" ']))
    return f"{name}<{draw(uris())}>{draw(parameters)}"


@st.composite
def vias(draw: st.DrawFn) -> str:
    transport = draw(st.sampled_from(["UDP", "TCP", "TLS", "SCTP"]))
    return f"SIP/2.0/{transport} {draw(hosts)}{draw(ports)};branch=z9hG4bK{draw(tokens)}{draw(parameters)}"


@st.composite
def well_formed(draw: st.DrawFn) -> bytes:
    """Return a request or response that everybody should accept, in plain RFC 3261 form."""
    method = draw(st.sampled_from(["INVITE", "BYE", "OPTIONS", "UPDATE"]))
    response = draw(st.booleans())
    start = f"SIP/2.0 {draw(st.integers(100, 699))} Some Reason" if response else f"{method} {draw(uris())} SIP/2.0"
    body = draw(st.binary(max_size=40))
    lines = [
        start,
        *(f"Via: {via}" for via in draw(st.lists(vias(), min_size=1, max_size=3))),
        f"From: {draw(addresses())};tag={draw(words)}",
        f"To: {draw(addresses())}",
        f"Call-ID: {draw(words)}@{draw(words)}",
        f"CSeq: {draw(st.integers(0, 2**31 - 1))} {method}",
        *(f"Contact: {address}" for address in draw(st.lists(addresses(), max_size=2))),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


SPECIALS = [
    b"\r\n", b"\n", b"\r", b"\r\n ", b"\r\n\r\n", b"\0", b'"', b"\\", b"<", b">", b"<<", b";", b";;", b",", b"=", b":",
    b"%", b"%00",
    b"@", b"[", b"]", b" ", b"\t", b"\xff", b"\xc3\xa9", b"\xe2\x84\xaa", b"-1", b"9" * 30, b"SIP/2.0", b"*",
    b"Content-Length: 5\r\n", b"Via: SIP/2.0/UDP h\r\n", b";tag=", b";lr", b"z9hG4bK",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a message of the corpus after a few cuts, copies and insertions."""
    data = draw(st.sampled_from(SEEDS)).read_bytes()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.integers(0, 20)))
        change = draw(st.sampled_from(["cut", "copy", "insert", "replace", "end"]))
        special = draw(st.sampled_from(SPECIALS))
        match change:
            case "cut":
                data = data[:at] + data[until:]
            case "copy":
                data = data[:until] + data[at:]
            case "insert":
                data = data[:at] + special + data[at:]
            case "replace":
                data = data[:at] + special + data[until:]
            case _:
                data = data[:at]
    return data
