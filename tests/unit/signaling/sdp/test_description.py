"""Values of a session description: inheritance, strict text form, and keys that stay hidden."""

from __future__ import annotations

import logging

import msgspec
import pytest
from rich.pretty import pretty_repr

from signaling.errors import LocalProtocolError
from signaling.sdp import Attribute, Connection, Direction, Line, MediaDescription, Origin, SessionDescription
from tests.unit.signaling.sdp.samples import OFFERED_KEY, ORIGIN, SECURE, TWO_STREAMS, sdp, text_of


def test_our_origin() -> None:
    assert Origin.ours(5, "192.0.2.1").encode() == "- 5 1 IN IP4 192.0.2.1"
    assert Origin.ours(5, "2001:db8::1", username="srs").encode() == "srs 5 1 IN IP6 2001:db8::1"
    assert ORIGIN.at_version(9) == msgspec.structs.replace(ORIGIN, version="9")


@pytest.mark.parametrize(
    ("address", "unspecified", "multicast"),
    [
        ("192.0.2.1", False, False),
        ("0.0.0.0", True, False),
        ("::", True, False),
        ("anything.invalid", True, False),
        ("224.0.0.1/127", False, True),
        ("239.255.255.255", False, True),
        ("223.1.1.1", False, False),
        ("240.1.1.1", False, False),
        ("ff02::1", False, True),
        ("FF02::1/3", False, True),
        ("2001:db8::ff", False, False),
        ("media.example.com", False, False),
        ("2x4.example.com", False, False),
    ],
)
def test_kinds_of_address(address: str, unspecified: bool, multicast: bool) -> None:
    connection = Connection("IN", "IP6" if ":" in address else "IP4", address)
    assert (connection.unspecified, connection.multicast) == (unspecified, multicast)


def test_a_connection_to_a_host_names_its_address_type() -> None:
    assert Connection.to("192.0.2.1").encode() == "IN IP4 192.0.2.1"
    assert Connection.to("2001:db8::1").encode() == "IN IP6 2001:db8::1"


def test_a_stream_has_the_direction_of_the_session_unless_it_has_its_own() -> None:
    description = sdp(TWO_STREAMS.replace("t=0 0", "t=0 0\na=inactive").replace("a=sendonly\na=label:97", "a=label:97"))
    assert [description.direction_of(media) for media in description.media] == [Direction.SENDONLY, Direction.INACTIVE]


def test_a_stream_without_any_direction_is_sendrecv() -> None:
    description = sdp(TWO_STREAMS.replace("a=sendonly\n", ""))
    assert {description.direction_of(media) for media in description.media} == {Direction.SENDRECV}
    assert description.media[0].direction is None


def test_a_stream_has_the_connection_of_the_session_unless_it_has_its_own() -> None:
    description = sdp(TWO_STREAMS + "c=IN IP4 198.51.100.2\n")
    first, second = (description.connection_of(media) for media in description.media)
    assert first is not None
    assert second is not None
    assert (first.host, second.host) == ("198.51.100.1", "198.51.100.2")


def test_bandwidth_of_a_stream_overrides_that_of_the_session() -> None:
    description = sdp(
        TWO_STREAMS.replace("t=0 0", "b=AS:64\nb=RR:800\nb=RS:x\nt=0 0").replace("a=label:97", "b=rr: 0\na=label:97")
    )
    first, second = description.media
    assert description.bandwidth_of(first, "RR") == 800
    assert description.bandwidth_of(second, "RR") == 0
    assert description.bandwidth_of(second, "AS") == 64
    assert description.bandwidth_of(first, "RS") is None


def test_attributes_by_name() -> None:
    media = sdp(TWO_STREAMS).media[0]
    assert media.value("sendonly") == ""
    assert media.value("ptime") is None
    assert media.values("rtpmap") == ["0 PCMU/8000", "8 PCMA/8000", "101 telephone-event/8000"]


def test_the_text_form_puts_lines_into_the_order_of_the_rfc() -> None:
    description = SessionDescription(
        origin=ORIGIN,
        connection=Connection.to("192.0.2.50"),
        lines=(Line("y", "1"), Line("k", "prompt"), Line("b", "AS:64"), Line("i", "info")),
        attributes=(Attribute("recvonly"),),
        media=(
            MediaDescription(
                media="audio",
                port=9,
                port_count=2,
                protocol="RTP/AVP",
                formats=("0",),
                connection=Connection.to("192.0.2.51"),
                lines=(Line("b", "AS:32"), Line("i", "left")),
            ),
        ),
    )
    assert text_of(description) == (
        "v=0\no=srs 7001 1 IN IP4 192.0.2.50\ns=-\ni=info\nc=IN IP4 192.0.2.50\nb=AS:64\nt=0 0\nk=prompt\ny=1\n"
        "a=recvonly\nm=audio 9/2 RTP/AVP 0\ni=left\nc=IN IP4 192.0.2.51\nb=AS:32\n"
    )


def test_a_connection_of_a_stream_is_written_after_its_m_line() -> None:
    text = TWO_STREAMS + "c=IN IP4 198.51.100.9\n"
    assert text_of(sdp(text)) == TWO_STREAMS.replace(
        "m=audio 12242 RTP/AVP 0 8 101\n", "m=audio 12242 RTP/AVP 0 8 101\nc=IN IP4 198.51.100.9\n"
    )


def test_without_connection_no_line_is_written_for_it() -> None:
    assert "c=" not in text_of(SessionDescription(origin=ORIGIN, lines=(Line("i", "x"),)))


@pytest.mark.parametrize("character", ["\n", "\r", "\r\n", "\0"])
def test_a_value_cannot_smuggle_a_line(character: str) -> None:
    description = SessionDescription(origin=ORIGIN, attributes=(Attribute("label", f"1{character}a=x"),))
    with pytest.raises(LocalProtocolError, match="line break"):
        description.encode()


def test_a_value_outside_the_character_set_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="character set"):
        SessionDescription(origin=ORIGIN, name="€", charset="latin-1").encode()


def test_content_is_compared_without_version_and_faults() -> None:
    description = sdp(TWO_STREAMS)
    assert description.same_content(sdp(TWO_STREAMS.replace("SRC 100 1", "SRC 100 2").replace("v=0\n", "")))
    for before, after in (
        ("SRC 100", "SRC 101"),
        ("s=-", "s=x"),
        ("c=IN IP4 198.51.100.1", "c=IN IP4 198.51.100.9"),
        ("t=0 0", "t=1 0"),
        ("t=0 0", "t=0 0\na=inactive"),
        ("t=0 0", "b=AS:1\nt=0 0"),
        ("a=sendonly", "a=inactive"),
    ):
        assert not description.same_content(sdp(TWO_STREAMS.replace(before, after))), after


def test_key_material_appears_in_no_text_form(caplog: pytest.LogCaptureFixture) -> None:
    description = sdp(SECURE + "k=clear:topsecret\na=ice-pwd:topsecret\n")
    caplog.set_level(logging.INFO)
    logging.getLogger("test").info("offer %r %s", description, description.media[0].attributes)
    shown = (repr(description), str(description), pretty_repr(description), caplog.text)
    assert all(OFFERED_KEY not in text and "topsecret" not in text for text in shown)
    assert all("crypto" in text for text in shown)
    assert OFFERED_KEY.encode() in description.encode()
