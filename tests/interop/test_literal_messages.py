"""Messages as real clients write them, sent as literal text; each asserts on the answer and on the recorded audio."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.kit.call import Call
from tests.kit.heard import assert_bit_exact
from tests.kit.running import RunningRecorder
from tests.kit.sip_client import LOOPBACK, NoAnswerError, SipClient
from tests.kit.siprec import DRAFT_NAMESPACE, RFC_NAMESPACE, multipart, rs_metadata

pytestmark = pytest.mark.interop

TALK_S: Final = 0.6
BODIES: Final[dict[str, dict[str, Any]]] = {
    "rfc namespace, +xml": {},
    "rfc namespace, no +xml": {"metadata_type": "application/rs-metadata"},
    "draft namespace, +xml": {"namespace": DRAFT_NAMESPACE},
    "draft namespace, no +xml": {"namespace": DRAFT_NAMESPACE, "metadata_type": "application/rs-metadata"},
    "metadata before sdp": {"metadata_first": True, "preamble": "\r\n"},
    "no line end after the last boundary": {"final_crlf": False},
}


@pytest.fixture(scope="module")
def siprec_calls(recorder: RunningRecorder) -> dict[str, Call]:
    """One finished call per form of body, all at the same time."""
    calls: dict[str, Call] = {}
    with ExitStack() as stack:
        for name, form in BODIES.items():
            call = calls[name] = stack.enter_context(Call(recorder, door="siprec"))
            options = {key: value for key, value in form.items() if key != "namespace"}
            metadata = rs_metadata(session=call.identifier, namespace=form.get("namespace", RFC_NAMESPACE))
            body, content_type = multipart(call.offer(), metadata, **options)
            call.place(body, content_type)
            call.media.start()
        for call in calls.values():
            call.media.wait_for(int(TALK_S * 50))
            call.hang_up()
    return calls


@pytest.mark.parametrize("form", BODIES)
def test_every_form_of_siprec_body_is_recorded_with_its_participants(
    recorder: RunningRecorder, siprec_calls: dict[str, Call], tmp_path: Path, form: str
) -> None:
    """S7, S8, S9; C19."""
    call = siprec_calls[form]
    entry = call.assert_recorded(tmp_path)
    assert entry["door"] == "siprec"
    detail = recorder.admin("recordings", "show", entry["id"])
    assert detail["warnings"] == []
    streams = detail["segments"][0]["streams"]
    assert [stream["label"] for stream in streams] == ["1", "2"]
    assert [stream["participant"]["aor"] for stream in streams] == [
        "sip:5550100@agents.example",
        "sip:5550111@customers.example",
    ]


def test_the_answer_is_a_bare_sdp_that_receives_every_stream(recorder: RunningRecorder) -> None:
    """S3, S5, S6, O1, O2; user pain loreste#36: a multipart answer gave files of 44 bytes."""
    with Call(recorder, door="siprec") as call:
        answer = call.place()
        assert "+sip.srs" in answer.one("Contact")
        sections = answer.media_sections()
        assert [section[0].split(" ")[0::3] for section in sections] == [["m=audio", "0"], ["m=audio", "0"]]
        for number, section in enumerate(sections):
            assert section[0].split(" ")[3:] == ["0", "101"]
            assert "a=recvonly" in section
            assert f"a=label:{number + 1}" in section
        call.hang_up()


def test_sdp_without_labels_and_without_metadata_is_recorded_and_flagged(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """Bug 1 of other recorders: pjproject#4735."""
    with Call(recorder, door="siprec") as call:
        call.place(call.offer(labels=None).encode())
        call.media.start()
        call.media.talk(TALK_S)
        call.hang_up()
        entry = recorder.finished(call.dialog.call_id)
        assert (entry["door"], entry["state"]) == ("siprec", "complete")
        detail = recorder.admin("recordings", "show", entry["id"])
        assert detail["warnings"], "a session without metadata is not flagged"
        call.identifier = entry["record_identifier"]
        assert_bit_exact(call.exported(tmp_path), *call.sent)


def test_labels_of_the_metadata_that_the_sdp_lacks_are_flagged_and_recorded(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    with Call(recorder, door="siprec") as call:
        body, content_type = multipart(call.offer(labels=None), rs_metadata(session=call.identifier))
        call.place(body, content_type)
        call.media.start()
        call.media.talk(TALK_S)
        call.hang_up()
        entry = call.assert_recorded(tmp_path)
        assert recorder.admin("recordings", "show", entry["id"])["warnings"]


def test_a_retransmitted_invite_opens_nothing_and_gets_the_same_answer(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """C4: user pain: a retransmission was a new call in another recorder."""
    with Call(recorder) as call:
        request = call.dialog.request("INVITE", call.offer())
        for _ in range(3):
            call.client.send(request)
        first = call.client.final("INVITE")
        call.client.send(request)
        again = call.client.final("INVITE")
        assert again.raw == first.raw
        call.dialog.learn(first)
        call.client.send(call.dialog.request("ACK"))
        call.aim(first)
        call.media.start()
        call.media.talk(TALK_S)
        call.hang_up()
        entry = call.assert_recorded(tmp_path)
        assert len(recorder.recordings("--record-identifier", call.identifier)) == 1
        assert len(recorder.admin("recordings", "show", entry["id"])["segments"]) == 1


def test_rport_and_received_name_where_the_request_came_from(recorder: RunningRecorder) -> None:
    """C7, RFC 3581 section 4: a Via that lies about its host and port."""
    with SipClient(recorder.sip_port) as client:
        client.send(
            f"OPTIONS sip:{LOOPBACK} SIP/2.0\r\n"
            "Via: SIP/2.0/UDP 192.0.2.30:15064;branch=z9hG4bKrmopt0001;rport\r\n"
            "Max-Forwards: 70\r\nFrom: <sip:GVP@192.0.2.30:15064>;tag=00000001\r\n"
            f"To: sip:{LOOPBACK}\r\nCall-ID: c1@192.0.2.30\r\nCSeq: 307103 OPTIONS\r\n"
            "Content-Length: 0\r\n\r\n".encode()
        )
        via = client.final("OPTIONS").one("Via").replace(" ", "")
        parameters = dict(part.partition("=")[::2] for part in via.split(";")[1:])
        assert parameters["rport"] == str(client.local_port)
        assert parameters["received"] == LOOPBACK
        assert via.startswith("SIP/2.0/UDP192.0.2.30:15064;")


def test_a_to_without_angle_brackets_comes_back_with_a_tag(recorder: RunningRecorder) -> None:
    with SipClient(recorder.sip_port) as client:
        to = client.options().one("To")
        assert to.startswith((f"sip:{LOOPBACK}:{recorder.sip_port};tag=", f"<sip:{LOOPBACK}:{recorder.sip_port}>;tag="))


def test_an_offer_with_one_unknown_codec_is_refused_for_that_stream_only(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    with Call(recorder) as call:
        usable, unknown = (stream.port for stream in call.media.streams)
        body = call.offer().replace(
            f"m=audio {unknown} RTP/AVP 0 101\r\na=rtpmap:0 pcmu/8000",
            f"m=audio {unknown} RTP/AVP 99\r\na=rtpmap:99 nobody-knows-this/8000",
        )
        assert f"m=audio {usable} RTP/AVP 0" in body
        assert "nobody-knows-this" in body
        answer = call.place(body.encode())
        first, second = answer.media_ports()
        assert first > 0
        assert second == 0
        call.media.start()
        call.media.talk(TALK_S)
        call.hang_up()
        assert call.finished()["state"] == "complete"
        assert_bit_exact(call.exported(tmp_path), call.sent[0])


def test_an_offer_without_any_usable_stream_is_answered_488(recorder: RunningRecorder) -> None:
    with Call(recorder) as call:
        body = call.offer(payload=[99]).replace("a=ptime:20", "a=rtpmap:99 nobody-knows-this/8000")
        answer = call.dialog.send("INVITE", body)
        assert answer.status == 488
        assert recorder.recordings("--record-identifier", call.identifier) == []


def test_a_first_offer_that_is_inactive_is_answered_inactive_and_can_be_resumed(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """Bug 10 of other recorders: drachtio #43."""
    with Call(recorder) as call:
        answer = call.place(call.offer(direction="inactive").encode())
        assert all("a=inactive" in section for section in answer.media_sections())
        resumed = call.reinvite()
        assert resumed.status == 200
        assert all("a=recvonly" in section for section in resumed.media_sections())
        call.media.start()
        call.media.talk(TALK_S)
        call.hang_up()
        assert_bit_exact(call.exported(tmp_path), *call.sent)


def test_media_that_moves_to_another_port_of_the_client_goes_on_without_a_gap(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """Bug 18 of other recorders: livekit/sip#661."""
    with Call(recorder) as call, Call(recorder) as other:
        call.start()
        call.media.talk(TALK_S)
        for stream, spare in zip(call.media.streams, other.media.streams, strict=True):
            stream.socket, spare.socket = spare.socket, stream.socket
            stream.port, spare.port = spare.port, stream.port
        assert call.reinvite().status == 200
        call.media.talk(TALK_S)
        call.hang_up()
        call.assert_recorded(tmp_path)


@pytest.mark.parametrize("payload_type", [0, 8], ids=["mu-law", "A-law"])
def test_both_laws_of_g711_keep_their_bytes(recorder: RunningRecorder, tmp_path: Path, payload_type: int) -> None:
    with Call(recorder, payload_type=payload_type, transport="tcp") as call:
        call.start()
        call.media.talk(TALK_S)
        call.hang_up()
        call.assert_recorded(tmp_path)
        assert call.exported(tmp_path).format_tag == {0: 7, 8: 6}[payload_type]


def test_packets_lost_on_the_way_are_declared_and_keep_their_place(recorder: RunningRecorder, tmp_path: Path) -> None:
    with Call(recorder) as call:
        call.media.streams[0].lose = frozenset({10, 11, 12})
        call.start()
        call.media.talk(TALK_S)
        call.hang_up()
        entry = call.finished()
        assert entry["state"] == "complete"
        (gap,) = entry["gaps"]
        assert (gap["party"], gap["kind"]) == (0, "lost")
        assert gap["duration_s"] == pytest.approx(0.06)
        wav = call.exported(tmp_path)
        assert_bit_exact(wav, *call.sent)


def test_a_bye_again_is_answered_again(recorder: RunningRecorder) -> None:
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.2)
        call.media.stop()
        request = call.dialog.request("BYE")
        call.client.send(request)
        assert call.client.final("BYE").status == 200
        call.client.send(request)
        assert call.client.final("BYE").status == 200
        call.finished()


def test_a_lower_cseq_is_answered_500_and_changes_nothing(recorder: RunningRecorder, tmp_path: Path) -> None:
    """C11."""
    with Call(recorder) as call:
        call.dialog.cseq = 10
        call.start()
        call.media.talk(0.3)
        call.client.send(call.dialog.request("BYE", cseq=5))
        assert call.client.final("BYE", cseq=5).status == 500
        call.media.talk(0.3)
        call.hang_up()
        call.assert_recorded(tmp_path)


def test_options_inside_a_dialog_and_info_are_answered(recorder: RunningRecorder) -> None:
    with Call(recorder) as call:
        call.start()
        assert call.dialog.send("OPTIONS").status == 200
        assert call.dialog.send("INFO", "x", content_type="application/x-anything").status == 200
        call.hang_up()


def test_a_tcp_client_that_pings_gets_its_pong(recorder: RunningRecorder) -> None:
    """RFC 5626 section 4.4.1: CRLF CRLF is answered with CRLF on the same connection."""
    with SipClient(recorder.sip_port, "tcp") as client:
        client.send(b"\r\n\r\n")
        client.socket.settimeout(60)
        assert client.socket.recv(16) == b"\r\n"
        assert client.options().status == 200


def test_an_ack_to_nobody_is_met_with_silence(recorder: RunningRecorder) -> None:
    with Call(recorder) as call:
        call.dialog.remote_tag = "nobody"
        call.dialog.cseq = 1
        call.client.send(call.dialog.request("ACK"))
        with pytest.raises(NoAnswerError):
            call.client.receive(0.3)


def test_start_and_end_of_the_session_are_also_told_by_the_clock_of_the_client(recorder: RunningRecorder) -> None:
    """S21: its own clock, whatever it says; ours places the audio."""
    with Call(recorder) as call:
        call.place(headers="Date: Sat, 13 Nov 2010 23:29:00 GMT")
        bye = call.dialog.request("BYE", headers="Date: Sat, 13 Nov 2010 23:31:07 GMT")
        assert call.dialog.insist(bye, "BYE").status == 200
        entry = call.finished()
        detail = recorder.admin("recordings", "show", entry["id"])
        (segment,) = detail["segments"]
        assert segment["client_opened_at"].startswith("2010-11-13T23:29:00")
        assert segment["client_closed_at"].startswith("2010-11-13T23:31:07")
        assert segment["opened_at"] > "2020"
        assert "the client's clock differs from ours" in " ".join(detail["warnings"])
        shown = recorder.invoke("recordings", "show", entry["id"]).output
        assert "by the client's clock: 2010-11-13 23:29:00 to 2010-11-13 23:31:07" in shown
