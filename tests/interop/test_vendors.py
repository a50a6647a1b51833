"""A call of each kind of recording client, as that client writes its messages: the profile, the parties, the audio.

The bodies are those of `tests/corpus/vendor` with our own media addresses, the header fields those that
`config/profiles` and vendors' documents tell of. Each client has an address of its own, as the site's profiles say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.kit.call import Call
from tests.kit.heard import SILENCE, hear
from tests.kit.running import RunningRecorder
from tests.kit.sip_client import Dialog, Message
from tests.kit.wav import read_g711

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
"""The first test waits for calls of all of them."""

CORPUS: Final = Path(__file__).parents[1] / "corpus" / "vendor"
TALK_S: Final = 0.4
AT_CONTACT: Final = "<sip:recorder@{address}>;+sip.src"


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """One kind of client."""

    body: str
    """File of the corpus with the first INVITE's body; empty: it has none."""
    profile: str
    host: str
    network: bool = True
    """Its INVITE has no mark: a profile of the site names its address."""
    headers: tuple[str, ...] = ()
    contact: str = AT_CONTACT
    uri: str = "sip:srs@{recorder}"
    door: str = "siprec"
    speakers: tuple[str | None, ...] = ()
    """Address of who is heard on each m-line that is recorded."""
    payload_type: int = 0
    silent: frozenset[int] = frozenset()
    """m-lines on which this test sends nothing: no codec at hand, or inactive."""
    answered: tuple[str, ...] = ()
    """Lines that have to be in our answer."""
    compact: bool = False
    """No space behind the colon of a header field."""
    then: Callable[[VendorCall], None] | None = field(default=None)
    """What this client does in mid-session."""


class TerseDialog(Dialog):
    """Header fields without a space behind the colon, which is legal (RFC 3261 section 7.3.1)."""

    def request(self, *arguments: Any, **options: Any) -> bytes:
        head, _, body = Dialog.request(self, *arguments, **options).partition(b"\r\n\r\n")
        first, _, fields = head.partition(b"\r\n")
        return first + b"\r\n" + re.sub(rb"(?m)^([A-Za-z-]+): ", rb"\1:", fields) + b"\r\n\r\n" + body


class VendorCall(Call):
    """A call of such a client."""

    def __init__(self, recorder: RunningRecorder, vendor: Vendor) -> None:
        parties = max(1, body_of(vendor.body)[1].count(b"m=audio") if vendor.body else 1)
        super().__init__(recorder, host=vendor.host, parties=parties, payload_type=vendor.payload_type, door="vendor")
        self.vendor = vendor
        self.changing: list[int] = []
        """Frames that were sent just before, during and just after changes: those may be missing."""
        address = f"{vendor.host}:{self.client.local_port}"
        recorder_address = f"{self.client.shown}:{recorder.sip_port}"
        self.dialog = (TerseDialog if vendor.compact else Dialog)(
            client=self.client,
            uri=vendor.uri.format(recorder=recorder_address, id=self.identifier),
            contact=vendor.contact.format(address=address),
            local=f"<sip:recorder@{address}>",
        )
        for header in vendor.headers:
            if header.startswith("From:"):
                self.dialog.local = header.partition(":")[2].strip().format(address=address)
        for index, stream in enumerate(self.media.streams):
            stream.muted = index in vendor.silent

    def with_body(self, name: str) -> tuple[bytes, str]:
        """Return a body of the corpus with our media addresses, and its Content-Type."""
        content_type, body = body_of(name)
        return self.addressed(body), content_type

    def addressed(self, body: bytes) -> bytes:
        ports = iter([stream.port for stream in self.media.streams])
        changed = re.sub(rb"(?m)^m=audio \d+", lambda _: b"m=audio %d" % next(ports), body)
        changed = re.sub(rb"(?m)^c=IN IP4 (?!0\.0\.0\.0)\S+", b"c=IN IP4 " + self.host.encode(), changed)
        grown = len(changed) - len(body)
        return re.sub(
            rb"(application/sdp[^\n]*\r?\nContent-Length: ?)(\d+)",
            lambda m: m[1] + b"%d" % (int(m[2]) + grown),
            changed,
        )

    def begin(self) -> Message:
        """Place the call as its vendor does."""
        vendor = self.vendor
        lines = "\n".join(line for line in vendor.headers if not line.startswith("From:"))
        if not vendor.body:
            self.client.send(self.dialog.request("INVITE", headers=lines))
            answer = self.client.final("INVITE")
            assert answer.status == 200, answer.text
            self.dialog.learn(answer)
            body, content_type = self.with_body("bib-ack")
            self.client.send(self.dialog.request("ACK", body, content_type=content_type))
        else:
            body, content_type = self.with_body(vendor.body)
            answer = self.dialog.send("INVITE", body, content_type=content_type, headers=lines)
            assert answer.status == 200, answer.text
        self.aim(answer)
        return answer

    def change(self, method: str, name: str, edit: Callable[[bytes], bytes] = bytes) -> Message:
        """Send a body of the corpus in mid-session."""
        body, content_type = self.with_body(name)
        began = self.media.count
        answer = self.dialog.send(method, edit(body), content_type=content_type)
        assert answer.status == 200, answer.text
        self.changing += range(began - 1, self.media.count + 2)
        return answer


def body_of(name: str) -> tuple[str, bytes]:
    """Return Content-Type and body of a file of the corpus."""
    head, _, body = (CORPUS / f"{name}.mime").read_bytes().partition(b"\r\n\r\n")
    kinds = [
        line.partition(b":")[2].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"content-type")
    ]
    return kinds[0].decode(), body


def joins_late(call: VendorCall) -> None:
    """Avaya: a dummy participant at first, who speaks comes by UPDATE, in the other content type."""
    call.change("UPDATE", "avaya-update")


def holds(call: VendorCall) -> None:
    """BroadWorks: plain SDP with an address of zeros, and back."""
    began = call.media.count
    held = call.change("INVITE", "broadworks-hold")
    assert held.media_ports() == call.change("INVITE", "broadworks").media_ports()
    call.changing += range(began, call.media.count)


def flips(call: VendorCall) -> None:
    """CUBE: the stream that began inactive is turned on."""
    answer = call.change("INVITE", "cube", lambda body: body.replace(b"a=inactive", b"a=sendonly"))
    assert answer.sdp.count("a=recvonly") == 2
    call.media.streams[0].muted = False


def pings(call: VendorCall) -> None:
    """Oracle tests the dialog, and changes the session with metadata beside the offer."""
    assert call.dialog.send("OPTIONS").status == 200
    call.change("INVITE", "oracle")


VENDORS: Final = (
    Vendor(
        body="oracle", profile="oracle", host="127.0.1.1", then=pings,
        headers=("Require: siprec", "Accept: application/sdp, application/rs-metadata"),
        speakers=("sip:5550111@192.0.2.71", "sip:5550100@192.0.2.71"), silent=frozenset({2, 3}),
        answered=("a=label:16777227", "a=label:16777228"),
    ),
    Vendor(
        body="audiocodes", profile="audiocodes", host="127.0.1.2", payload_type=8,
        headers=("Require: siprec", "User-Agent: Mediant VE SBC/v.7.40A.250.256"),
        speakers=("5550111@203.0.113.81", "5550100@203.0.113.82"), answered=("a=label:1", "a=label:2"),
    ),
    Vendor(
        body="avaya", profile="avaya", host="127.0.1.3", contact="<sip:ASBCE@{address};+sip.src>", then=joins_late,
        headers=("Require: siprec",), speakers=("sip:5550111@198.51.100.50", "sip:5550100@198.51.100.50"),
    ),
    Vendor(
        body="broadworks", profile="broadworks", host="127.0.1.4", contact="<sip:{address}>;src", compact=True,
        then=holds, speakers=("sip:agent-0001@example.com", "sip:+15550111@example.com;user=phone"),
        silent=frozenset({0}), answered=("a=rtpmap:111 opus/48000/2",),
    ),
    Vendor(
        body="cube", profile="cisco-cube", host="127.0.1.5", then=flips,
        headers=("Require: siprec", f"Session-ID: {'0123456789abcdef' * 2};remote={'fedcba9876543210' * 2}"),
        speakers=("sip:5550111@198.51.100.32", "sip:5550100@198.51.100.33"), silent=frozenset({0}),
        answered=("a=inactive", "a=recvonly"),
    ),
    Vendor(
        body="nbr", profile="cisco-nbr", host="127.0.1.6", network=False, door="sip",
        headers=("X-Cisco-Recording-Participant: sip:5550100@198.51.100.95;media-index=0 1",),
        contact="<sip:{address};transport=udp>",
    ),
    Vendor(
        body="", profile="cucm-bib", host="127.0.1.7", network=False, door="sip", contact="<sip:{address}>",
        headers=("From: <sip:5550100@{address};x-nearend;x-refci=25471;x-nearendaddr=5550100>",),
    ),
    Vendor(
        body="ribbon", profile="ribbon", host="127.0.1.8", network=False,
        headers=(
            "Require: siprec", "Supported: timer", "Session-Expires: 1800", "Min-SE: 90",
            "Accept: application/sdp, application/rs-metadata, application/rs-metadata-request",
        ),
        speakers=("5550111@198.51.100.72", "5550100@198.51.100.73"),
    ),
    Vendor(
        body="metaswitch", profile="metaswitch", host="127.0.1.9", headers=("Require: siprec",), payload_type=8,
        speakers=("tel:+15550100",), answered=("a=recvonly", "a=label:main"),
    ),
    Vendor(
        body="opensips", profile="opensips", host="127.0.1.10", network=False,
        headers=("Require: siprec", "User-Agent: OpenSIPS (3.6.8 (x86_64/linux))"),
        speakers=("sip:5550100@example.com", "sip:5550111@example.net"), silent=frozenset({1}),
        answered=("a=label:1", "a=label:0"),
    ),
)  # fmt: skip


def site_profiles(directory: Path) -> Path:
    """Write the profiles of a site whose clients are known by their addresses."""
    directory.mkdir()
    for vendor in VENDORS:
        if vendor.network:
            (directory / f"site-{vendor.profile}.toml").write_text(
                f'name = "site-{vendor.profile}"\nextends = "{vendor.profile}"\n'
                f'[match]\nnetwork = ["{vendor.host}/32"]\n'
            )
    return directory


@dataclass(frozen=True)
class Placed:
    call: VendorCall
    answer: Message


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Placed]]:
    """One call of every client, all at the same time."""
    directory = tmp_path_factory.mktemp("vendors")
    recorder = RunningRecorder(
        directory / "state", environment={"RECORDER_PROFILES_DIRECTORY": str(site_profiles(directory / "profiles"))}
    )
    with recorder:
        calls: dict[str, Placed] = {}
        for vendor in VENDORS:
            call = VendorCall(recorder, vendor)
            calls[vendor.profile] = Placed(call, call.begin())
            call.media.start()
        for one in calls.values():
            one.call.media.talk(TALK_S)
            if one.call.vendor.then:
                one.call.vendor.then(one.call)
        for one in calls.values():
            one.call.media.talk(TALK_S)
            one.call.hang_up()
        yield calls
        for one in calls.values():
            one.call.close()
        assert recorder.stop() == 0, recorder.log_tail()
    recorder.assert_no_traceback()


def entry_of(placed: Placed) -> dict[str, Any]:
    """Wait until the call is finalised and return its entry in the list."""
    recorder, call_id = placed.call.recorder, placed.call.dialog.call_id
    (entry,) = [one for one in recorder.recordings() if call_id in one["sip_call_ids"]]
    return recorder.finished(entry["record_identifier"])


each_vendor = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.profile)


@each_vendor
def test_the_profile_the_door_and_the_answer_fit(placed: dict[str, Placed], vendor: Vendor) -> None:
    one = placed[vendor.profile]
    entry = entry_of(one)
    assert entry["door"] == vendor.door
    detail = one.call.recorder.admin("recordings", "show", entry["id"])
    profile = f"site-{vendor.profile}" if vendor.network else vendor.profile
    assert {segment["descriptor"]["profile"] for segment in detail["segments"]} == {profile}
    assert one.answer.one("Content-Type") == "application/sdp"
    for line in vendor.answered:
        assert line in one.answer.sdp.split("\r\n"), one.answer.sdp


@each_vendor
def test_who_speaks_on_which_stream_is_known(placed: dict[str, Placed], vendor: Vendor) -> None:
    one = placed[vendor.profile]
    detail = one.call.recorder.admin("recordings", "show", entry_of(one)["id"])
    streams = sorted(detail["segments"][0]["streams"], key=lambda stream: stream["index"])
    named = [(stream["participant"] or {}).get("aor") for stream in streams]
    assert tuple(named[: len(vendor.speakers)]) == vendor.speakers
    if vendor.profile == "cisco-nbr":
        assert [name for name, _ in detail["parameters"]].count("X-Cisco-Recording-Participant") == 1
    if vendor.profile == "cucm-bib":
        assert detail["call_uuid"] == "25471"


@each_vendor
def test_what_was_said_is_recorded(placed: dict[str, Placed], vendor: Vendor, tmp_path: Path) -> None:
    """Sample by sample, apart from the frames of a hold; parties that this test has no codec for are left out."""
    one = placed[vendor.profile]
    entry = entry_of(one)
    assert entry["state"] == "complete"
    wav = read_g711(one.call.recorder.export(entry["id"], tmp_path / "exported.wav"))
    for party, frames in enumerate(one.call.sent):
        if party in vendor.silent and vendor.then is not flips:
            continue
        heard = hear(wav.channels[party], frames, silence=SILENCE[wav.format_tag], within=16_000)
        may_miss = set(one.call.changing) if vendor.then in {holds, flips} else set()
        assert set(heard.missing) <= may_miss, f"party {party}: {heard.missing}"
