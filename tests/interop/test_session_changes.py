"""An offer that crosses another of the same client, and INVITEs of every size a datagram can have, as literal text.

What else a client may change in mid-session is played by SIPp: `test_sipp_flows.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.call import Call
from tests.kit.heard import MU_LAW, SILENCE, hear
from tests.kit.running import RunningRecorder
from tests.kit.sip_client import Message
from tests.kit.siprec import multipart, rs_metadata

pytestmark = pytest.mark.interop

TALK_S = 0.3


def test_an_offer_that_crosses_another_of_the_same_client_is_told_to_wait(recorder: RunningRecorder) -> None:
    """C13: the second of two re-INVITEs gets 500 with Retry-After or its answer, and never silence."""
    with Call(recorder) as call:
        call.start()
        one, two = call.dialog.request("INVITE", call.offer()), call.dialog.request("INVITE", call.offer())
        call.client.send(one)
        call.client.send(two)
        awaited = {f"{call.dialog.cseq - 1} INVITE", f"{call.dialog.cseq} INVITE"}
        answers: dict[str, Message] = {}
        while not awaited <= answers.keys():
            answer = call.client.final("INVITE")
            answers[answer.one("CSeq")] = answer
        assert answers[f"{call.dialog.cseq - 1} INVITE"].status == 200
        second = answers[f"{call.dialog.cseq} INVITE"]
        assert second.status in {200, 500}
        if second.status == 500:
            assert 0 <= int(second.one("Retry-After")) <= 10
        call.client.send(call.dialog.request("ACK", cseq=call.dialog.cseq - 1))
        call.dialog.acknowledge_refusal(second)
        call.hang_up()


def test_a_hold_that_is_cancelled_leaves_the_session_as_it_was(recorder: RunningRecorder, tmp_path: Path) -> None:
    """C16, O10: who gets 487 to a re-INVITE goes on sending, and must be recorded."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(TALK_S)
        for attempt in range(10):
            branch = f"z9hG4bKcancelled{attempt}"
            hold = call.dialog.request("INVITE", call.offer(direction="inactive"), branch=branch)
            call.client.send(hold)
            call.client.send(call.dialog.request("CANCEL", cseq=call.dialog.cseq, branch=branch))
            answer = call.client.final("INVITE", cseq=call.dialog.cseq)
            if answer.status == 487:
                call.dialog.acknowledge_refusal(answer)
                break
            # The answer was faster than our CANCEL.
            call.client.send(call.dialog.request("ACK"))
            assert call.reinvite().status == 200
        assert answer.status == 487
        call.media.talk(TALK_S)
        since = call.media.count
        call.media.talk(TALK_S)
        call.hang_up()
        wav = call.exported(tmp_path)
        for sent, channel in zip(call.sent, wav.channels, strict=True):
            missing = hear(channel, sent, silence=SILENCE[MU_LAW]).missing
            assert [frame for frame in missing if frame >= since] == []


@pytest.mark.parametrize("size", [5000, 65_507])
def test_an_invite_of_any_size_that_a_datagram_can_have_is_recorded(
    recorder: RunningRecorder, tmp_path: Path, size: int
) -> None:
    """C1: "implementations MUST be able to handle messages up to the maximum datagram packet size"."""
    with Call(recorder, door="siprec") as call:
        sdp, metadata = call.offer(), rs_metadata(session=call.identifier)
        call.dialog.contact = f"<sip:src@127.0.0.1:{call.client.local_port}>;+sip.src"

        def invite(padding: int) -> bytes:
            body, content_type = multipart(sdp, metadata.replace("</recording>", f"<x>{'p' * padding}</x></recording>"))
            return call.dialog.request(
                "INVITE", body, content_type=content_type, headers="Require: siprec", cseq=1, branch="z9hG4bKsized"
            )

        padding, message = 0, invite(0)
        while len(message) != size:  # Content-Length may get another digit
            padding += size - len(message)
            message = invite(padding)
        call.dialog.cseq = 1
        call.client.send(message)
        answer = call.client.final("INVITE")
        assert answer.status == 200, answer.text
        call.dialog.learn(answer)
        call.client.send(call.dialog.request("ACK"))
        call.aim(answer)
        call.media.start()
        call.media.talk(TALK_S)
        call.hang_up()
        call.assert_recorded(tmp_path)
