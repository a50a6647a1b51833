"""Words for a refused offer, and that nothing of a client's offer gets out of the quotes."""

from __future__ import annotations

import pytest

from recorder.doors.refusal import NO_MEDIA, warning, why_unusable
from signaling.sdp import parse_sdp
from signaling.sdp.offer_answer import plan

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"


@pytest.mark.parametrize(
    ("media", "expected"),
    [
        ("", NO_MEDIA),
        ("m=audio 4000 RTP/AVP 0\r\n", ""),
        ("m=audio 4000 RTP/AVP 99\r\na=rtpmap:99 nobody/8000\r\nm=audio 4002 RTP/AVP 0\r\n", ""),
        ("m=audio 4000 RTP/AVP 99\r\na=rtpmap:99 nobody/8000\r\n", "m-line 0: "),
    ],
)
def test_why_no_stream_can_be_recorded(media: str, expected: str) -> None:
    why = why_unusable(plan(parse_sdp((HEAD + media).encode())))
    assert why.startswith(expected)
    assert bool(why) == bool(expected)


def test_what_stands_in_the_warning_stays_in_its_quotes() -> None:
    assert warning('a "b" \\') == ("Warning", '399 tandem "a \\"b\\" \\\\"')
