"""The core alone: a SIPREC INVITE of 3 kB parsed and answered in memory, against a bare loop of the SIP parser.

Three depths: the user agent (SIP parser, transaction, dialog, the 200 and the snapshot for a takeover); with the body
taken apart and offer/answer; with the metadata and the call data that the catalog gets. CPU time of this process, its
garbage collector set as in a frontend, in turns with the parser, so that a busy machine changes the ratios little.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.signalling.messages import siprec_invite
from recorder.doors.entrance import Refused, read_invite
from recorder.edge.profile import PeerProfile
from recorder.frontend.collector import spare_dialogs
from signaling.sdp import Origin, SessionDescription, parse_sdp
from signaling.sdp.offer_answer import AnswerPolicy, plan
from signaling.sip import Request, parse_message
from signaling.siprec import find_contents, parse_body
from signaling.useragent import Flow, Identity, InviteReceived, UserAgent

_ROUND: Final = 200
_FLOW: Final = Flow("udp", ("192.0.2.40", 5060), ("192.0.2.20", 5060))
_ORIGIN: Final = Origin.ours(1, "192.0.2.40", username="srs")
_POLICY: Final = AnswerPolicy()
_PROFILE: Final = PeerProfile(name="default")


@dataclass(frozen=True, slots=True)
class CoreCost:
    """CPU microseconds of one INVITE."""

    bytes: int
    parse: float
    """SIP parser alone: the bare loop."""
    user_agent: float
    negotiated: float
    """With multipart and offer/answer."""
    described: float
    """With metadata and call data."""


def _answer(offer: SessionDescription) -> bytes:
    media = plan(offer, None, _POLICY)
    answer = media.to_answer(
        "192.0.2.40", {stream.index: 30000 + 2 * stream.index for stream in media.streams}, _ORIGIN
    )
    media.negotiation(answer).snapshot()
    return answer.encode()


def _negotiated(request: Request) -> bytes:
    contents = find_contents(parse_body(request.headers.get("Content-Type"), request.body))
    assert contents.description is not None
    return _answer(parse_sdp(contents.description.content))


def _described(request: Request) -> bytes:
    found = read_invite(request, _PROFILE)
    assert not isinstance(found, Refused)
    assert found.offer is not None
    return _answer(found.offer)


def measure(rounds: int) -> CoreCost:
    """Measure all in turns; the better half of the rounds counts, because the machine may be shared."""
    spare_dialogs()
    fixed = _described(_request(0))
    numbers = itertools.count(1)
    tokens = itertools.count()

    def answering(body: Callable[[Request], bytes]) -> Callable[[bytes], object]:
        agent = UserAgent(Identity("192.0.2.40", stamp="1"), token=lambda: f"{next(tokens):016x}")

        def answered(invite: bytes) -> None:
            agent.receive(invite, _FLOW, 0.0)
            (event,) = agent.events()
            assert isinstance(event, InviteReceived)
            sdp = body(event.request)
            assert agent.send(agent.prepare(event.request_id, 200, body=sdp, content_type="application/sdp"), 0.0)
            assert len(agent.outgoing()) == 2

        return answered

    works = (parse_message, answering(lambda _: fixed), answering(_negotiated), answering(_described))
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, taken in zip(works, times, strict=True):
            taken.append(_cpu_us(work, [siprec_invite(next(numbers)) for _ in range(_ROUND)]))
    return CoreCost(len(siprec_invite(0)), *map(_better_half, times))


def _request(number: int) -> Request:
    request = parse_message(siprec_invite(number))
    assert isinstance(request, Request)
    return request


def _cpu_us(work: Callable[[bytes], object], invites: list[bytes]) -> float:
    began = time.process_time()
    for invite in invites:
        work(invite)
    return (time.process_time() - began) / len(invites) * 1e6


def _better_half(times: list[float]) -> float:
    return statistics.median(sorted(times)[: max(1, len(times) // 2)])
