"""Malformed SIP, SDP, XML and RTP, while a good call beside all of it stays bit-exact and no process notices."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.kit.call import Call
from tests.kit.heard import assert_bit_exact
from tests.kit.rtp_source import RtpStream, frames_of
from tests.kit.running import RunningRecorder, eventually
from tests.kit.sip_client import (
    ANSWER_LIMIT_S,
    LOOPBACK,
    Dialog,
    Message,
    NoAnswerError,
    SipClient,
    msr_uri,
    new_identifier,
    offer,
)
from tests.kit.siprec import multipart, rs_metadata

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def witness(recorder: RunningRecorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    """A good call that runs through all tests of this module and is judged at its end."""
    before = {process["name"]: process["pid"] for process in recorder.status()["processes"]}
    with Call(recorder, transport="tcp") as call:
        call.start()
        yield call
        call.hang_up()
        call.assert_recorded(tmp_path_factory.mktemp("witness"))
    status = recorder.status()
    assert {process["name"]: process["pid"] for process in status["processes"]} == before
    assert all(process["restarts"] == 0 for process in status["processes"])
    recorder.assert_no_traceback()


def request(client: SipClient, *, method: str = "INVITE", drop: str = "", **replaced: str) -> bytes:
    """A good request with header lines replaced by name or dropped; `start` replaces the first line."""
    dialog = Dialog(client=client, uri=msr_uri(new_identifier(), client.target[1]))
    head, _, body = dialog.request(method, offer([40000, 40002])).decode().partition("\r\n\r\n")
    lines = []
    for number, line in enumerate(head.split("\r\n")):
        name = "start" if number == 0 else line.partition(":")[0].lower().replace("-", "_")
        if name != drop:
            lines.append(replaced.pop(name, line))
    return "\r\n".join([*lines, *replaced.values(), "", body]).encode()


MALFORMED: Final[dict[str, tuple[dict[str, str], set[int]]]] = {
    "no Call-ID": ({"drop": "call_id"}, {400, 0}),
    "no CSeq": ({"drop": "cseq"}, {400, 0}),
    "no Via": ({"drop": "via"}, {0}),
    "no From": ({"drop": "from"}, {400, 0}),
    "no To": ({"drop": "to"}, {400, 0}),
    "CSeq of another method": ({"cseq": "CSeq: 1 BYE"}, {400, 0}),
    "CSeq that is no number": ({"cseq": "CSeq: one INVITE"}, {400, 0}),
    "body shorter than Content-Length": ({"content_length": "Content-Length: 60000"}, {400}),
    "negative Content-Length": ({"content_length": "Content-Length: -1"}, {400}),
    "Content-Length that is no number": ({"content_length": "Content-Length: many"}, {400}),
    "unknown required extension": ({"require": "Require: no-such-thing"}, {420}),
    "SIP/3.0": ({"start": "INVITE sip:a@127.0.0.1 SIP/3.0"}, {505}),
    "scheme that is not SIP": ({"start": "INVITE gopher:a@127.0.0.1 SIP/2.0"}, {416}),
    "quoted string without end": ({"from": 'From: "Genesys <sip:a@127.0.0.1>;tag=1'}, {400}),
    "body of an unknown type": ({"content_type": "Content-Type: application/octet-stream"}, {415}),
    "multipart without boundary": ({"content_type": "Content-Type: multipart/mixed"}, {400, 415}),
    "Max-Forwards that is no number": ({"max_forwards": "Max-Forwards: x"}, {400, 200}),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_sip_is_refused_or_met_with_silence(recorder: RunningRecorder, case: str) -> None:
    options, expected = MALFORMED[case]
    with SipClient(recorder.sip_port) as client:
        client.send(request(client, **options))
        # Where silence is right, nothing that comes late would be wrong.
        limit_s = 1.0 if 0 in expected else ANSWER_LIMIT_S
        try:
            status = client.receive(limit_s).status
            while status == 100:
                status = client.receive(limit_s).status
        except NoAnswerError:
            status = 0
        assert status in expected
        assert client.options().status == 200


def test_an_unknown_method_is_answered_405_with_allow(recorder: RunningRecorder) -> None:
    with SipClient(recorder.sip_port) as client:
        client.send(request(client, method="SUBSCRIBE"))
        answer = client.final("SUBSCRIBE")
        assert answer.status in {405, 501}
        assert "INVITE" in answer.one("Allow")


def test_garbage_by_udp_is_met_with_silence(recorder: RunningRecorder) -> None:
    generator = random.Random("garbage")
    with SipClient(recorder.sip_port) as client:
        for length in (0, 1, 3, 20, 200, 1400, 9000, 60000):
            client.send(generator.randbytes(length))
        for text in (
            b"\r\n\r\n",
            b"\0" * 100,
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"SIP/2.0 200 OK\r\n\r\n",
            b"INVITE",
        ):
            client.send(text)
        good = request(client)
        for _ in range(100):
            damaged = bytearray(good)
            for _ in range(generator.randrange(1, 30)):
                damaged[generator.randrange(len(damaged))] = generator.randrange(256)
            client.send(bytes(damaged[: generator.randrange(len(damaged))]))
        eventually(lambda: client.options().status == 200, limit_s=30, what="an answer after the garbage")


@pytest.mark.parametrize(
    "stream",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"INVITE sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 99999999999\r\n\r\n",
        b"X" * 300_000,
        b"OPTIONS sip:a SIP/2.0\r\n" + b"A: b\r\n" * 60_000,
    ],
    ids=["tls", "http", "no content-length", "endless body", "endless line", "endless header"],
)
def test_garbage_by_tcp_costs_its_own_connection_only(recorder: RunningRecorder, stream: bytes) -> None:
    with SipClient(recorder.sip_port, "tcp") as client, SipClient(recorder.sip_port, "tcp") as other:
        client.socket.settimeout(1)
        try:
            client.send(stream)
            answer = client.socket.recv(65535)
            if answer:
                assert answer.startswith(b"SIP/2.0 4"), answer[:100]
                assert client.socket.recv(65535) == b""
        except (ConnectionResetError, BrokenPipeError, TimeoutError):
            # Cut off, or waited for: what is not a whole message yet is nobody's harm.
            pass
        assert other.options().status == 200


def test_a_message_cut_off_by_the_end_of_its_connection_is_forgotten(recorder: RunningRecorder) -> None:
    with SipClient(recorder.sip_port, "tcp") as client:
        client.send(request(client)[:500])
    with SipClient(recorder.sip_port, "tcp") as client:
        assert client.options().status == 200


def test_a_message_that_comes_byte_by_byte_is_answered(recorder: RunningRecorder) -> None:
    with SipClient(recorder.sip_port, "tcp") as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        message = request(client, method="OPTIONS")
        for at in range(len(message)):
            client.send(message[at : at + 1])
        assert client.final("OPTIONS").status == 200


BROKEN_SDP: Final[dict[str, bytes]] = {
    "empty lines only": b"\r\n\r\n",
    "binary": random.Random("sdp").randbytes(400),
    "port that is no number": b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio many RTP/AVP 0\r\n",
    "no audio": b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=image 9 udptl t38\r\n",
}


@pytest.mark.parametrize("case", BROKEN_SDP)
def test_an_offer_that_cannot_be_read_is_answered_488(recorder: RunningRecorder, case: str) -> None:
    with SipClient(recorder.sip_port) as client:
        identifier = new_identifier()
        dialog = Dialog(client=client, uri=msr_uri(identifier, recorder.sip_port))
        assert dialog.send("INVITE", BROKEN_SDP[case]).status in {400, 488}
        assert recorder.recordings("--record-identifier", identifier) == []


def test_an_offer_without_streams_is_no_lack_of_capacity(recorder: RunningRecorder) -> None:
    """A persistent session without a call (S30), or 488: never a 503 that takes us out of the pool."""
    with SipClient(recorder.sip_port) as client:
        dialog = Dialog(client=client, uri=msr_uri(new_identifier(), recorder.sip_port))
        answer = dialog.send("INVITE", b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n")
        assert answer.status in {200, 488}
        if answer.status == 200:
            assert dialog.bye().status == 200


def test_a_reinvite_that_cannot_be_read_leaves_the_session_as_it_was(recorder: RunningRecorder, tmp_path: Path) -> None:
    """O10; bug 6 of other recorders: a re-INVITE whose body fails to parse still gets a final response."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        for body, content_type in (
            (b"\xff\xfe not sdp", "application/sdp"),
            (b"--x\r\nnothing", "multipart/mixed;boundary=y"),
            (b"x", "application/unknown"),
            (call.offer(payload=[99]).encode(), "application/sdp"),
        ):
            answer = call.dialog.send("INVITE", body, content_type=content_type)
            assert answer.status in {400, 415, 488}, answer.text
        call.media.talk(0.3)
        call.hang_up()
        call.assert_recorded(tmp_path)


BOMB: Final = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>
<recording xmlns="urn:ietf:params:xml:ns:recording:1"><datamode>&c;</datamode></recording>"""
OUTSIDE: Final = """<?xml version="1.0"?>
<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<recording xmlns="urn:ietf:params:xml:ns:recording:1"><datamode>&x;</datamode></recording>"""
METADATA: Final[dict[str, str | bytes]] = {
    "not xml": "this is not XML",
    "empty": "",
    "cut off": rs_metadata(session="{session}")[:400],
    "wrong root": '<?xml version="1.0"?><html/>',
    "entity bomb": BOMB,
    "external entity": OUTSIDE,
    "deep": "<recording>" + "<a>" * 5000 + "</a>" * 5000 + "</recording>",
    "not in its own encoding": b'<?xml version="1.0" encoding="UTF-8"?><recording>\xff\xfe\x80</recording>',
}


@pytest.fixture(scope="module")
def metadata_calls(recorder: RunningRecorder) -> dict[str, Call]:
    """One call per broken metadata document, all at the same time, finished."""
    calls: dict[str, Call] = {}
    with ExitStack() as stack:
        for name, document in METADATA.items():
            call = calls[name] = stack.enter_context(Call(recorder, door="siprec"))
            body, content_type = multipart(call.offer(), document)
            call.place(body, content_type)
            call.media.start()
        for call in calls.values():
            call.media.wait_for(25)
            call.hang_up()
    return calls


@pytest.mark.parametrize("case", METADATA)
def test_broken_metadata_flags_the_recording_and_never_refuses_the_call(
    recorder: RunningRecorder, metadata_calls: dict[str, Call], tmp_path: Path, case: str
) -> None:
    """S35 and parser policy 8; nothing of an entity is ever expanded."""
    call = metadata_calls[case]
    (entry,) = [one for one in recorder.recordings() if one["sip_call_ids"] == [call.dialog.call_id]]
    call.identifier = entry["record_identifier"]
    call.assert_recorded(tmp_path)
    detail = recorder.admin("recordings", "show", entry["id"])
    assert detail["warnings"], "broken metadata is not flagged"
    told = [line for line in recorder.log().splitlines() if "recording with warnings" in line]
    assert sum(call.dialog.call_id in line for line in told) == 1, "the log does not say it once"
    assert "root:" not in str(detail)
    assert "aaaaaaaaaaaaaaaaaaaa" not in str(detail)


def test_what_is_not_rtp_is_kept_out_of_the_recording(recorder: RunningRecorder, tmp_path: Path) -> None:
    generator = random.Random("not rtp")
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.2)
        for stream in call.media.streams:
            host, port = stream.target
            for junk in (
                b"",
                b"\x80",
                b"\x80\x00\x00\x01",
                generator.randbytes(11),
                b"\x00" + generator.randbytes(171),
                b"\x40" + generator.randbytes(171),
                b"\x00\x01\x00\x00\x21\x12\xa4\x42" + generator.randbytes(12),
                b"\x16\xfe\xfd" + generator.randbytes(60),
                b"\xbf\x00" + generator.randbytes(20),
                b"\xa0\x00" + generator.randbytes(160) + b"\xff",
            ):
                stream.socket.sendto(junk, (host, port))
                stream.socket.sendto(junk, (host, port + 1))
        call.media.talk(0.4)
        call.hang_up()
        call.assert_recorded(tmp_path)


def test_rtp_of_a_stranger_is_kept_out_of_the_recording(recorder: RunningRecorder, tmp_path: Path) -> None:
    """Well-formed RTP from an address that the session does not name, even with the right SSRC and sequence."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        victim = call.media.streams[0]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.2", 0))
            forged = RtpStream(target=victim.target, frames=frames_of("forged", 50), ssrc=victim.ssrc, sequence=1005)
            with forged.socket:
                for number in range(50):
                    stranger.sendto(forged.packet(number), victim.target)
        call.media.talk(0.4)
        call.hang_up()
        entry = call.assert_recorded(tmp_path)
        streams = recorder.admin("recordings", "show", entry["id"])["segments"][0]["streams"]
        assert streams[0]["quality"]["packets"] == len(victim.sent)


def test_rtcp_is_taken_and_garbage_in_its_place_is_not(recorder: RunningRecorder, tmp_path: Path) -> None:
    with Call(recorder) as call:
        call.start()
        for stream in call.media.streams:
            host, port = stream.target
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                control.bind((LOOPBACK, 0))
                report = struct.pack("!BBHIIIIII", 0x80, 200, 6, stream.ssrc, 0xE9000000, 0, stream.timestamp, 1, 160)
                control.sendto(report, (host, port + 1))
                control.sendto(report[:10], (host, port + 1))
                control.sendto(b"\xff" * 500, (host, port + 1))
        call.media.talk(0.4)
        call.hang_up()
        call.assert_recorded(tmp_path)


def test_a_client_that_vanishes_after_its_invite_does_not_hold_up_others(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """Ten INVITEs without an ACK: their 200s are repeated, and nobody else waits."""
    clients = [SipClient(recorder.sip_port) for _ in range(10)]
    for client in clients:
        client.send(request(client))
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        call.hang_up()
        call.assert_recorded(tmp_path)
    answers: list[Message] = [client.final("INVITE") for client in clients]
    assert {answer.status for answer in answers} == {200}
    for client in clients:
        client.close()


def test_values_of_any_kind_in_a_request_uri_are_kept_and_shown_safely(recorder: RunningRecorder) -> None:
    hostile: dict[str, Any] = {
        "calluuid": "%00%ff%fe",
        "dn": "';DROP%20TABLE%20recordings;--",
        "otherdn": "%e2%80%ae5550111",
        "sipsappname": "x" * 3000,
    }
    with Call(recorder) as call:
        call.dialog.uri = msr_uri(
            call.identifier, recorder.sip_port, lambda _: ";".join(f"{name}={value}" for name, value in hostile.items())
        ).replace("';DROP%20TABLE%20recordings;--", "%27%3bDROP%20TABLE%20recordings%3b--")
        call.start()
        call.media.talk(0.1)
        call.hang_up()
        entry = call.finished()
        assert entry["dn"] == "';DROP TABLE recordings;--"
        shown = recorder.command("recordings", "show", entry["id"])
        assert shown.returncode == 0
        assert "\u202e" not in shown.stdout


def test_the_audio_of_one_session_never_depends_on_another(recorder: RunningRecorder, tmp_path: Path) -> None:
    """Two sessions with equal SSRC, sequence numbers and timestamps (E10): keyed by our port, not by theirs."""
    with Call(recorder) as one, Call(recorder) as two:
        for call in (one, two):
            for stream in call.media.streams:
                stream.ssrc = 0x11111111
            call.start()
        one.media.talk(0.4)
        for call in (one, two):
            call.hang_up()
        for call in (one, two):
            entry = call.finished()
            assert entry["gaps"] == []
            assert_bit_exact(call.exported(tmp_path), *call.sent)
