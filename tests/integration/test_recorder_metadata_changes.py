"""Metadata that comes with a re-INVITE: what it is bound to, and what becomes of it when the offer is refused."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.kit.call import Call
from tests.kit.running import RunningRecorder
from tests.kit.sip_client import Message, compose
from tests.kit.siprec import multipart, rs_metadata

pytestmark = pytest.mark.integration

TALK_S = 0.2


def streams_of(recorder: RunningRecorder, call: Call) -> list[dict[str, Any]]:
    entry = call.finished()
    detail = recorder.admin("recordings", "show", entry["id"])
    streams: list[dict[str, Any]] = detail["segments"][0]["streams"]
    return sorted(streams, key=lambda stream: stream["label"])


def speakers(recorder: RunningRecorder, call: Call) -> list[str]:
    return [stream["participant"]["aor"] for stream in streams_of(recorder, call)]


def change(call: Call, sdp: str, metadata: str) -> int:
    body, content_type = multipart(sdp, metadata)
    return call.dialog.send("INVITE", body, content_type=content_type).status


def renamed(metadata: str) -> str:
    return metadata.replace("sip:5550100@", "sip:5550777@")


def test_metadata_of_a_reinvite_replaces_what_was_known(recorder: RunningRecorder) -> None:
    """S7, S14."""
    with Call(recorder, door="siprec") as call:
        call.start()
        call.media.talk(TALK_S)
        assert change(call, call.offer(), renamed(rs_metadata(session=call.identifier))) == 200
        call.media.talk(TALK_S)
        call.hang_up()
        assert speakers(recorder, call) == ["sip:5550777@agents.example", "sip:5550111@customers.example"]


def test_metadata_that_came_with_a_refused_offer_is_not_kept(recorder: RunningRecorder) -> None:
    """O10; bug 7 of other recorders: pjproject PR 5206."""
    with Call(recorder, door="siprec") as call:
        call.start()
        call.media.talk(TALK_S)
        unusable = call.offer(payload=[99]).replace("a=ptime:20", "a=rtpmap:99 nobody-knows-this/8000")
        assert change(call, unusable, renamed(rs_metadata(session=call.identifier))) == 488
        call.media.talk(TALK_S)
        call.hang_up()
        assert speakers(recorder, call) == ["sip:5550100@agents.example", "sip:5550111@customers.example"]


def test_labels_of_the_metadata_mean_the_offer_beside_it(recorder: RunningRecorder) -> None:
    """S9: a label's scope is the one message that carries it."""
    with Call(recorder, door="siprec") as call:
        call.start()
        call.media.talk(TALK_S)
        swapped = rs_metadata(session=call.identifier, labels=("21", "22"))
        assert change(call, call.offer(labels=["22", "21"]), swapped) == 200
        call.media.talk(TALK_S)
        call.hang_up()
        spoken = {stream["label"]: stream["participant"]["aor"] for stream in streams_of(recorder, call)}
        assert spoken == {"21": "sip:5550100@agents.example", "22": "sip:5550111@customers.example"}


UPDATES: Final = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE"


def place(
    call: Call, metadata: str, *, metadata_type: str = "application/rs-metadata+xml", allow: str = UPDATES
) -> None:
    body, content_type = multipart(call.offer(), metadata, metadata_type=metadata_type)
    call.place(body, content_type, headers=f"Require: siprec\n{allow}")
    call.media.start()


def snapshot_request(call: Call) -> Message:
    """Return the recorder's request, and answer it."""
    request = call.client.fresh()
    assert request.start_line.startswith("UPDATE "), request.text
    lines = ["SIP/2.0 200 OK"]
    for name in ("Via", "From", "To", "Call-ID", "CSeq"):
        lines += [f"{name}: {value}" for value in request.all(name)]
    call.client.send(compose("\n".join(lines)))
    return request


@pytest.mark.parametrize("metadata_type", ["application/rs-metadata+xml", "application/rs-metadata"])
def test_a_partial_document_without_a_snapshot_makes_the_recorder_ask_for_one(
    recorder: RunningRecorder, metadata_type: str
) -> None:
    """S15, RFC 7866 section 9.2: by UPDATE, alone, Content-Disposition recording-session; the type is the client's."""
    with Call(recorder, door="siprec") as call:
        partial = rs_metadata(session=call.identifier, data_mode="partial")
        place(call, partial, metadata_type=metadata_type)
        asked = snapshot_request(call)
        assert asked.one("Content-Type") == metadata_type
        assert asked.one("Content-Disposition") == "recording-session"
        assert b"<requestsnapshot " in asked.body
        assert b"m=audio" not in asked.body
        # Asked once; the snapshot ends the matter.
        answer = call.dialog.send("UPDATE", renamed(partial), content_type=metadata_type)
        assert answer.status == 200
        assert call.client.quiet(0.3)
        snapshot = renamed(rs_metadata(session=call.identifier))
        assert call.dialog.send("UPDATE", snapshot, content_type=metadata_type).status == 200
        assert call.client.quiet(0.3)
        # An update that cannot be read is a hole again.
        assert call.dialog.send("UPDATE", "no metadata", content_type=metadata_type).status == 200
        snapshot_request(call)
        call.media.talk(TALK_S)
        call.hang_up()
        assert speakers(recorder, call) == ["sip:5550777@agents.example", "sip:5550111@customers.example"]


def test_a_client_without_update_is_not_asked(recorder: RunningRecorder) -> None:
    """RFC 3311 section 5.1."""
    with Call(recorder, door="siprec") as call:
        place(call, rs_metadata(session=call.identifier, data_mode="partial"), allow="Allow: INVITE, ACK, BYE")
        assert call.client.quiet(0.3)
        call.media.talk(TALK_S)
        call.hang_up()
        detail = recorder.admin("recordings", "show", call.finished()["id"])
        assert "partial-without-snapshot" in detail["warnings"]
