"""The SIP trace of a recording, and what is kept of metadata, against a recorder as a user runs it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.integration.media_writer_kit import deliver, rtp
from tests.kit.call import Call
from tests.kit.running import RunningRecorder, alive, eventually
from tests.kit.siprec import rs_metadata

pytestmark = pytest.mark.integration

KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"


def traced(recorder: RunningRecorder, identifier: str, *, last: str = "BYE") -> list[dict[str, Any]]:
    """Wait until a recording's trace has the answer to a request (of an ACK: the request), and return it.

    Messages that UDP repeated are left out.
    """

    def is_last(one: dict[str, Any]) -> bool:
        said = "ACK " if last == "ACK" else "SIP/2.0 200 "
        return bool(one["first_line"].startswith(said) and re.search(rf"(?m)^CSeq: \d+ {last}\r?$", one["message"]))

    def probe() -> list[dict[str, Any]] | None:
        found = recorder.admin("recordings", "trace", identifier, check=False).get("messages", [])
        once = list({(one["direction"], one["message"]): one for one in reversed(found)}.values())[::-1]
        return once if any(map(is_last, once)) else None

    return eventually(probe, limit_s=60, what=f"trace of {identifier}", detail=recorder.log_tail)


def query(recorder: RunningRecorder, statement: str) -> list[asyncpg.Record]:
    """Ask the recorder's own database."""
    dsn = json.loads((recorder.state_dir / "run" / "running.json").read_text())["dsn"]

    async def ask() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    running = RunningRecorder(tmp_path_factory.mktemp("trace") / "state")
    with running:
        yield running
        assert running.stop() == 0, running.log_tail()
    running.assert_no_traceback()


def test_every_message_of_a_session_is_kept_in_order(recorder: RunningRecorder) -> None:
    with Call(recorder) as call:
        answer = call.place()
        call.client.options()
        call.reinvite(direction="inactive")
        call.hang_up()
    messages = traced(recorder, call.identifier)
    assert [(one["direction"], one["first_line"].partition(" sip:")[0]) for one in messages] == [
        ("in", "INVITE"),
        ("out", "SIP/2.0 100 Trying"),
        ("out", "SIP/2.0 200 OK"),
        ("in", "ACK"),
        ("in", "INVITE"),
        ("out", "SIP/2.0 100 Trying"),
        ("out", "SIP/2.0 200 OK"),
        ("in", "ACK"),
        ("in", "BYE"),
        ("out", "SIP/2.0 200 OK"),
    ]
    assert messages[2]["message"].encode() == answer.raw
    assert {one["sip_call_id"] for one in messages} == {call.dialog.call_id}
    offsets = [one["offset_s"] for one in messages]
    assert offsets[0] == 0
    assert offsets == sorted(offsets)
    assert messages[0]["flow"] == f"udp 127.0.0.1:{recorder.sip_port} 127.0.0.1:{call.client.local_port}"


def test_nothing_of_a_pause_is_in_trace_logs_captures_or_any_other_file(recorder: RunningRecorder) -> None:
    spoken, secret = os.urandom(160), os.urandom(160)
    with Call(recorder) as call:
        call.place()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            deliver(sender, call.media.streams[0].target[1], [rtp(one)[:12] + spoken for one in range(10)])
            call.reinvite(direction="inactive")
            deliver(sender, call.media.streams[0].target[1], [rtp(one)[:12] + secret for one in range(10, 60)])
        call.hang_up()
    traced(recorder, call.identifier)
    call.finished()
    files = [Path(folder) / name for folder, _, names in os.walk(recorder.state_dir) for name in names]

    def holding(piece: bytes) -> list[Path]:
        found = []
        for path in (recorder.log_path, *files):
            # Sockets cannot be opened, and files of PostgreSQL come and go.
            with contextlib.suppress(OSError):
                found += [path] if piece in path.read_bytes() else []
        return found

    assert any(path.suffix == ".tcap" for path in holding(spoken))
    assert holding(secret[40:80]) == []


def test_the_ladder_is_printed_for_people(recorder: RunningRecorder) -> None:
    with Call(recorder) as call:
        call.place()
        call.hang_up()
    traced(recorder, call.identifier)
    short = recorder.command("recordings", "trace", call.identifier)
    assert short.returncode == 0
    lines = short.stdout.splitlines()
    assert lines[0].startswith(f"Segment 1, Call-ID {call.dialog.call_id}, began ")
    assert lines[2].startswith("       0.000  client --> recorder  INVITE sip:record=")
    assert any("client <-- recorder  SIP/2.0 200 OK" in line for line in lines)
    full = recorder.command("recordings", "trace", call.identifier, "--full")
    assert "Content-Type: application/sdp" in full.stdout
    assert "m=audio" in full.stdout


def test_keys_of_an_offer_are_masked(recorder: RunningRecorder) -> None:
    with Call(recorder) as call:
        call.place(call.offer(extra=f"a=crypto:1\xa0AES_CM_128_HMAC_SHA1_80\xa0inline:{KEY}").encode())
        call.hang_up()
    messages = traced(recorder, call.identifier)
    assert KEY not in json.dumps(messages)
    assert f"inline:{'x' * len(KEY)}" in messages[0]["message"]


def test_a_takeover_goes_on_with_the_trace(recorder: RunningRecorder) -> None:
    with Call(recorder) as call:
        call.place()
        traced(recorder, call.identifier, last="ACK")
        active = next(
            one["pid"]
            for one in recorder.status()["processes"]
            if one["role"] == "frontend" and one["state"] == "active"
        )
        subprocess.run(["kill", "-9", str(active)], check=True)
        eventually(lambda: not alive(active), limit_s=30, what="its end")
        call.hang_up()
    messages = traced(recorder, call.identifier)
    words = [one["first_line"].partition(" ")[0] for one in messages]
    # A client whose BYE waits for the takeover sends it again, and gets its answer again.
    ending = words[words.index("ACK") + 1 :]
    assert (ending[0], set(ending)) == ("BYE", {"BYE", "SIP/2.0"})
    assert messages[0]["first_line"].startswith("INVITE ")


def test_metadata_are_kept_as_they_came(recorder: RunningRecorder) -> None:
    with Call(recorder, door="siprec") as call:
        call.place()
        call.hang_up()
    messages = traced(recorder, call.identifier)
    assert "<recording" in messages[0]["message"]
    kept = query(recorder, "SELECT body, sha256 FROM metadata_revisions")
    document = rs_metadata(session=call.identifier)
    assert document.encode() in [row["body"] for row in kept]


def test_with_minimisation_only_digests_are_kept(tmp_path: Path) -> None:
    """S24; RFC 7865 section 10."""
    running = RunningRecorder(tmp_path / "state", environment={"RECORDER_METADATA_KEEP_RAW": "false"})
    with running:
        with Call(running, door="siprec") as call:
            call.place()
            update = rs_metadata(session=call.identifier).replace("complete", "partial")
            assert call.dialog.send("UPDATE", update, content_type="application/rs-metadata+xml").status == 200
            call.hang_up()
        messages = traced(running, call.identifier)
        assert "<recording" not in json.dumps(messages)
        assert "m=audio" in messages[0]["message"]
        documents = [rs_metadata(session=call.identifier).encode(), update.encode()]
        kept = query(running, "SELECT body, sha256 FROM metadata_revisions ORDER BY id")
        assert [row["body"] for row in kept] == [None, None]
        assert [row["sha256"] for row in kept] == [hashlib.sha256(one).digest() for one in documents]
        assert hashlib.sha256(documents[0]).hexdigest() in messages[0]["message"]
        # What is needed to know who speaks is call data, not the document: that stays.
        detail = running.admin("recordings", "show", call.identifier)
        assert detail["segments"][0]["streams"][0]["participant"]["aor"] == "sip:5550100@agents.example"
        assert running.stop() == 0, running.log_tail()
    running.assert_no_traceback()


def test_without_tracing_nothing_is_kept_and_the_command_says_why(tmp_path: Path) -> None:
    running = RunningRecorder(tmp_path / "state", environment={"RECORDER_TRACE_ENABLED": "false"})
    with running:
        with Call(running) as call:
            call.place()
            call.hang_up()
        running.finished(call.identifier)
        done = running.command("recordings", "trace", call.identifier)
        assert done.returncode == 3
        assert "trace.enabled" in done.stderr
        assert query(running, "SELECT FROM sip_messages") == []
        assert running.stop() == 0, running.log_tail()
