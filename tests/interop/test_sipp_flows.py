"""SIPp plays everything that a client may do in a session, and follows what the recorder asks, by UDP, TCP and TLS.

The scripts are in `sipp_flows.py`. SIPp judges each message, this module what was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from tests.interop import sipp_flows as flows
from tests.kit.certificates import Authority
from tests.kit.heard import SILENCE, hear
from tests.kit.rtp_source import FRAME_S
from tests.kit.running import RunningRecorder, eventually, free_port
from tests.kit.sip_client import Message
from tests.kit.sipp_call import SippCall, Transport
from tests.kit.tls_tunnel import tls_tunnel
from tests.kit.wav import G711Wav, read_g711

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
"""The first test waits for calls of all of them."""

TRANSPORTS: Final[tuple[Transport, ...]] = ("udp", "tcp", "tls")
SIDE_BY_SIDE: Final = 6
"""Calls at a time."""
MARGIN_S: Final = 0.1
"""A frame sent this close to a change may fall on either side: its sender may be held up between clock and socket."""


@dataclass
class Site:
    """A recorder that is reached by three transports, and the calls placed with it."""

    recorder: RunningRecorder
    ports: dict[Transport, int]
    directory: Path
    stack: ExitStack
    executor: ThreadPoolExecutor
    calls: dict[tuple[str, Transport], tuple[SippCall, Future[None]]] = field(default_factory=dict)

    def place(self, name: str, transport: Transport, flow: flows.Flow, **options: Any) -> Future[None]:
        """Begin to play a flow."""
        call = self.stack.enter_context(SippCall(self.directory / f"{name}-{transport}", transport, **options))
        script, after = flow(call)

        def play() -> None:
            call.play(script, self.ports[transport], after=after).assert_successful()

        outcome = self.executor.submit(play)
        self.calls[name, transport] = (call, outcome)
        return outcome

    def played(self, name: str, transport: Transport) -> SippCall:
        """Return a call that SIPp has found to go as its scenario says."""
        call, outcome = self.calls[name, transport]
        outcome.result()
        return call


def profiles(directory: Path) -> Path:
    """Write the profile of the client that loses an answer unless it comes late."""
    directory.mkdir()
    (directory / "hesitant.toml").write_text(
        f'name = "hesitant"\nextends = "genesys-mcp"\n[match]\nuser_agent = ["{flows.HESITANT}"]\n'
        "[session]\nanswer_delay_ms = 1000\n"
    )
    return directory


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A recorder with UDP, TCP and TLS; its answers to one kind of client come late enough for a CANCEL before them."""
    directory = tmp_path_factory.mktemp("sipp-flows")
    authority = Authority(directory)
    server, client = authority.sign("server"), authority.sign("client", alternative=("media1.site.example",))
    tls_port = free_port()
    recorder = RunningRecorder(
        directory / "state",
        environment={
            "RECORDER_MEDIA_MAX_STREAMS": "120",
            "RECORDER_PROFILES_DIRECTORY": str(profiles(directory / "profiles")),
            "RECORDER_SIP_TLS_PORT": str(tls_port),
            "RECORDER_SIP_TLS_CERTIFICATE": str(server.certificate),
            "RECORDER_SIP_TLS_KEY": str(server.key),
            "RECORDER_SIP_TLS_CLIENT_CA": str(authority.file),
            "RECORDER_SIP_TLS_CLIENT_CERTIFICATE": "required",
        },
    )
    with recorder, tls_tunnel(tls_port, authority=authority.file, client=client) as tunnel, ExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor(SIDE_BY_SIDE + len(TRANSPORTS)))
        ports: dict[Transport, int] = {"udp": recorder.sip_port, "tcp": recorder.sip_port, "tls": tunnel}
        yield Site(recorder, ports, directory, stack, executor)
        executor.shutdown(cancel_futures=True)
        assert recorder.stop() == 0, recorder.log_tail()
    recorder.assert_no_traceback()


OWN_OFFERS: Final[dict[str, flows.Flow]] = {
    "followed": flows.followed,
    "glare": flows.glare,
    "updated": flows.updated,
}
FLOWS: Final[dict[str, tuple[flows.Flow, int]]] = {
    "moved": (flows.moved, 2),
    "held": (flows.held("INVITE"), 2),
    "held by UPDATE": (flows.held("UPDATE"), 2),
    "held by zero address": (flows.held("INVITE", zero_address=True), 2),
    "restated": (flows.restated, 2),
    "recoded": (flows.recoded, 2),
    "resized": (flows.resized, 3),
    "refused": (flows.refused, 2),
    "late": (flows.late, 1),
    "cancelled": (flows.cancelled, 2),
    "cancelled late": (flows.cancelled_late, 2),
    "refreshed": (flows.refreshed, 2),
    "reliable": (flows.reliable, 2),
    "described": (flows.described, 2),
    "asked": (flows.asked, 2),
    "alone": (flows.alone, 1),
    "courteous": (flows.courteous, 2),
}
"""Each with its number of streams."""


@pytest.fixture(scope="module")
def asked_by_us(site: Site) -> Site:
    """Calls that are moved to another writer, all of them before any other call is placed."""
    recorder = site.recorder
    assert recorder.invoke("writers", "drain", "writer-2").exit_code == 0
    outcomes = [
        site.place(name, transport, flow, parties=2) for name, flow in OWN_OFFERS.items() for transport in TRANSPORTS
    ]
    eventually(
        lambda: recorder.log().count("] recording ") >= len(outcomes) or any(one.done() for one in outcomes),
        limit_s=90, what="every call answered", detail=recorder.log_tail,
    )  # fmt: skip
    assert recorder.invoke("writers", "undrain", "writer-2").exit_code == 0
    assert recorder.invoke("writers", "drain", "writer-1").exit_code == 0
    for outcome in outcomes:
        outcome.exception()
    assert recorder.invoke("writers", "undrain", "writer-1").exit_code == 0
    return site


@pytest.fixture(scope="module")
def placed(asked_by_us: Site) -> Site:
    """Every other flow, some at a time; the session that the recorder refreshes takes most of a minute."""
    for transport in TRANSPORTS:
        asked_by_us.place("refreshed by us", transport, flows.refreshed_by_us, parties=2)
    for name, (flow, parties) in FLOWS.items():
        for transport in TRANSPORTS:
            asked_by_us.place(name, transport, flow, parties=parties)
    return asked_by_us


Recorded: TypeAlias = tuple[dict[str, Any], G711Wav]


def recorded(site: Site, call: SippCall, identifier: str = "") -> Recorded:
    """Return the entry of a call and its audio."""
    entry = site.recorder.finished(identifier or call.identifier)
    return entry, read_g711(site.recorder.export(entry["id"], call.directory / "exported.wav"))


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request of the client's and our 200, in seconds since the epoch.

    By our own clock: what SIPp's log says depends on how soon SIPp writes it, and how long it waits on its loop.
    """

    method: str
    received: float
    answered: float


def exchanges(site: Site, call: SippCall, identifier: str = "", *, sessions: int = 1) -> list[Exchange]:
    """Return what the client asked for and got, in order, up to the BYE of the last session."""
    received: dict[tuple[str, str], float] = {}
    answered: dict[tuple[str, str], float] = {}

    def ended() -> bool:
        trace = site.recorder.admin("recordings", "trace", identifier or call.identifier, check=False)
        for entry in trace.get("messages", []):
            message = Message(entry["message"].encode())
            times = answered if message.status == 200 else received
            if message.status in {0, 200}:
                key = message.one("Call-ID"), message.one("CSeq")
                times.setdefault(key, datetime.fromisoformat(entry["at"]).timestamp())
        return sum(cseq.endswith(" BYE") for _, cseq in answered) == sessions

    eventually(ended, limit_s=60, what="the trace of the whole call", detail=site.recorder.log_tail)
    both = [Exchange(key[1].partition(" ")[2], received[key], at) for key, at in answered.items() if key in received]
    return sorted(both, key=lambda one: one.received)


def frames_before_bye(site: Site, call: SippCall, identifier: str = "", *, sessions: int = 1) -> int:
    """Return how many frames certainly came before the BYE of the last session."""
    return len(call.frames_between(0, exchanges(site, call, identifier, sessions=sessions)[-1].received - MARGIN_S))


def assert_whole(site: Site, call: SippCall, identifier: str = "") -> dict[str, Any]:
    """Fail unless all that was sent before the BYE is in the recording, sample by sample; returns its entry."""
    entry, wav = recorded(site, call, identifier)
    assert (entry["state"], entry["gaps"]) == ("complete", [])
    ended = frames_before_bye(site, call, identifier)
    for party, (frames, channel) in enumerate(zip(call.sent, wav.channels, strict=False)):
        heard = hear(channel, frames, silence=SILENCE[wav.format_tag])
        assert [number for number in heard.missing if number < ended] == [], f"party {party}, of {ended} frames"
        assert heard.stray == 0, f"party {party}: {heard.stray} samples that nobody sent"
    return entry


def shown(site: Site, call: SippCall) -> dict[str, Any]:
    detail: dict[str, Any] = site.recorder.admin("recordings", "show", site.recorder.finished(call.identifier)["id"])
    return detail


def streams_of(site: Site, call: SippCall) -> list[dict[str, Any]]:
    streams: list[dict[str, Any]] = shown(site, call)["segments"][0]["streams"]
    return streams


each_transport = pytest.mark.parametrize("transport", TRANSPORTS)


@each_transport
@pytest.mark.parametrize("name", OWN_OFFERS)
def test_media_follow_what_we_offer_and_nothing_is_lost(asked_by_us: Site, name: str, transport: Transport) -> None:
    """C13, C14, C22, C26, O6: a re-INVITE of ours that is taken, that crosses the client's, and UPDATE in its place."""
    call = asked_by_us.played(name, transport)
    ports = [one.media_ports() for one in (*call.answers("INVITE"), *call.requests("INVITE"), *call.requests("UPDATE"))]
    assert len({tuple(one) for one in ports}) >= 2, "every offer and answer names the same ports"
    entry = assert_whole(asked_by_us, call)
    assert len(entry["sip_call_ids"]) == 1


@each_transport
@pytest.mark.parametrize("name", ["moved", "restated", "refused", "cancelled late", "refreshed", "reliable", "alone"])
def test_what_a_client_changes_costs_no_sample(placed: Site, name: str, transport: Transport) -> None:
    """S6, O6, O10, C13, C16, C22, C23, C28: media that move, an offer that is refused, timers, 100rel, one party."""
    assert_whole(placed, placed.played(name, transport))


@each_transport
def test_we_refresh_a_session_when_the_client_leaves_it_to_us(placed: Site, transport: Transport) -> None:
    """C23."""
    assert_whole(placed, placed.played("refreshed by us", transport))


@each_transport
@pytest.mark.parametrize("name", ["held", "held by UPDATE", "held by zero address"])
def test_nothing_of_a_hold_is_recorded_and_all_the_rest_is(placed: Site, name: str, transport: Transport) -> None:
    """S10, O7; the client goes on sending."""
    call = placed.played(name, transport)
    entry, wav = recorded(placed, call)
    assert entry["state"] == "complete"
    _, hold, resume, bye = exchanges(placed, call)
    within = set(call.frames_between(hold.answered + FRAME_S, resume.received - FRAME_S))
    edges = {
        number for edge in (hold, resume)
        for number in call.frames_around(edge.received - FRAME_S, edge.answered + FRAME_S)
    }  # fmt: skip
    # What a client sends late at an edge is told as lost, never more than the edges have.
    kinds = {gap["kind"] for gap in entry["gaps"]}
    assert kinds - {"lost"} == {"paused"}
    for party in range(len(call.sent)):
        lost = [gap["duration_s"] for gap in entry["gaps"] if (gap["kind"], gap["party"]) == ("lost", party)]
        assert sum(lost) <= len(edges) * FRAME_S
    around = edges | set(range(len(call.frames_between(0, bye.received - FRAME_S)), len(call.sent[0])))
    assert len(within) >= 40
    for frames, channel in zip(call.sent, wav.channels, strict=True):
        missing = set(hear(channel, frames, silence=SILENCE[wav.format_tag]).missing)
        assert within <= missing, "audio of the hold is in the recording"
        assert missing <= within | around, "audio from before or after the hold is missing"


@each_transport
def test_a_codec_that_changes_is_answered_and_listed(placed: Site, transport: Transport) -> None:
    call = placed.played("recoded", transport)
    for stream in streams_of(placed, call):
        assert {"0", "8"} <= set(map(str, stream["payload_types"])), stream
    assert placed.recorder.finished(call.identifier)["state"] == "complete"


@each_transport
def test_streams_are_added_and_removed_and_their_slots_used_again(placed: Site, transport: Transport) -> None:
    """S11, O5."""
    call = placed.played("resized", transport)
    assert {stream["index"] for stream in streams_of(placed, call)} == {0, 1, 2}
    versions = [one.sdp.split("\r\no=")[1].split(" ")[2] for one in call.answers("INVITE") + call.answers("UPDATE")]
    assert len(set(versions)) == 4, "our own version rises with each change"


@each_transport
def test_a_late_offer_is_ours(placed: Site, transport: Transport) -> None:
    """C15."""
    call = placed.played("late", transport)
    assert_whole(placed, call, call.answers("INVITE")[0].one("Call-ID"))


@each_transport
def test_a_cancelled_invite_leaves_no_recording(placed: Site, transport: Transport) -> None:
    """C16."""
    call = placed.played("cancelled", transport)

    def ended() -> bool:
        listed = placed.recorder.recordings("--record-identifier", call.identifier)
        return all(entry["state"] in {"finalising", "no-media"} for entry in listed)

    eventually(ended, limit_s=30, what="the end of what was cancelled", detail=placed.recorder.log_tail)


@each_transport
def test_metadata_are_followed_with_labels_alone_and_in_parts(placed: Site, transport: Transport) -> None:
    """S7, S8, S9, S14: labels of one message, metadata alone, a participant that leaves and one that joins."""
    call = placed.played("described", transport)
    speakers = {stream["label"]: stream["participant"]["aor"] for stream in streams_of(placed, call)}
    assert speakers == {"north": "sip:5550122@agents.example", "south": "sip:5550777@customers.example"}
    assert_whole(placed, call)


@each_transport
def test_missing_metadata_are_asked_for_once(placed: Site, transport: Transport) -> None:
    """S15."""
    call = placed.played("asked", transport)
    assert len({one.one("CSeq") for one in call.requests("UPDATE")}) == 1
    speakers = [stream["participant"]["aor"] for stream in streams_of(placed, call)]
    assert speakers == ["sip:5550100@agents.example", "sip:5550111@customers.example"]
    assert_whole(placed, call)


@each_transport
def test_health_checks_info_header_data_and_the_route_of_a_resource_manager(placed: Site, transport: Transport) -> None:
    """C9, C18, S25."""
    call = placed.played("courteous", transport)
    parameters = [tuple(pair) for pair in shown(placed, call)["parameters"]]
    assert all(field in parameters for field in flows.HEADER_DATA)
    assert f";transport={transport}" in call.answers("INVITE")[0].one("Contact") or transport == "udp"
    assert_whole(placed, call)


@each_transport
def test_the_same_identifier_on_a_new_dialog_continues_the_recording(
    placed: Site, transport: Transport, tmp_path: Path
) -> None:
    """Media Server failover: the second session opens the next segment."""
    sent: list[list[bytes | None]] = []
    identifier = ""
    for ordinal in (1, 2):
        with SippCall(tmp_path / str(ordinal), transport, identifier=identifier, parties=1, seed=f"{ordinal}") as call:
            script, _ = flows.alone(call)
            call.play(script, placed.ports[transport]).assert_successful()
            identifier = call.identifier
            sent.append(call.sent[0][: frames_before_bye(placed, call, sessions=ordinal)])
    detail = eventually(
        lambda: done if len((done := shown(placed, call))["segments"]) == 2 else None, limit_s=90, what="two segments"
    )
    assert detail["record_identifier"] == identifier
    eventually(
        lambda: placed.recorder.finished(identifier)["duration_s"] > 3 * flows.TALK_S, limit_s=90, what="both parts"
    )
    _, wav = recorded(placed, call)
    audio = wav.channels[0].tobytes()
    places = [audio.find(frame) for part in sent for frame in part if frame is not None]
    assert -1 not in places, "a frame is missing"
    assert places == sorted(places)
