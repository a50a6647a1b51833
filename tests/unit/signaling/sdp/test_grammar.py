"""Reading session descriptions: the strict form, and every deviation that is forgiven."""

from __future__ import annotations

import pytest

from signaling.sdp import Attribute, Connection, Direction, Forgiven, Line, Origin, SdpSyntaxError, parse_sdp
from signaling.sdp.description import PLACEHOLDER_ORIGIN
from signaling.sdp.grammar import MAX_BYTES, MAX_LINES, MAX_MEDIA, number
from tests.unit.signaling.sdp.samples import TWO_STREAMS, body, sdp

STRICT = """\
v=0
o=jdoe 3724394400 3724394405 IN IP6 2001:db8::1
s=Example
i=An information line
u=http://www.example.com/
e=j.doe@example.com (Jane Doe)
p=+1 617 555-6011
c=IN IP6 2001:db8::2
b=AS:128
t=3724394400 3724398000
r=604800 3600 0 90000
z=2882844526 -1h 2898848070 0
k=prompt
a=recvonly
a=X-vendor:some:thing
m=audio 49170 RTP/AVP 0
i=Left
c=IN IP4 224.2.1.1/127/3
b=RR:400
b=RS:100
k=clear:example
a=label:1
m=video 51372/2 RTP/AVP 99
a=rtpmap:99 h263-1998/90000
"""


def codes(text: str) -> list[Forgiven]:
    return [fault.code for fault in sdp(text).faults]


def test_a_strict_description_is_read_without_fault_and_written_byte_for_byte() -> None:
    description = sdp(STRICT)
    assert [fault.code for fault in description.faults] == [Forgiven.PORT_COUNT]
    assert description.encode() == body(STRICT)


def test_the_session_part() -> None:
    description = sdp(STRICT)
    assert description.origin == Origin("jdoe", "3724394400", "3724394405", "IN", "IP6", "2001:db8::1")
    assert description.name == "Example"
    assert description.connection == Connection("IN", "IP6", "2001:db8::2")
    assert [line.kind for line in description.timing] == ["t", "r", "z"]
    assert [line.kind for line in description.lines] == ["i", "u", "e", "p", "b", "k"]
    assert description.attributes == (Attribute("recvonly"), Attribute("X-vendor", "some:thing"))


def test_the_media_parts() -> None:
    audio, video = sdp(STRICT).media
    assert (audio.media, audio.port, audio.protocol, audio.formats) == ("audio", 49170, "RTP/AVP", ("0",))
    assert audio.connection is not None
    assert audio.connection.host == "224.2.1.1"
    assert audio.lines == (Line("i", "Left"), Line("b", "RR:400"), Line("b", "RS:100"), Line("k", "clear:example"))
    assert audio.label == "1"
    assert (video.port, video.port_count) == (51372, 2)


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"])
def test_any_line_end_is_accepted(line_end: bytes) -> None:
    description = parse_sdp(TWO_STREAMS.encode().replace(b"\n", line_end))
    assert [media.port for media in description.media] == [12240, 12242]
    assert bool(description.faults) == (line_end != b"\r\n")
    assert description.encode() == body(TWO_STREAMS)


def test_a_lone_carriage_return_ends_a_line_so_that_no_value_can_smuggle_one() -> None:
    description = parse_sdp(
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\na=label:1\ra=mid:2\r\n"
    )
    assert description.media[0].label == "1"
    assert description.media[0].value("mid") == "2"


def test_a_missing_last_line_end_is_accepted() -> None:
    assert parse_sdp(body(TWO_STREAMS).removesuffix(b"\r\n")).media[1].label == "97"


@pytest.mark.parametrize(
    ("missing", "code"),
    [
        ("v=0\n", Forgiven.NO_VERSION),
        ("s=-\n", Forgiven.NO_NAME),
        ("t=0 0\n", Forgiven.NO_TIME),
        ("o=SRC 100 1 IN IP4 198.51.100.1\n", Forgiven.NO_ORIGIN),
    ],
)
def test_a_missing_line_of_the_session_part_is_forgiven(missing: str, code: Forgiven) -> None:
    description = sdp(TWO_STREAMS.replace(missing, ""))
    assert [fault.code for fault in description.faults] == [code]
    assert len(description.media) == 2
    assert description.timing == (Line("t", "0 0"),)
    assert description.name == "-"


def test_a_missing_origin_is_replaced_by_a_placeholder() -> None:
    assert sdp(TWO_STREAMS.replace("o=SRC 100 1 IN IP4 198.51.100.1\n", "")).origin == PLACEHOLDER_ORIGIN


def test_an_empty_session_name_becomes_the_usual_dash() -> None:
    assert sdp(TWO_STREAMS.replace("s=-", "s=")).name == "-"


@pytest.mark.parametrize(
    ("line", "origin", "faults"),
    [
        ("o=a b c 1 2 IN IP4 192.0.2.1", Origin("a b c", "1", "2", "IN", "IP4", "192.0.2.1"), [Forgiven.BAD_ORIGIN]),
        ("o=1 2 IN IP4 192.0.2.1", Origin("-", "1", "2", "IN", "IP4", "192.0.2.1"), []),
        ("o=1 2 IN", PLACEHOLDER_ORIGIN, [Forgiven.BAD_ORIGIN]),
    ],
)
def test_a_malformed_origin(line: str, origin: Origin, faults: list[Forgiven]) -> None:
    description = sdp(TWO_STREAMS.replace("o=SRC 100 1 IN IP4 198.51.100.1", line))
    assert description.origin == origin
    assert [fault.code for fault in description.faults] == faults


def test_type_letters_in_capitals_and_blanks_around_are_accepted() -> None:
    description = sdp(TWO_STREAMS.replace("a=label:97", "A = label:97").replace("m=audio 12242", "M=audio  12242"))
    assert description.media[1].label == "97"


def test_attribute_names_that_matter_are_read_in_any_case_and_others_kept_as_they_are() -> None:
    description = sdp(
        TWO_STREAMS.replace("a=label:97", "a=LABEL:97").replace("a=sendonly\na=label:96", "a=SendOnly \na=X-Y:1")
    )
    assert description.media[1].label == "97"
    assert description.media[0].direction is Direction.SENDONLY
    assert Attribute("X-Y", "1") in description.media[0].attributes


def test_unknown_lines_are_kept_in_their_section() -> None:
    description = sdp(
        TWO_STREAMS.replace("m=audio 12240", "y=0100\nm=audio 12240").replace("a=label:97", "f=v/1\na=label:97")
    )
    assert description.lines == (Line("y", "0100"),)
    assert description.media[1].lines == (Line("f", "v/1"),)
    assert description.faults == ()


def test_a_second_line_of_a_kind_that_comes_once_is_kept_aside() -> None:
    description = sdp(
        TWO_STREAMS.replace("c=IN IP4 198.51.100.1", "c=IN IP4 198.51.100.1\nc=IN IP4 198.51.100.2\ns=again")
    )
    assert description.connection == Connection("IN", "IP4", "198.51.100.1")
    assert description.lines == (Line("c", "IN IP4 198.51.100.2"), Line("s", "again"))
    assert description.name == "-"


@pytest.mark.parametrize("junk", ["garbage", "=x", "ab=c", "1=2", "a=", "a=:1", "\0", "a=label:9\0"])
def test_a_line_that_is_none_is_dropped_and_reported_with_its_number(junk: str) -> None:
    description = sdp(TWO_STREAMS.replace("t=0 0\n", f"t=0 0\n{junk}\n"))
    assert [(fault.code, fault.line) for fault in description.faults] == [(Forgiven.MALFORMED_LINE, 6)]
    assert description.media == sdp(TWO_STREAMS).media


def test_empty_lines_and_trailing_nuls_are_ignored() -> None:
    description = parse_sdp(body(TWO_STREAMS.replace("t=0 0\n", "t=0 0\n\n  \n")) + b"\0\0")
    assert description.media == sdp(TWO_STREAMS).media
    assert description.faults == ()


@pytest.mark.parametrize("line", ["c=IN IP4", "c=", "c=IN IP4 192.0.2.1 surplus"])
def test_unreadable_connection_data_is_left_out(line: str) -> None:
    description = sdp(TWO_STREAMS.replace("c=IN IP4 198.51.100.1", line))
    assert description.connection is None
    assert [fault.code for fault in description.faults] == [Forgiven.BAD_CONNECTION]


def test_an_m_line_without_format_is_forgiven() -> None:
    description = sdp(TWO_STREAMS + "m=audio 0 RTP/AVP\n")
    assert description.media[2].formats == ()
    assert [fault.code for fault in description.faults] == [Forgiven.NO_FORMAT]


def test_bytes_that_are_not_utf_8_survive_unchanged() -> None:
    raw = body(TWO_STREAMS).replace(b"a=label:97", b"a=label:\xe4\xff")
    description = parse_sdp(raw)
    assert [fault.code for fault in description.faults] == [Forgiven.CHARACTER_SET]
    assert description.encode() == raw


def test_a_byte_order_mark_is_ignored() -> None:
    description = parse_sdp(b"\xef\xbb\xbf" + body(TWO_STREAMS))
    assert description.origin.username == "SRC"
    assert [fault.code for fault in description.faults] == [Forgiven.CHARACTER_SET]


@pytest.mark.parametrize(
    "raw",
    [b"", b"\r\n\r\n", b"<recording xmlns='urn:ietf:params:xml:ns:recording:1'/>", b"hello=world", b"a=sendonly\r\n"],
)
def test_what_is_no_session_description_is_refused_with_488(raw: bytes) -> None:
    with pytest.raises(SdpSyntaxError, match="not a session description") as caught:
        parse_sdp(raw)
    assert caught.value.status == 488


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("m=audio", "m-line lacks a field"),
        ("m=audio 1", "m-line lacks a field"),
        ("m=audio x RTP/AVP 0", "m-line has no valid port"),
        ("m=audio 65536 RTP/AVP 0", "m-line has no valid port"),
        ("m=audio -1 RTP/AVP 0", "m-line has no valid port"),
        ("m=audio 1_0 RTP/AVP 0", "m-line has no valid port"),
        ("m=audio \u0661 RTP/AVP 0", "m-line has no valid port"),
    ],
)
def test_an_m_line_that_cannot_be_answered_is_refused_with_its_place(line: str, reason: str) -> None:
    raw = body(TWO_STREAMS + line + "\n").replace(b"\r\n", b"\n")
    with pytest.raises(SdpSyntaxError, match=reason) as caught:
        parse_sdp(raw)
    assert caught.value.line == 20
    assert raw[: caught.value.offset + 1].endswith(b"a=label:97\n")


def test_the_size_is_limited() -> None:
    padding = b"a=x:" + b"y" * (MAX_BYTES - len(body(TWO_STREAMS)) - 6) + b"\r\n"
    assert len(parse_sdp(body(TWO_STREAMS) + padding).media) == 2
    with pytest.raises(SdpSyntaxError, match="too large"):
        parse_sdp(body(TWO_STREAMS) + padding + b"y")


def test_the_number_of_lines_is_limited() -> None:
    with pytest.raises(SdpSyntaxError, match="too many lines"):
        parse_sdp(b"v=0\n" * (MAX_LINES + 1))


def test_the_number_of_m_lines_is_limited() -> None:
    assert len(parse_sdp(b"m=audio 1 RTP/AVP 0\n" * MAX_MEDIA).media) == MAX_MEDIA
    with pytest.raises(SdpSyntaxError, match="too many m-lines") as caught:
        parse_sdp(b"m=audio 1 RTP/AVP 0\n" * (MAX_MEDIA + 1))
    assert caught.value.line == MAX_MEDIA + 1


def test_an_error_shows_place_and_reason_and_nothing_of_the_body() -> None:
    with pytest.raises(SdpSyntaxError) as caught:
        parse_sdp(b"v=0\r\nm=audio secret RTP/AVP 0\r\n")
    assert str(caught.value) == "488 m-line has no valid port (offset 3)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("65535", 65535),
        ("65536", None),
        ("", None),
        ("+1", None),
        ("1 ", None),
        ("9" * 21, None),
        ("²", None),
    ],
)
def test_numbers(text: str, expected: int | None) -> None:
    assert number(text, 65535) == expected


def test_the_latest_descriptions_are_remembered() -> None:
    plain = body(TWO_STREAMS)
    assert parse_sdp(plain) is parse_sdp(plain)


@pytest.mark.parametrize(
    "line",
    [
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
        "A = CRYPTO:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
        "a=key-mgmt:mikey AQAFgM0XflABAAAAAAAAAAAAAAsAyONQ6gAAAAAGEFJX",
        "k=clear:secret",
        "K = clear:secret",
    ],
)
def test_no_key_outlives_its_session_in_what_is_remembered(line: str) -> None:
    secret = body(TWO_STREAMS) + line.encode() + b"\r\n"
    assert parse_sdp(secret) == parse_sdp(secret)
    assert parse_sdp(secret) is not parse_sdp(secret)
