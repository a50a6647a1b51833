"""SIPp as recording client: MSR and SIPREC over UDP and TCP, with RTP, judged by the audio in the exported file."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import pytest

from tests.interop.conftest import CONVERSATION_FRAMES, Conversation
from tests.kit.heard import assert_bit_exact
from tests.kit.rtp_source import frames_of
from tests.kit.running import RunningRecorder, free_port
from tests.kit.sip_client import conn_id_of, new_identifier
from tests.kit.sipp import SippRun, run_sipp
from tests.kit.wav import G711Wav, read_g711

pytestmark = pytest.mark.interop

ROOT: Final = Path(__file__).parents[2]
FRAMES: Final = 75
"""20 ms frames that each party sends."""
CALLS: Final[list[tuple[str, Literal["u1", "t1"]]]] = [
    ("msr", "u1"),
    ("msr", "t1"),
    ("siprec", "u1"),
    ("siprec", "t1"),
    ("large", "u1"),
    ("party", "u1"),
]
Placed: TypeAlias = Callable[[str, str], tuple[str, SippRun]]


@pytest.fixture(scope="module")
def placed(recorder: RunningRecorder, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All calls of this module side by side; ask for one by scenario and transport, get identifier and outcome."""
    outcomes: dict[tuple[str, str], tuple[str, Future[SippRun]]] = {}
    with ThreadPoolExecutor(4) as executor:
        for scenario, transport in CALLS:
            identifier = new_identifier()
            directory = tmp_path_factory.mktemp(f"{scenario}-{transport}")
            (directory / "party.ulaw").write_bytes(b"".join(frames_of(f"{identifier}/0", FRAMES)))
            source = f"{sys.executable} -m tests.kit.rtp_source --frames {FRAMES}"
            keys = {
                "id": identifier,
                "calluuid": identifier[:32],
                "connid": conn_id_of(identifier),
                "audio1": str(free_port()),
                "audio2": str(free_port()),
                "padding": "0123456789" * 10,
                "rtp": f"cd {shlex.quote(str(ROOT))} && exec {source}",
            }
            run = executor.submit(run_sipp, scenario, recorder.sip_port, directory, transport=transport, keys=keys)
            outcomes[scenario, transport] = (identifier, run)

        def outcome(scenario: str, transport: str) -> tuple[str, SippRun]:
            identifier, run = outcomes[scenario, transport]
            return identifier, run.result()

        yield outcome


def exported(recorder: RunningRecorder, identifier: str, directory: Path) -> tuple[dict[str, Any], G711Wav]:
    entry = recorder.finished(identifier)
    return entry, read_g711(recorder.export(entry["id"], directory / "exported.wav"))


@pytest.mark.parametrize(("scenario", "transport"), [call for call in CALLS if call[0] in {"msr", "siprec", "large"}])
def test_a_call_is_recorded_bit_exact(
    recorder: RunningRecorder, placed: Placed, tmp_path: Path, scenario: str, transport: str
) -> None:
    identifier, run = placed(scenario, transport)
    run.assert_successful()
    entry, wav = exported(recorder, identifier, tmp_path)
    assert (entry["state"], entry["gaps"]) == ("complete", [])
    assert entry["door"] == ("siprec" if scenario == "siprec" else "msr")
    assert entry["sip_call_ids"] == [run.received("SIP/2.0 200")[0].one("Call-ID")]
    if scenario != "siprec":
        assert entry["call_uuid"] == identifier[:32]
        assert (entry["ani"], entry["dnis"]) == ("5550111", "5550199")
        assert (entry["dn"], entry["other_dn"]) == ("5550100", "5550111")
    assert_bit_exact(wav, *(frames_of(f"{identifier}/{party}", FRAMES) for party in (0, 1)))
    # Of the audio, not of the dialog, which lasts 12 s.
    assert 1.5 <= entry["duration_s"] < 3


def test_the_record_route_of_the_resource_manager_is_returned_whole(placed: Placed) -> None:
    """E13 of the client profiles: the whole URI comes back, and both Via lines, in order."""
    identifier, run = placed("msr", "u1")
    answer = run.received("SIP/2.0 200")[0]
    route = answer.one("Record-Route")
    assert route.startswith("<sip:0x00000001@127.0.0.1:")
    assert route.endswith(f";lr;gvp.rm.datanodes=1;confinstid={identifier};idtag=0000000C>")
    assert [value.split(";")[0].split(" ")[0] for value in answer.all("Via")] == ["SIP/2.0/UDP", "SIP/2.0/TCP"]


def test_a_party_in_a_session_of_its_own_is_recorded_from_the_rtp_of_sipp(
    recorder: RunningRecorder, placed: Placed, tmp_path: Path
) -> None:
    identifier, run = placed("party", "u1")
    run.assert_successful()
    entry, wav = exported(recorder, identifier, tmp_path)
    assert (entry["state"], entry["gaps"]) == ("complete", [])
    assert_bit_exact(wav, frames_of(f"{identifier}/0", FRAMES))


@pytest.mark.parametrize("scenario", ["options", "bye_unknown"])
@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_requests_outside_of_dialogs_are_answered(
    recorder: RunningRecorder, tmp_path: Path, scenario: str, transport: Literal["u1", "t1"]
) -> None:
    run_sipp(scenario, recorder.sip_port, tmp_path, transport=transport).assert_successful()


@pytest.mark.skipif(os.geteuid() != 0, reason="SIPp plays pcap files through a raw socket, which needs root")
def test_a_conversation_of_a_minute_over_tcp_equals_what_was_sent(
    recorder: RunningRecorder, conversation: Conversation, tmp_path: Path
) -> None:
    """The done-line of the product: a real 60-second conversation sent by SIPp over TCP, byte by byte."""
    run = conversation.run.result()
    run.assert_successful()
    first, second = run.received("SIP/2.0 200")[0].media_ports()
    assert second == first + 2, "SIPp plays both streams to neighbouring ports; this answer does not name such"
    entry, wav = exported(recorder, conversation.identifier, tmp_path)
    assert (entry["state"], entry["gaps"], entry["door"]) == ("complete", [], "msr")
    assert 60.0 <= entry["duration_s"] < 62
    assert wav.channels.shape[0] == 2
    assert wav.channels.shape[1] >= CONVERSATION_FRAMES * 160
    assert_bit_exact(wav, *conversation.parties)
