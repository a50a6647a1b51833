"""One record identifier, one recording: the next segments, dialogs at the same time, and what opens nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kit.call import Call
from tests.kit.heard import MAX_SKEW, MU_LAW, SILENCE, hear
from tests.kit.running import FINISHED_LIMIT_S, RunningRecorder, eventually
from tests.kit.sip_client import new_identifier

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    running = RunningRecorder(tmp_path_factory.mktemp("continuation") / "state")
    with running:
        yield running
    running.assert_no_traceback()


def shown(recorder: RunningRecorder, identifier: str) -> dict[str, Any]:
    """The only recording of an identifier, with everything that is known of it."""
    listed = recorder.recordings("--record-identifier", identifier)
    assert len(listed) == 1, listed
    detail: dict[str, Any] = recorder.admin("recordings", "show", listed[0]["id"])
    return detail


def with_segments(recorder: RunningRecorder, identifier: str, count: int) -> dict[str, Any]:
    """The recording once so many sessions of it are finalised."""

    def probe() -> dict[str, Any] | None:
        detail = shown(recorder, identifier)
        done = [segment for segment in detail["segments"] if segment["state"] == "finalised"]
        return detail if len(done) == count and detail["state"] not in {"recording", "finalising"} else None

    return eventually(probe, limit_s=FINISHED_LIMIT_S, what=f"{count} segments of {identifier}")


def assert_heard(call: Call, audio: Any) -> list[int]:
    """Every frame of a call is in the audio, each party in its channel; returns where they begin."""
    offsets = []
    for channel, sent in zip(audio.channels, call.sent, strict=True):
        heard = hear(channel, sent, silence=SILENCE[MU_LAW], within=len(channel))
        assert heard.missing == []
        offsets.append(heard.offset)
    return offsets


def test_the_same_identifier_after_the_end_opens_the_next_segment(recorder: RunningRecorder, tmp_path: Path) -> None:
    """Stop and start by CTI: finalised, reopened, rendered again with both; the silence between is declared."""
    identifier = new_identifier()
    with Call(recorder, identifier=identifier) as first:
        first.start()
        first.media.talk(0.6)
        first.hang_up()
        before = with_segments(recorder, identifier, 1)
        assert [file["kind"] for file in before["files"]] == ["master"]
    with Call(recorder, identifier=identifier, seed="again") as second:
        second.start()
        assert shown(recorder, identifier)["state"] == "recording"
        second.media.talk(0.6)
        second.hang_up()
        after = with_segments(recorder, identifier, 2)

        assert after["id"] == before["id"]
        assert after["state"] == "complete"
        assert [segment["ordinal"] for segment in after["segments"]] == [1, 2]
        assert [segment["sip_call_id"] for segment in after["segments"]] == [
            first.dialog.call_id,
            second.dialog.call_id,
        ]
        assert len(after["files"]) == 1
        assert after["files"][0]["path"] != before["files"][0]["path"]
        root = recorder.state_dir / "recordings"
        assert (root / after["files"][0]["path"]).exists()
        replaced = root / before["files"][0]["path"]
        eventually(
            lambda: not replaced.exists(), limit_s=FINISHED_LIMIT_S, what="the end of the file that was replaced"
        )

        audio = second.exported(tmp_path)
        ends = [start + 160 * len(sent) for start, sent in zip(assert_heard(first, audio), first.sent, strict=True)]
        for party, (end, start) in enumerate(zip(ends, assert_heard(second, audio), strict=True)):
            gaps = [gap for gap in after["gaps"] if gap["party"] == party]
            # Nobody sent between the last packet and the BYE, nor between the 200 and the first packet.
            assert {gap["cause"] for gap in gaps} <= {"no-session", "source-change"}
            assert [gap["kind"] for gap in gaps if gap["cause"] == "no-session"] == ["lost"]
            assert gaps[0]["start_s"] == pytest.approx(end / 8000, abs=0.001)
            assert sum(gap["duration_s"] for gap in gaps) == pytest.approx((start - end) / 8000, abs=0.001)


def test_a_new_dialog_beside_the_old_one_continues_the_recording(recorder: RunningRecorder, tmp_path: Path) -> None:
    """Media Server failover: the media of the first dialog stop without a BYE, the new one brings the rest."""
    identifier = new_identifier()
    with Call(recorder, identifier=identifier) as first, Call(recorder, identifier=identifier, seed="b") as second:
        first.start()
        first.media.talk(0.6)
        first.media.stop()
        second.dialog.local = "<sip:Genesys@192.0.2.21:7090>"
        second.start()
        second.media.talk(0.6)
        second.hang_up()
        assert shown(recorder, identifier)["state"] == "recording", "the first dialog still lives"
        first.hang_up()
        after = with_segments(recorder, identifier, 2)
        assert after["state"] == "complete"
        audio = second.exported(tmp_path)
        first_starts = assert_heard(first, audio)
        second_starts = assert_heard(second, audio)
        for begin, then in zip(first_starts, second_starts, strict=True):
            assert then >= begin + 160 * len(first.sent[0])


def test_a_retransmitted_invite_opens_nothing(recorder: RunningRecorder) -> None:
    identifier = new_identifier()
    with Call(recorder, identifier=identifier) as call:
        body, content_type = call.body()
        invite = call.dialog.request("INVITE", body, content_type=content_type)
        call.client.send(invite)
        answer = call.client.final("INVITE")
        call.client.send(invite)
        again = call.client.final("INVITE")
        assert again.status == answer.status == 200
        assert again.one("To") == answer.one("To")
        assert again.sdp == answer.sdp
        call.dialog.learn(answer)
        call.client.send(call.dialog.request("ACK"))
        assert len(shown(recorder, identifier)["segments"]) == 1
        call.hang_up()


def test_a_merged_invite_opens_nothing(recorder: RunningRecorder) -> None:
    """RFC 3261 section 8.2.2.2: the same request by another path, with another branch, gets 482."""
    identifier = new_identifier()
    with Call(recorder, identifier=identifier) as call:
        body, content_type = call.body()
        call.client.send(call.dialog.request("INVITE", body, content_type=content_type))
        answer = call.client.final("INVITE")
        assert answer.status == 200
        forked = call.dialog.request("INVITE", body, content_type=content_type, cseq=call.dialog.cseq)
        call.client.send(forked)
        refusal = call.client.final("INVITE")
        while refusal.status == 200:  # the first one is sent again until its ACK
            refusal = call.client.final("INVITE")
        assert refusal.status == 482
        call.dialog.learn(answer)
        call.client.send(call.dialog.request("ACK"))
        assert len(shown(recorder, identifier)["segments"]) == 1
        call.hang_up()
        assert with_segments(recorder, identifier, 1)


def test_many_dialogs_of_one_identifier_at_once_are_numbered_without_holes(recorder: RunningRecorder) -> None:
    identifier = new_identifier()
    calls = [Call(recorder, identifier=identifier, seed=secrets.token_hex(4)) for _ in range(4)]
    try:
        for call in calls:
            body, content_type = call.body()
            call.client.send(call.dialog.request("INVITE", body, content_type=content_type))
        for call in calls:
            answer = call.client.final("INVITE")
            assert answer.status == 200
            call.dialog.learn(answer)
            call.client.send(call.dialog.request("ACK"))
        assert sorted(segment["ordinal"] for segment in shown(recorder, identifier)["segments"]) == [1, 2, 3, 4]
        for call in calls:
            call.hang_up()
        after = with_segments(recorder, identifier, 4)
        assert after["state"] == "no-media"
    finally:
        for call in calls:
            call.close()


def test_two_live_dialogs_with_the_same_audio_are_merged_and_not_summed(
    recorder: RunningRecorder, tmp_path: Path
) -> None:
    """Both are captured; each lacks what the other has, and the recording has everything once."""
    identifier = new_identifier()
    with Call(recorder, identifier=identifier) as first, Call(recorder, identifier=identifier) as second:
        for number, (one, other) in enumerate(zip(first.media.streams, second.media.streams, strict=True)):
            one.lose, other.lose = frozenset(range(20, 30)), frozenset(range(60, 75))
            other.ssrc, other.sequence, other.timestamp = 0x7B000001 + number, 60_000, 4_000_000_000
        first.place()
        second.place()
        first.media.start()
        second.media.start()
        first.media.wait_for(150)
        second.media.wait_for(150)
        first.media.stop()
        second.media.stop()
        first.hang_up()
        second.hang_up()
        after = with_segments(recorder, identifier, 2)
        assert after["state"] == "complete"
        assert after["gaps"] == []
        audio = first.exported(tmp_path)
        for channel, stream in zip(audio.channels, first.media.streams, strict=True):
            whole = stream.frames[: max(first.media.count, second.media.count)]
            heard = hear(channel, whole, silence=SILENCE[MU_LAW], within=MAX_SKEW)
            assert heard.missing == []
            assert heard.stray == 0


def test_two_parties_under_one_identifier_stay_two_parties(recorder: RunningRecorder, tmp_path: Path) -> None:
    """Sessions per party (one m-line each, other DN, same identifier): two channels, nothing summed."""
    identifier = new_identifier()
    uuid = identifier.partition("_")[0]
    calls = []
    try:
        for dn in ("5550100", "5550111"):
            call = Call(recorder, identifier=identifier, parties=1, seed=dn)
            calls.append(call)
            head = call.dialog.uri.partition(";")[0]
            call.dialog.uri = f"{head};calluuid={uuid};dn={dn};recorddn=5550100;sipsappname=SIP_Example"
            call.place()
        for call in calls:
            call.media.start()
        for call in calls:
            call.media.wait_for(100)
        for call in calls:
            call.hang_up()
        after = with_segments(recorder, identifier, 2)
        assert after["state"] == "complete"
        audio = calls[0].exported(tmp_path)
        assert len(audio.channels) == 2
        for channel, call in zip(audio.channels, calls, strict=True):
            heard = hear(channel, call.sent[0], silence=SILENCE[MU_LAW], within=MAX_SKEW)
            assert heard.missing == []
            assert heard.stray == 0
        assert np.count_nonzero(~np.isin(audio.channels, SILENCE[MU_LAW])) > 30_000
        streams = [stream for segment in after["segments"] for stream in segment["streams"]]
        assert [(stream["party"], stream["participant"]["dn"]) for stream in streams] == [
            (0, "5550100"),
            (1, "5550111"),
        ]
    finally:
        for call in calls:
            call.close()
