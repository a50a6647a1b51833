"""Messages that the transaction tests pass around."""

from __future__ import annotations

from signaling.sip import (
    NameAddr,
    Request,
    Response,
    Uri,
    Via,
    build_request,
    build_response,
    parse_message,
)

BRANCH = "z9hG4bK-one"


def request(
    method: str = "INVITE", *, branch: str = BRANCH, to: str = "<sip:srs@192.0.2.40>", cseq: int = 1
) -> Request:
    return build_request(
        method,
        Uri.parse("sip:srs@192.0.2.40"),
        via=Via.parse(f"SIP/2.0/UDP 192.0.2.30:5060;branch={branch}"),
        from_=NameAddr.parse("<sip:src@192.0.2.30>;tag=from-tag", "From"),
        to=NameAddr.parse(to, "To"),
        call_id="one@192.0.2.30",
        cseq=cseq,
        routes=["<sip:192.0.2.31;lr>"],
    )


def response(status: int, of: Request | None = None, *, tag: str = "to-tag") -> Response:
    return build_response(of or request(), status, to_tag=tag)


def parsed(octets: bytes) -> Request:
    message = parse_message(octets)
    assert isinstance(message, Request)
    return message
