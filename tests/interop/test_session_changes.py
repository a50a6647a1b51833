"""What a client may change in mid-session, by re-INVITE and UPDATE, over UDP and TCP: each answer, and the audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kit.call import Call
from tests.kit.heard import MU_LAW, SILENCE, hear
from tests.kit.running import RunningRecorder
from tests.kit.sip_client import Message, Transport, offer
from tests.kit.siprec import multipart, rs_metadata

pytestmark = pytest.mark.interop

TALK_S = 0.3
TRANSPORTS: list[Transport] = ["udp", "tcp"]


def changed(call: Call, method: str, **options: Any) -> Message:
    """Send a changed offer by this method; our media follow the answer."""
    answer = call.dialog.send(method, call.offer(**options))
    assert answer.status == 200, answer.text
    call.aim(answer)
    return answer


def streams_of(recorder: RunningRecorder, call: Call) -> list[dict[str, Any]]:
    detail = recorder.admin("recordings", "show", call.finished()["id"])
    found: list[dict[str, Any]] = detail["segments"][0]["streams"]
    return found


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_session_that_is_held_and_resumed_keeps_what_was_said_and_nothing_of_the_hold(
    recorder: RunningRecorder, tmp_path: Path, transport: Transport, method: str
) -> None:
    """S10, O7: `inactive`, and back."""
    with Call(recorder, transport=transport) as call:
        call.start()
        call.media.talk(TALK_S)
        held = changed(call, method, direction="inactive")
        assert held.sdp.count("a=inactive") == 2
        leaked_from = call.media.count + 1
        call.media.talk(TALK_S)
        leaked_until = call.media.count - 1
        resumed = changed(call, method)
        assert resumed.sdp.count("a=recvonly") == 2
        assert resumed.media_ports() == held.media_ports()
        call.media.talk(TALK_S)
        call.hang_up()
        wav = call.exported(tmp_path)
        for sent, channel in zip(call.sent, wav.channels, strict=True):
            hidden = [None if leaked_from <= at < leaked_until else frame for at, frame in enumerate(sent)]
            heard = hear(channel, hidden, silence=SILENCE[MU_LAW])
            # The packets on both sides of the change may fall on either side of it.
            assert len(heard.missing) <= 4
            assert heard.stray <= 4 * 160


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_streams_are_removed_added_and_their_slots_used_again(recorder: RunningRecorder, transport: Transport) -> None:
    """S11, O5: port 0 keeps its place, a later offer uses it again, a third m-line comes and stays."""
    with Call(recorder, transport=transport, parties=3) as call:
        ports = [stream.port for stream in call.media.streams]
        dialog = call.dialog
        first = dialog.send("INVITE", offer(ports[:2], version=1))
        assert all(first.media_ports())
        removed = dialog.send("INVITE", offer([ports[0], 0], version=2))
        assert [bool(port) for port in removed.media_ports()] == [True, False]
        assert removed.media_ports()[0] == first.media_ports()[0]
        again = dialog.send("UPDATE", offer(ports, version=3))
        assert all(again.media_ports())
        assert len(set(again.media_ports())) == 3
        fewer = dialog.send("INVITE", offer([0, ports[1], ports[2]], version=4))
        assert [bool(port) for port in fewer.media_ports()] == [False, True, True]
        assert fewer.media_ports()[1:] == again.media_ports()[1:]
        # O4: our own version rises by one with each change.
        versions = [int(one.sdp.split("\r\no=")[1].split(" ")[2]) for one in (first, removed, again, fewer)]
        assert versions == list(range(versions[0], versions[0] + 4))
        call.hang_up()
        assert {stream["index"] for stream in streams_of(recorder, call)} == {0, 1, 2}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_codec_that_changes_in_mid_session_is_answered_and_listed(
    recorder: RunningRecorder, transport: Transport
) -> None:
    """src-profiles, section 5, 17 and 20."""
    with Call(recorder, transport=transport) as call:
        call.start()
        call.media.talk(TALK_S)
        answer = changed(call, "INVITE", payload=8)
        for section in answer.media_sections():
            assert section[0].endswith("RTP/AVP 8 101")
            assert "a=recvonly" in section
        for stream in call.media.streams:
            stream.payload_type = 8
        call.media.talk(TALK_S)
        call.hang_up()
        for found in streams_of(recorder, call):
            assert {"0", "8"} <= set(map(str, found["payload_types"])), found
        assert call.finished()["state"] == "complete"


def test_labels_that_change_are_echoed_and_bind_the_participants_anew(recorder: RunningRecorder) -> None:
    """S9: the labels of a message are those of its own metadata."""
    with Call(recorder, door="siprec") as call:
        call.start()
        metadata = rs_metadata(session=call.identifier, labels=("north", "south"))
        body, content_type = multipart(call.offer(labels=["north", "south"]), metadata)
        answer = call.dialog.send("UPDATE", body, content_type=content_type)
        assert [line for line in answer.sdp.split("\r\n") if line.startswith("a=label")] == [
            "a=label:north",
            "a=label:south",
        ]
        call.media.talk(TALK_S)
        call.hang_up()
        labels = {stream["label"]: stream["participant"]["aor"] for stream in streams_of(recorder, call)}
        assert labels == {"north": "sip:5550100@agents.example", "south": "sip:5550111@customers.example"}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_session_refresh_leaves_the_client_as_refresher(
    recorder: RunningRecorder, tmp_path: Path, transport: Transport, method: str
) -> None:
    """C23: the same description again, and the timer."""
    timer = "Supported: timer\nSession-Expires: 1800;refresher=uac"
    with Call(recorder, transport=transport) as call:
        first = call.place(headers=timer)
        call.media.start()
        call.media.talk(TALK_S)
        same = offer([stream.port for stream in call.media.streams], version=call.version)
        refreshed = call.dialog.send(method, same, headers=timer)
        assert refreshed.status == 200
        assert refreshed.one("Session-Expires") == "1800;refresher=uac"
        assert "timer" in refreshed.one("Require")
        assert refreshed.media_ports() == first.media_ports()
        assert refreshed.sdp.split("\r\nt=")[0] == first.sdp.split("\r\nt=")[0]
        call.media.talk(TALK_S)
        call.hang_up()
        call.assert_recorded(tmp_path)


def test_an_offer_that_crosses_another_of_the_same_client_is_told_to_wait(recorder: RunningRecorder) -> None:
    """C13: the second of two re-INVITEs gets 500 with Retry-After or its answer, and never silence."""
    with Call(recorder) as call:
        call.start()
        one, two = call.dialog.request("INVITE", call.offer()), call.dialog.request("INVITE", call.offer())
        call.client.send(one)
        call.client.send(two)
        answers: dict[str, Message] = {}
        while len(answers) < 2:
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
