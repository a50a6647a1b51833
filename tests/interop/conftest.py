"""One recorder for all interop tests; a conversation of a minute runs in the background of the others."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from recorder.simulator.conversation import load_conversation
from recorder.simulator.g711 import Law
from tests.kit.rtp_source import frames_of_audio
from tests.kit.running import RunningRecorder, eventually
from tests.kit.sip_client import conn_id_of, new_identifier
from tests.kit.sipp import SippRun, free_media_port, run_sipp, write_pcap

CONVERSATION_FRAMES = 3000
"""One minute."""


@dataclass(frozen=True)
class Conversation:
    """A minute of two people's speech that SIPp is sending, signalled over TCP."""

    identifier: str
    parties: list[list[bytes]]
    run: Future[SippRun]


@pytest.fixture(scope="session")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    """The recorder that most tests share."""
    running = RunningRecorder(tmp_path_factory.mktemp("interop") / "state")
    with running:
        yield running
        assert running.stop() == 0, running.log_tail()
    running.assert_no_traceback()


@pytest.fixture(scope="session")
def conversation(recorder: RunningRecorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conversation]:
    """SIPp on its way through the conversation."""
    speech = load_conversation(Law.PCMU)
    parties = [frames_of_audio(party.tobytes())[:CONVERSATION_FRAMES] for party in speech.parties]
    assert [len(party) for party in parties] == [CONVERSATION_FRAMES] * 2
    directory = tmp_path_factory.mktemp("conversation")
    write_pcap(directory / "conversation.pcap", parties)
    with ThreadPoolExecutor(1) as executor:
        yield _start(recorder, directory, parties, executor)


@pytest.fixture(scope="session", autouse=True)
def _conversation_first(request: pytest.FixtureRequest) -> None:
    """Start the conversation before any other call, if a collected test asks for it.

    It takes a minute, in which the other tests run; and SIPp plays both streams to neighbouring ports, which a recorder
    that holds no other call surely gives.
    """
    if any("conversation" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("conversation")


def _start(
    recorder: RunningRecorder, directory: Path, parties: list[list[bytes]], executor: ThreadPoolExecutor
) -> Conversation:
    identifier, media_port = new_identifier(), free_media_port()
    keys = {
        "id": identifier,
        "calluuid": identifier[:32],
        "connid": conn_id_of(identifier),
        "audio2": str(media_port + 2),
    }
    run = executor.submit(
        run_sipp, "conversation", recorder.sip_port, directory,
        transport="t1", keys=keys, media_port=media_port, limit_s=180,
    )  # fmt: skip
    eventually(
        lambda: run.done() or bool(recorder.recordings("--record-identifier", identifier)),
        limit_s=60, what="the conversation in the catalog",
    )  # fmt: skip
    return Conversation(identifier, parties, run)
