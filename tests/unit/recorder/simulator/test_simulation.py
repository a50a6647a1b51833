"""Whole runs over loopback against a tiny recorder: what arrives there is what the journal says."""

import asyncio
import struct
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from recorder.simulator.conversation import load_conversation
from recorder.simulator.g711 import Law
from recorder.simulator.journal import DOUBTFUL, PAUSED, SENT, WITHHELD, Journal, Note
from recorder.simulator.scenario import CallPlan, Door, Impairments, Pause, ScenarioOptions, plan_calls
from recorder.simulator.simulation import Moment, RunOptions, Target, run_calls
from signaling.transaction import Timers
from tests.unit.recorder.simulator.tiny_recorder import HOST, RtpPort, TinyRecorder

QUICK = Timers(t1=0.05, t2=0.4, t4=0.5)


def planned(**options: object) -> list[CallPlan]:
    chosen = replace(ScenarioOptions(), **{"seconds": 0.4, "rate": 50.0, **options})  # type: ignore[arg-type]
    return plan_calls(chosen, started_at=datetime.now(UTC), run="test")


def arrived(port: RtpPort) -> list[tuple[int, int, int, bytes]]:
    """Return (sequence, timestamp, SSRC, payload) of each packet."""
    return [(*struct.unpack(">HII", packet[2:12]), packet[12:]) for _, _, packet in port.received]


def sent_to(journal: Journal, port: int) -> list[tuple[int, int, bytes]]:
    """Return (sequence, timestamp, payload) of what the journal says went to a port, in order."""
    conversation = load_conversation(journal.law)
    number = journal.destinations.index(f"{HOST}:{port}")
    rows = journal.packets
    rows = rows[(rows["destination"] == number) & (rows["flags"] & SENT != 0)]
    return [
        (
            int(row["sequence"]),
            int(row["timestamp"]),
            conversation.frames(int(row["stream"]), row["speech"].reshape(1))[0].tobytes(),
        )
        for row in rows
    ]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("door", "manager"), [(Door.MSR, False), (Door.MSR, True), (Door.SIPREC, False)])
async def test_what_arrives_is_what_the_journal_says(transport: str, door: Door, manager: bool) -> None:
    async with TinyRecorder() as recorder:
        plan = planned(calls=3, door=door)
        target = Target(transport, HOST, recorder.port)  # type: ignore[arg-type]
        outcome = await run_calls(plan, target, options=RunOptions(resource_manager=manager))
        assert [(call.completed, call.status) for call in outcome.calls] == [(True, 200)] * 3
        assert len(recorder.sessions) == 3
        for call_id, session in recorder.sessions.items():
            (call,) = [facts for facts in outcome.journal.calls.values() if facts.call_id == call_id]
            for stream, port in enumerate(session.ports):
                packets = arrived(recorder.rtp[port])
                assert [(s, t, p) for s, t, _, p in packets] == sent_to(outcome.journal, port)
                assert len(packets) == 20
                assert {ssrc for _, _, ssrc, _ in packets} == {plan[call.call].streams[stream].ssrc}
        methods = [request.split(" ", 1)[0] for request in recorder.requests]
        assert sorted(methods) == ["ACK"] * 3 + ["BYE"] * 3 + ["INVITE"] * 3
        assert outcome.sender.packets == 120


async def test_rtp_comes_from_the_announced_port_with_marker_and_payload_type() -> None:
    async with TinyRecorder() as recorder:
        recorder.payload_type = 8
        await run_calls(planned(law=Law.PCMA), Target("udp", HOST, recorder.port))
        (session,) = recorder.sessions.values()
        announced = [int(line.split()[1]) for line in session.bodies[0].split("\r\n") if line.startswith("m=audio")]
        for port, source in zip(session.ports, announced, strict=True):
            received = recorder.rtp[port].received
            assert {address for _, address, _ in received} == {(HOST, source)}
            assert [packet[0] for _, _, packet in received] == [0x80] * 20
            assert [packet[1] for _, _, packet in received] == [0x88] + [8] * 19


async def test_packets_leave_every_20_ms_without_drift() -> None:
    async with TinyRecorder() as recorder:
        outcome = await run_calls(planned(seconds=1.5), Target("udp", HOST, recorder.port))
    rows = outcome.journal.packets
    for stream in (0, 1):
        at = rows["at_ns"][rows["stream"] == stream] / 1e9
        late = at - np.arange(len(at)) * 0.02
        # Another process may take the core for a while, also at the first packet; but lateness must never add up.
        third = len(late) // 3
        assert abs(late[-third:].min() - late[:third].min()) < 0.02
        assert np.ptp(late) < 0.5


async def test_a_reinvite_of_the_recorder_moves_the_rtp_at_once_and_loses_nothing() -> None:
    async with TinyRecorder() as recorder:

        async def move() -> None:
            (call_id,) = recorder.sessions
            await recorder.reinvite(call_id, (await recorder.open_rtp(), await recorder.open_rtp()))

        outcome = await run_calls(planned(seconds=1.0), Target("udp", HOST, recorder.port), moments=[Moment(0.4, move)])
        assert outcome.calls[0].completed
        old, new = list(recorder.rtp)[:2], list(recorder.rtp)[2:]
        for before, after in zip(old, new, strict=True):
            first, second = arrived(recorder.rtp[before]), arrived(recorder.rtp[after])
            assert first
            assert second
            assert [(s, t, p) for s, t, _, p in first] == sent_to(outcome.journal, before)
            assert [(s, t, p) for s, t, _, p in second] == sent_to(outcome.journal, after)
            assert len(first) + len(second) == 50
        (moved,) = [note for note in outcome.journal.notes_of(0) if note.what == "media-moved"]
        assert moved.detail == f"INVITE: {HOST}:{new[0]}, {HOST}:{new[1]}"
        # RFC 3264 section 8.3.1: nothing leaves for the old port after the answer, but for a tick under way.
        rows = outcome.journal.packets
        to_old = np.isin(rows["destination"], [outcome.journal.destinations.index(f"{HOST}:{port}") for port in old])
        assert rows["at_ns"][to_old].max() <= moved.at_ns + 5_000_000


async def test_a_refused_call_is_reported_with_status_and_reason() -> None:
    async with TinyRecorder() as recorder:
        recorder.refuse = "503 Service Unavailable"
        outcome = await run_calls(planned(calls=2), Target("udp", HOST, recorder.port))
    assert [(c.completed, c.status, c.detail) for c in outcome.calls] == [(False, 503, "open: Service Unavailable")] * 2
    assert outcome.sender.packets == 0


async def test_lost_requests_are_repeated_over_udp() -> None:
    async with TinyRecorder() as recorder:
        recorder.silent_for = 2
        outcome = await run_calls(planned(), Target("udp", HOST, recorder.port), options=RunOptions(timers=QUICK))
        assert outcome.calls[0].completed
        assert [request.split(" ", 1)[0] for request in recorder.requests] == ["INVITE"] * 3 + ["ACK", "BYE"]


async def test_nobody_listening_fails_the_calls() -> None:
    async with TinyRecorder() as recorder:
        port = recorder.port
    options = RunOptions(timers=Timers(t1=0.01))
    over_udp = await run_calls(planned(), Target("udp", HOST, port), options=options)
    over_tcp = await run_calls(planned(), Target("tcp", HOST, port), options=options)
    assert (over_udp.calls[0].status, over_udp.calls[0].detail) == (408, "open: no answer")
    assert (over_tcp.calls[0].status, over_tcp.calls[0].detail) == (503, "open: connection lost")


async def test_in_a_pause_nothing_is_sent_and_timestamps_go_on() -> None:
    async with TinyRecorder() as recorder:
        plan = planned(seconds=1.2, pauses=(Pause(0.4, 0.3),))
        outcome = await run_calls(plan, Target("udp", HOST, recorder.port))
        assert outcome.calls[0].completed
        (session,) = recorder.sessions.values()
        assert ["a=inactive" in body for body in session.bodies] == [False, True, False]
        rows = outcome.journal.packets_of(0)
        paused = rows[rows["flags"] & PAUSED != 0]
        assert 20 <= len(paused) <= 60
        assert (paused["flags"] & (SENT | DOUBTFUL) == 0).all()
        for port in session.ports:
            packets = arrived(recorder.rtp[port])
            assert [(s, t, p) for s, t, _, p in packets] == sent_to(outcome.journal, port)
            sequences = np.array([sequence for sequence, _, _, _ in packets])
            assert (np.diff(sequences) % 65536).max() >= 10
        assert [note.what for note in outcome.journal.notes_of(0) if "paus" in note.what or "resum" in note.what] == [
            "pausing", "paused", "resuming", "resumed",
        ]  # fmt: skip


async def test_a_leaking_pause_goes_on_sending_what_must_not_be_kept() -> None:
    async with TinyRecorder() as recorder:
        plan = planned(seconds=1.0, pauses=(Pause(0.3, 0.3),))
        options = RunOptions(leak_while_paused=True)
        outcome = await run_calls(plan, Target("udp", HOST, recorder.port), options=options)
    rows = outcome.journal.packets_of(0)
    paused = rows["flags"] & (PAUSED | DOUBTFUL) == PAUSED
    assert paused.sum() >= 20
    assert (rows["flags"][paused] & SENT != 0).mean() > 0.8


async def test_impairments_reach_the_wire() -> None:
    async with TinyRecorder() as recorder:
        plan = planned(seconds=1.0, impairments=Impairments(loss=0.2, reorder=0.2, duplicate=0.2))
        outcome = await run_calls(plan, Target("udp", HOST, recorder.port))
        rows = outcome.journal.packets
        assert (rows["flags"] & WITHHELD != 0).any()
        (session,) = recorder.sessions.values()
        for stream, port in enumerate(session.ports):
            packets = arrived(recorder.rtp[port])
            assert [(s, t, p) for s, t, _, p in packets] == sent_to(outcome.journal, port)
            of_stream = rows[rows["stream"] == stream]
            sequences = [sequence for sequence, _, _, _ in packets]
            assert len(set(sequences)) == 50 - (of_stream["flags"] & WITHHELD != 0).sum()
            assert len(sequences) > len(set(sequences))


async def test_concurrency_is_limited() -> None:
    running = most = 0

    def observe(note: Note) -> None:
        nonlocal running, most
        running += {"answered": 1, "ended": -1}.get(note.what, 0)
        most = max(most, running)

    async with TinyRecorder() as recorder:
        options = RunOptions(concurrency=2)
        outcome = await run_calls(
            planned(calls=5, seconds=0.2), Target("udp", HOST, recorder.port), options=options, observe=observe
        )
    assert all(call.completed for call in outcome.calls)
    assert most == 2


async def test_every_message_is_journalled_and_the_journal_survives_the_disk(tmp_path: Path) -> None:
    async with TinyRecorder() as recorder:
        outcome = await run_calls(planned(), Target("udp", HOST, recorder.port))
        sent = [trace.message for trace in outcome.journal.sip if trace.outgoing]
        assert sent == recorder.requests
    outcome.journal.save(tmp_path / "journal.npz")
    loaded = Journal.load(tmp_path / "journal.npz")
    assert loaded.sip == outcome.journal.sip
    assert np.array_equal(loaded.packets, outcome.journal.packets)


async def test_a_request_outside_every_call_is_answered() -> None:
    async with TinyRecorder() as recorder:

        async def probe() -> None:
            (session,) = recorder.sessions.values()
            for method in ("OPTIONS", "BYE"):
                recorder.send(
                    f"{method} sip:x@{HOST} SIP/2.0\r\n"
                    f"Via: SIP/2.0/UDP {HOST}:{recorder.port};branch=z9hG4bK{method}\r\n"
                    f"From: <sip:a@{HOST}>;tag=1\r\nTo: <sip:b@{HOST}>\r\nCall-ID: none\r\nCSeq: 1 {method}\r\n"
                    "Content-Length: 0\r\n\r\n",
                    session.source,
                )
            recorder.send("this is not SIP", session.source)

        outcome = await run_calls(planned(), Target("udp", HOST, recorder.port), moments=[Moment(0.25, probe)])
        await asyncio.sleep(0)
        answers = [text.split("\r\n")[0] for text in recorder.responses]
    assert sorted(answers) == ["SIP/2.0 200 OK", "SIP/2.0 481 Call/Transaction Does Not Exist"]
    assert [note.what for note in outcome.journal.notes if note.call == -1] == ["malformed"]


async def test_a_message_with_a_bad_header_field_is_noted_and_the_call_goes_on() -> None:
    async with TinyRecorder() as recorder:

        async def send_bad_update() -> None:
            (call_id,) = recorder.sessions
            session = recorder.sessions[call_id]
            recorder.send(
                f"UPDATE sip:x@{HOST} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:{recorder.port};branch=z9hG4bKbad\r\n"
                f"From: {session.invite['to'][0]};tag=tiny\r\nTo: {session.invite['from'][0]}\r\n"
                f"Call-ID: {call_id}\r\nCSeq: 7 UPDATE\r\nContact: <sip:open\r\nContent-Length: 0\r\n\r\n",
                session.source,
            )

        moments = [Moment(0.25, send_bad_update)]
        outcome = await run_calls(planned(), Target("udp", HOST, recorder.port), moments=moments)
    assert outcome.calls[0].completed
    assert [note.what for note in outcome.journal.notes_of(0) if note.what == "malformed"] == ["malformed"]
