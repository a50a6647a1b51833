"""One message body for each kind of client: what is extracted from it, and what is answered to it.

The bodies are ours, made after the forms that such clients send; see `tests/corpus/vendor`.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from signaling.sdp import SessionDescription, parse_sdp
from signaling.sdp.offer_answer import Change, Negotiation, conclude, initial_offer, plan
from signaling.siprec import (
    Contents,
    RecordingSession,
    apply_update,
    bind_streams,
    find_contents,
    find_identifiers,
    is_calling_party,
    parse_body,
    parse_metadata,
)
from signaling.siprec.bodies import BodyDoubt
from signaling.siprec.contents import ContentDoubt
from signaling.siprec.model import Doubt
from tests.unit.signaling.sdp.samples import HOST, ORIGIN, text_of

CORPUS = Path(__file__).parents[3] / "corpus" / "vendor"
PORTS = {index: 40000 + 2 * index for index in range(8)}

PCMU = "a=rtpmap:0 PCMU/8000\n"
PCMA = "a=rtpmap:8 PCMA/8000\n"
EVENTS = "a=rtpmap:101 telephone-event/8000\n"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What one body comes to."""

    name: str
    answer: str = ""
    """Media part of our answer."""
    speakers: tuple[tuple[str, ...], ...] = ()
    """Addresses of who is heard on each m-line."""
    session_id: str = ""
    identifiers: dict[str, str] = {}
    doubts: frozenset[Doubt] = frozenset()
    body_doubts: frozenset[BodyDoubt | ContentDoubt] = frozenset()
    line_faults: frozenset[str] = frozenset()
    others: tuple[str, ...] = ()
    start_ms: int | None = None
    calling: tuple[bool | None, ...] = ()


def lines(*streams: tuple[int, str, str, str, str]) -> str:
    return "".join(
        f"m=audio {port} RTP/AVP {formats}\n{attributes}a={direction}\n" + (f"a=label:{label}\n" if label else "")
        for port, formats, attributes, direction, label in streams
    )


G711 = PCMU + EVENTS + "a=fmtp:101 0-15\n"
G711_16 = PCMU + EVENTS + "a=fmtp:101 0-16\n"
CUBE = G711_16 + "a=rtpmap:19 CN/8000\n"
G729 = "a=rtpmap:18 G729/8000\na=fmtp:18 annexb=no\n" + EVENTS + "a=fmtp:101 0-15\n"
OPUS = (
    "a=rtpmap:111 opus/48000/2\na=fmtp:111 maxplaybackrate=16000;useinbandfec=1\na=rtpmap:110 telephone-event/48000\n"
)
AUDIOCODES = PCMA + "a=rtpmap:96 telephone-event/8000\na=fmtp:96 0-15\n"

ORACLE = Case(
    name="oracle",
    answer=lines(
        (40000, "0 101", PCMU + EVENTS, "recvonly", "16777227"),
        (40002, "0 101", PCMU + EVENTS, "recvonly", "16777228"),
        (40004, "0", PCMU, "inactive", "16777229"),
        (40006, "0", PCMU, "inactive", "16777230"),
    ),
    speakers=(("sip:5550111@192.0.2.71",), ("sip:5550100@192.0.2.71",), (), ()),
    session_id="b3JhY2xlLXNlc3Npb24x",
    identifiers={
        "ucid": "00FA080000000001",
        "caller-originated": "true",
        "request-uri": "sip:record=01EXAMPLE0CALLUUID0000000000000A_2030-01-15_09-30-00@192.0.2.40"
        ";calluuid=01EXAMPLE0CALLUUID0000000000000A&connid=00ff00ff00ff0001;dn=5550100",
        "header Call-ID": "example-call-0002@192.0.2.71",
        "header To": "<sip:5550100@192.0.2.71;user=phone>",
        "calling-party": "false",
    },
    doubts=frozenset({Doubt.NOT_WELL_FORMED, Doubt.NO_ZONE}),
    calling=(True, False),
)

BROADWORKS_IDENTIFIERS = {
    "tracking-id": "900001:1",
    "tenant": "ExampleProvider",
    "group": "Example-Group",
    "user": "agent-0001@example.com",
    "call-id": "callhalf-100001:0",
    "calling-number": "sip:+15550100@example.com",
    "called-number": "sip:+15550111@example.com",
    "dialed-number": "sip:5550111@example.com",
    "recording-mode": "on",
}

CASES = [
    Case(
        name="opensips",
        answer=lines(
            (40000, "0 101", G711_16, "recvonly", "1"),
            (40002, "8 101", PCMA + EVENTS + "a=fmtp:101 0-16\n", "recvonly", "0"),
        ),
        speakers=(("sip:5550100@example.com",), ("sip:5550111@example.net",)),
        session_id="AAAAAAAAQAGAAAAAAAAAAQ==",
        identifiers={"sip-session-id": "example-call-0001@192.0.2.70"},
    ),
    ORACLE,
    msgspec.structs.replace(
        ORACLE,
        name="oracle-cdata",
        identifiers={**ORACLE.identifiers, "request-uri": ORACLE.identifiers["request-uri"].replace("&", ";")},
        doubts=frozenset({Doubt.NO_ZONE}),
    ),
    Case(
        name="cube",
        answer=lines(
            (40000, "0 101 19", CUBE, "inactive", "1"),
            (40002, "0 101 19", CUBE, "recvonly", "2"),
        ),
        speakers=(("sip:5550111@198.51.100.32",), ("sip:5550100@198.51.100.33",)),
        session_id="Y3ViZS1zZXNzaW9uLTE=",
        identifiers={"sip-session-id": "0123456789abcdef0123456789abcdef;remote=fedcba9876543210fedcba9876543210"},
        others=("application/gtd",),
        start_ms=1894699800125,
    ),
    Case(
        name="broadworks",
        answer=lines((40000, "111 110", OPUS, "recvonly", "1"), (40002, "0 101", PCMU + EVENTS, "recvonly", "2")),
        speakers=(("sip:agent-0001@example.com",), ("sip:+15550111@example.com;user=phone",)),
        session_id="urn:uuid:00000000-0000-4000-8000-00000000b003",
        identifiers=BROADWORKS_IDENTIFIERS,
        start_ms=1894699800000,
    ),
    Case(
        name="broadworks-mixed",
        answer=lines((40000, "111 110", OPUS, "recvonly", "1")),
        speakers=(("sip:agent-0001@example.com", "sip:+15550111@example.com;user=phone"),),
        session_id="urn:uuid:00000000-0000-4000-8000-00000000b003",
        identifiers=BROADWORKS_IDENTIFIERS,
        start_ms=1894699800000,
    ),
    Case(
        name="avaya",
        answer=lines(
            (40000, "0 101", PCMU + EVENTS, "recvonly", "1"), (40002, "0 101", PCMU + EVENTS, "recvonly", "2")
        ),
        speakers=((), ()),
        session_id="00000000000000000000000000a001",
        doubts=frozenset({Doubt.EMPTY_IDENTIFIER}),
        start_ms=1894699800000,
    ),
    Case(
        name="metaswitch",
        answer=lines((40000, "8 101", PCMA + EVENTS + "a=fmtp:101 0-15\n", "recvonly", "main")),
        speakers=(("tel:+15550100", "tel:+15550111"),),
        session_id="ms-session-1",
        start_ms=1894699800000,
    ),
    Case(
        name="ribbon",
        answer=lines((40000, "0", PCMU, "recvonly", "1"), (40002, "0", PCMU, "recvonly", "2")),
        speakers=(("5550111@198.51.100.72",), ("5550100@198.51.100.73",)),
        session_id="cmliYm9uLXNlc3Npb24x",
        identifiers={
            "from": '"5550111" <sip:5550111@198.51.100.72>;tag=gK00000001',
            "to": "<sip:5550100@198.51.100.73>;tag=gK00000002",
            "call-id": "example-call-0003@198.51.100.72",
            "global-call-id": "1000001",
        },
        start_ms=11580065000,
    ),
    Case(
        name="audiocodes",
        answer=lines((40000, "8 96", AUDIOCODES, "recvonly", "1"), (40002, "8 96", AUDIOCODES, "recvonly", "2")),
        speakers=(("5550111@203.0.113.81",), ("5550100@203.0.113.82",)),
        session_id="0000-0000-0000-0000-00000000c002",
        identifiers={"genesys-uuid": "01EXAMPLE0CALLUUID0000000000000A", "avaya-ucid": "FA08000000000001"},
        doubts=frozenset({Doubt.NOT_WELL_FORMED}),
        line_faults=frozenset({"line-ends"}),
    ),
    Case(
        name="jambonz",
        answer=lines((40000, "0 101", G711_16, "recvonly", "1"), (40002, "0 101", G711_16, "recvonly", "2")),
        speakers=(("sip:5550111@192.0.2.92",), ("sip:5550100@192.0.2.93",)),
        session_id="amFtYm9uei1zZXNzaW9u",
        identifiers={"sip-session-id": "example-call-0004"},
    ),
    Case(
        name="sems",
        answer=lines((40000, "0", PCMU, "recvonly", "caller"), (40002, "0", PCMU, "recvonly", "callee")),
        speakers=(("5550111",), ("5550100",)),
        session_id="1",
        body_doubts=frozenset({ContentDoubt.DAMAGED_TYPE}),
        start_ms=1894699800000,
    ),
    Case(name="nbr", answer=lines((40000, "0 101", G711, "recvonly", ""), (40002, "0 101", G711, "recvonly", ""))),
    Case(
        name="genesys-msr",
        answer=lines((40000, "18 101", G729, "recvonly", ""), (40002, "18 101", G729, "recvonly", "")),
    ),
]


def contents_of(name: str) -> Contents:
    header, _, body = (CORPUS / f"{name}.mime").read_bytes().partition(b"\r\n\r\n")
    fields = {}
    for line in header.decode().split("\r\n"):
        field, _, value = line.partition(":")
        fields[field.lower()] = value.strip()
    return find_contents(parse_body(fields["content-type"], body, fields.get("content-disposition")))


def description_of(name: str) -> SessionDescription:
    part = contents_of(name).description
    assert part is not None
    return parse_sdp(part.content)


def session_of(name: str, before: RecordingSession | None = None) -> RecordingSession | None:
    part = contents_of(name).metadata
    return None if part is None else apply_update(before, parse_metadata(part.content))


def answered(name: str, previous: Negotiation | None = None) -> Negotiation:
    media = plan(description_of(name), previous)
    return media.negotiation(media.to_answer(HOST, PORTS, ORIGIN))


def test_every_body_of_the_corpus_is_judged() -> None:
    judged = {case.name for case in CASES} | {"avaya-update", "broadworks-hold", "bib-ack"}
    assert {path.stem for path in CORPUS.glob("*.mime")} == judged


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_answer(case: Case) -> None:
    session = "v=0\no=srs 7001 1 IN IP4 192.0.2.50\ns=-\nc=IN IP4 192.0.2.50\nt=0 0\n"
    assert text_of(answered(case.name).local) == session + case.answer


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_parts_and_deviations(case: Case) -> None:
    contents = contents_of(case.name)
    assert contents.unsupported == ()
    assert tuple(part.content_type.essence for part in contents.others) == case.others
    assert frozenset(contents.doubts) == case.body_doubts
    assert frozenset(fault.code.value for fault in description_of(case.name).faults) == case.line_faults
    assert plan(description_of(case.name)).noted == ()


@pytest.mark.parametrize("case", [case for case in CASES if case.session_id], ids=lambda case: case.name)
def test_the_metadata(case: Case) -> None:
    session = session_of(case.name)
    assert session is not None
    assert {doubted.doubt for doubted in session.doubts} == case.doubts
    assert [known.session_id for known in session.sessions] == [case.session_id]
    assert {f"{one.kind} {one.detail}".strip(): one.value for one in find_identifiers(session)} == case.identifiers
    start = session.sessions[0].start_time
    assert (start.unix_ms if start else None) == case.start_ms
    if case.calling:
        assert tuple(is_calling_party(participant) for participant in session.participants) == case.calling


@pytest.mark.parametrize("case", [case for case in CASES if case.session_id], ids=lambda case: case.name)
def test_who_is_heard_on_which_line(case: Case) -> None:
    session = session_of(case.name)
    assert session is not None
    bindings = bind_streams(session, [media.label for media in description_of(case.name).media])
    assert tuple(tuple(sender.aor for sender in binding.senders) for binding in bindings) == case.speakers
    assert [binding.mixed for binding in bindings] == [len(speakers) > 1 for speakers in case.speakers]


@pytest.mark.parametrize("name", ["nbr", "genesys-msr", "bib-ack"])
def test_bodies_without_metadata(name: str) -> None:
    assert contents_of(name).metadata is None


def test_the_update_of_avaya_names_the_streams_and_the_second_party() -> None:
    session = session_of("avaya-update", session_of("avaya"))
    assert session is not None
    first, second = bind_streams(session, ["1", "2"])
    assert [sender.aor for sender in first.senders] == ["sip:5550111@198.51.100.50"]
    assert [sender.name for sender in second.senders] == ["Agent Example"]
    assert (first.doubts, second.doubts) == ((), ())
    assert len(session.streams) == 2


def test_the_hold_of_broadworks_pauses_and_its_end_resumes() -> None:
    running = answered("broadworks")
    held = plan(description_of("broadworks-hold"), running)
    assert [stream.recording for stream in held.streams] == [False, False]
    assert held.streams[0].changes >= {Change.PAUSED}
    resumed = plan(description_of("broadworks"), held.negotiation(held.to_answer(HOST, PORTS, ORIGIN)))
    assert [stream.recording for stream in resumed.streams] == [True, True]


def test_the_built_in_bridge_answers_our_offer_in_its_ack() -> None:
    offer = initial_offer(HOST, [40000], ORIGIN)
    stream = conclude(offer, description_of("bib-ack")).streams[0]
    assert (stream.formats, stream.recording, stream.remote_host) == ((0,), True, "198.51.100.97")
