"""Call data in vendor extensions, found by a table."""

from __future__ import annotations

import pytest

from signaling.siprec import apply_update, find_identifiers, is_calling_party
from signaling.siprec.identifiers import Identifier, Kind
from tests.unit.signaling.siprec.samples import document


@pytest.mark.parametrize(
    ("element", "kind", "value", "detail"),
    [
        ("<v:ucid>00FA;encoding=hex</v:ucid>", Kind.UCID, "00FA", ""),
        ("<v:ucid>00FA</v:ucid>", Kind.UCID, "00FA", ""),
        (
            "<v:request-uri>sip:record=1@192.0.2.1;dn=2</v:request-uri>",
            Kind.REQUEST_URI,
            "sip:record=1@192.0.2.1;dn=2",
            "",
        ),
        ('<v:header label="Call-ID">x@y</v:header>', Kind.HEADER, "x@y", "Call-ID"),
        ("<v:header>x</v:header>", Kind.HEADER, "x", ""),
        ("<v:GenesysUUID>01EX</v:GenesysUUID>", Kind.GENESYS_UUID, "01EX", ""),
        ("<v:AvayaUCID> FA08 </v:AvayaUCID>", Kind.AVAYA_UCID, "FA08", ""),
        ("<v:box><v:callerOrig>TRUE</v:callerOrig></v:box>", Kind.CALLER_ORIGINATED, "true", ""),
        ("<callData xmlns=''><gcid>7</gcid></callData>", Kind.GLOBAL_CALL_ID, "7", ""),
        ("<x:ucid xmlns:x='urn:other'>1</x:ucid>", Kind.UCID, "1", ""),
    ],
)
def test_known_elements(element: str, kind: Kind, value: str, detail: str) -> None:
    metadata = document(f'<session session_id="s" xmlns:v="urn:v">{element}</session>')
    assert find_identifiers(metadata) == (Identifier(kind, value, "s", detail),)


def test_unknown_and_empty_elements_are_not_call_data() -> None:
    assert (
        find_identifiers(document('<session session_id="s"><colour>red</colour><v:ucid xmlns:v="urn:v"/></session>'))
        == ()
    )


def test_each_says_whose_it_is_and_session_ids_come_first() -> None:
    state = apply_update(
        None,
        document(
            '<group group_id="g"><v:ucid xmlns:v="urn:v">1</v:ucid></group>'
            '<session session_id="s"><sipSessionID>a;remote=b</sipSessionID><sipSessionID/>'
            '<v:ucid xmlns:v="urn:v">2</v:ucid></session>'
            '<participant participant_id="p"><v:ucid xmlns:v="urn:v">3</v:ucid></participant>'
            '<stream stream_id="t"><v:ucid xmlns:v="urn:v">4</v:ucid></stream>'
            '<v:ucid xmlns:v="urn:v">5</v:ucid>'
        ),
    )
    assert find_identifiers(state) == (
        Identifier(Kind.SIP_SESSION_ID, "a;remote=b", "s"),
        Identifier(Kind.UCID, "5", ""),
        Identifier(Kind.UCID, "1", "g"),
        Identifier(Kind.UCID, "2", "s"),
        Identifier(Kind.UCID, "3", "p"),
        Identifier(Kind.UCID, "4", "t"),
    )


@pytest.mark.parametrize(
    ("text", "expected"), [("true", True), ("False", False), ("", None), ("perhaps", None), (None, None)]
)
def test_the_calling_party(text: str | None, expected: bool | None) -> None:
    mark = "" if text is None else f'<v:callingParty xmlns:v="urn:v">{text}</v:callingParty>'
    participant = document(f'<participant participant_id="p">{mark}</participant>').participants[0]
    assert is_calling_party(participant) is expected
