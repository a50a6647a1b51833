"""The ladder: literal lines for literal messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from storage.catalog.views import TracedMessage
from storage.cli.recordings_trace import MAX_FIRST_LINE, draw_ladder

START = datetime(2030, 1, 15, 9, 30, tzinfo=UTC)


def traced(ms: int, text: bytes, *, inbound: bool = True, ordinal: int = 1, flow: str = "udp a b") -> TracedMessage:
    return TracedMessage(
        segment_id=UUID(int=ordinal),
        ordinal=ordinal,
        sip_call_id=f"call-{ordinal}",
        at=START + timedelta(milliseconds=ms),
        inbound=inbound,
        flow=flow,
        message=text,
    )


def test_each_message_is_one_line_with_its_time_and_direction() -> None:
    lines = draw_ladder(
        [
            traced(0, b"INVITE sip:a@b SIP/2.0\r\nTo: x\r\n\r\n"),
            traced(3, b"SIP/2.0 200 OK\r\n\r\n", inbound=False),
            traced(61_004, b"BYE sip:c@d SIP/2.0\r\n\r\n", flow="tcp a c"),
            traced(62_000, b"INVITE sip:a@b SIP/2.0\r\n\r\n", ordinal=2),
        ],
        full=False,
    )
    assert list(lines) == [
        "Segment 1, Call-ID call-1, began 2030-01-15T09:30:00.000Z",
        "              udp a b",
        "       0.000  client --> recorder  INVITE sip:a@b SIP/2.0",
        "       0.003  client <-- recorder  SIP/2.0 200 OK",
        "              tcp a c",
        "      61.004  client --> recorder  BYE sip:c@d SIP/2.0",
        "Segment 2, Call-ID call-2, began 2030-01-15T09:31:02.000Z",
        "              udp a b",
        "      62.000  client --> recorder  INVITE sip:a@b SIP/2.0",
    ]


def test_full_shows_headers_and_body() -> None:
    lines = list(draw_ladder([traced(0, b"INVITE sip:a@b SIP/2.0\r\nTo: x\r\n\r\nv=0\r\n")], full=True))
    assert lines[3:] == ["              To: x", "              ", "              v=0", "              ", ""]


def test_a_long_first_line_is_cut_unless_everything_is_wanted() -> None:
    long = b"INVITE sip:" + b"x" * 500 + b" SIP/2.0\r\n\r\n"
    [*_, short] = draw_ladder([traced(0, long)], full=False)
    assert short.endswith("xxx...")
    assert len(short) < MAX_FIRST_LINE + 40
    assert "SIP/2.0" in "".join(draw_ladder([traced(0, long)], full=True))


def test_nothing_of_a_message_drives_a_terminal() -> None:
    lines = draw_ladder([traced(0, b"INVITE \x1b[2Jsip:\xff SIP/2.0\r\nX: \x07\r\n\r\n")], full=True)
    assert all(line.isprintable() for line in lines)
