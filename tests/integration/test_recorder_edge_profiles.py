"""Peer profiles against a recorder as a user runs it: what a site's file changes in answers and recordings."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.call import Call
from tests.kit.heard import assert_bit_exact
from tests.kit.running import RunningRecorder, eventually
from tests.kit.sip_client import dn_of, new_identifier

pytestmark = pytest.mark.integration

TURNED = """
name = "site-turned"
[match]
user_agent = ["Turned/*"]
[session]
parties = [1, 0]
"""
LAW = """
name = "site-a-law"
[match]
user_agent = ["A-Law/*"]
[session]
answer_delay_ms = 300
[answer]
codecs = ["PCMA", "PCMU"]
codec_order = "policy"
"""
NAMED = """
name = "site-named"
[match]
header = ["X-Site-Recording"]
[session]
record_identifier = ["header:X-Site-Recording"]
"""
CLOSED = """
name = "site-closed"
[match]
user_agent = ["Closed/*"]
[session]
plain_invites = false
"""


class Site:
    """A recorder with profiles of its own."""

    def __init__(self, directory: Path) -> None:
        self.profiles = directory / "profiles"
        self.profiles.mkdir()
        for name, text in {"turned": TURNED, "law": LAW, "named": NAMED, "closed": CLOSED}.items():
            (self.profiles / f"{name}.toml").write_text(text)
        self.recorder = RunningRecorder(
            directory / "state", environment={"RECORDER_PROFILES_DIRECTORY": str(self.profiles)}
        )

    def profile_of(self, identifier: str) -> object:
        """Return the name of the profile that the catalog keeps with a recording."""
        shown = self.recorder.admin("recordings", "show", identifier)
        return shown["segments"][0]["descriptor"]["profile"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("profiles"))
    with made.recorder:
        yield made
        assert made.recorder.stop() == 0, made.recorder.log_tail()
    made.recorder.assert_no_traceback()


def test_the_profile_is_stored_with_the_session_and_logged(site: Site) -> None:
    with Call(site.recorder) as call:
        call.place()
        call.hang_up()
        assert site.profile_of(call.identifier) == "genesys-mcp"
    assert "genesys-mcp" in site.recorder.log()


def test_turned_parties_put_the_first_m_line_on_the_right_channel(site: Site, tmp_path: Path) -> None:
    with Call(site.recorder) as call:
        call.place(headers="User-Agent: Turned/1.0")
        call.media.start()
        call.media.wait_for(40)
        # A change in mid-session keeps what the beginning decided.
        call.reinvite()
        call.media.wait_for(60)
        call.hang_up()
        heard = call.exported(tmp_path)
        first, second = call.sent
        assert_bit_exact(heard, second, first)
        streams = site.recorder.admin("recordings", "show", call.identifier)["segments"][0]["streams"]
        assert [stream["channel"] for stream in streams] == ["right", "left"]
        assert [stream["participant"]["dn"] for stream in streams] == ["5550111", dn_of(call.identifier)]


def test_codec_preference_and_answer_delay_are_those_of_the_profile(site: Site) -> None:
    with Call(site.recorder) as call:
        began = time.monotonic()
        answer = call.place(call.offer(payload=[0, 8, 101]).encode(), headers="User-Agent: A-Law/2.0")
        assert time.monotonic() - began >= 0.3
        assert [section[0].split(" ")[3:] for section in answer.media_sections()] == [["8", "101"]] * 2
        call.hang_up()
    with Call(site.recorder) as other:
        began = time.monotonic()
        answer = other.place(other.offer(payload=[0, 8, 101]).encode())
        assert [section[0].split(" ")[3:] for section in answer.media_sections()] == [["0", "101"]] * 2
        other.hang_up()


def test_the_record_identifier_comes_from_where_the_profile_says(site: Site) -> None:
    identifier = new_identifier()
    with Call(site.recorder) as call:
        call.place(headers=f"X-Site-Recording: {identifier}")
        call.hang_up()
    assert site.recorder.finished(identifier)["record_identifier"] == identifier


def test_a_client_whose_profile_takes_no_plain_invite_gets_403(site: Site) -> None:
    with Call(site.recorder) as call:
        call.dialog.uri = f"sip:plain@127.0.0.1:{site.recorder.sip_port}"
        answer = call.dialog.send("INVITE", call.offer(), headers="User-Agent: Closed/1.0")
        assert answer.status == 403


def test_sighup_takes_a_new_profile_and_keeps_those_in_use_when_one_is_broken(site: Site) -> None:
    assert site.recorder.process is not None
    path = site.profiles / "added.toml"
    path.write_text('name = "site-added"\norder = 1\n[match]\nuser_agent = ["Added/*"]\n')
    site.recorder.process.send_signal(signal.SIGHUP)

    def chosen() -> bool:
        with Call(site.recorder) as call:
            call.place(headers="User-Agent: Added/1.0")
            call.hang_up()
            return site.profile_of(call.identifier) == "site-added"

    eventually(chosen, limit_s=30, what="the added profile")
    path.write_text("name = ")
    site.recorder.process.send_signal(signal.SIGHUP)
    eventually(lambda: "file not taken" in site.recorder.log(), limit_s=30, what="an error in the log")
    assert chosen()
