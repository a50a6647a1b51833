"""Digest authentication against a recorder as a user runs it, also across a takeover and a change of users."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.edge.users import lines_of
from signaling.sip.digest import Algorithm, Challenge, answer
from tests.kit.call import Call
from tests.kit.running import BIN, RunningRecorder, alive, eventually
from tests.kit.sip_client import Message, NoAnswerError

pytestmark = pytest.mark.integration


class Site:
    """A recorder that asks for a password."""

    def __init__(self, directory: Path) -> None:
        self.users = directory / "users"
        self.users.touch(mode=0o600)
        self.users.write_text("\n".join(lines_of("sbc", realm="tandem", password="secret")) + "\n")
        self.recorder = RunningRecorder(
            directory / "state", environment={"RECORDER_ACCESS_DIGEST_USERS": str(self.users)}
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("digest"))
    with made.recorder:
        yield made
        assert made.recorder.stop() == 0, made.recorder.log_tail()
    made.recorder.assert_no_traceback()


def challenges(refused: Message) -> list[Challenge]:
    assert refused.status == 401, refused.text
    parsed = [Challenge.parse(value) for value in refused.all("WWW-Authenticate")]
    return [one for one in parsed if one is not None]


def signed(call: Call, challenge: Challenge, *, user: str = "sbc", password: str = "secret", count: int = 1) -> str:
    credentials = answer(
        challenge, username=user, password=password, method="INVITE", uri=call.dialog.uri, cnonce="0a4f", count=count
    )
    return f"Authorization: {credentials}"


def invite(call: Call, headers: str = "") -> Message:
    return call.dialog.send("INVITE", call.offer(), headers=headers)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_call_with_the_right_password_is_recorded(site: Site, tmp_path: Path, algorithm: Algorithm) -> None:
    """C28."""
    with Call(site.recorder) as call:
        challenge = next(one for one in challenges(invite(call)) if one.algorithm is algorithm)
        call.place(call.offer().encode(), headers=signed(call, challenge))
        call.media.start()
        call.media.wait_for(30)
        call.hang_up()
        call.assert_recorded(tmp_path)


def test_a_wrong_password_opens_nothing(site: Site) -> None:
    with Call(site.recorder) as call:
        challenge = challenges(invite(call))[0]
        again = challenges(invite(call, signed(call, challenge, password="guess")))
        assert not again[0].stale
        assert site.recorder.recordings("--record-identifier", call.identifier) == []


def test_credentials_that_were_overheard_are_worth_nothing(site: Site) -> None:
    with Call(site.recorder) as call, Call(site.recorder) as thief:
        overheard = signed(call, challenges(invite(call))[0])
        call.place(call.offer().encode(), headers=overheard)
        assert challenges(invite(thief, overheard))[0].stale
        call.hang_up()


def test_health_checks_need_no_password(site: Site) -> None:
    with Call(site.recorder) as call:
        assert call.client.options().status == 200


def test_a_takeover_knows_the_nonces_and_the_dialogs_of_the_dead_frontend(site: Site) -> None:
    with Call(site.recorder) as call, Call(site.recorder) as next_call:
        challenge = challenges(invite(call))[0]
        call.place(call.offer().encode(), headers=signed(call, challenge))
        later = challenges(invite(next_call))[0]
        active = next(
            one["pid"] for one in site.recorder.status()["processes"]
            if one["role"] == "frontend" and one["state"] == "active"
        )  # fmt: skip
        subprocess.run(["kill", "-9", str(active)], check=True)
        eventually(lambda: not alive(active), limit_s=30, what="its end")
        # Inside the dialog nobody is asked; outside of it the answer to the dead frontend's challenge counts.
        assert call.dialog.insist(call.dialog.request("UPDATE", call.offer()), "UPDATE", limit_s=60).status == 200
        next_call.dialog.cseq += 1
        request = next_call.dialog.request("INVITE", next_call.offer(), headers=signed(next_call, later))
        placed = next_call.dialog.insist(request, "INVITE", limit_s=60)
        assert placed.status == 200
        next_call.dialog.learn(placed)
        next_call.client.send(next_call.dialog.request("ACK"))
        next_call.hang_up()
        call.hang_up()


def test_sighup_takes_new_users(site: Site) -> None:
    assert site.recorder.process is not None
    with site.users.open("a") as file:
        file.write("\n".join(lines_of("new-sbc", realm="tandem", password="word")) + "\n")
    site.recorder.process.send_signal(signal.SIGHUP)

    def accepted() -> bool:
        with Call(site.recorder) as call:
            try:
                challenge = challenges(invite(call))[0]
            except NoAnswerError:
                return False
            call.dialog.cseq += 1
            answered = invite(call, signed(call, challenge, user="new-sbc", password="word"))
            if answered.status == 200:
                call.hang_up()
            return answered.status == 200

    eventually(accepted, limit_s=30, what="the new user to be known")


def test_no_password_or_hash_is_in_the_log(site: Site) -> None:
    log = site.recorder.log()
    assert "secret" not in log
    for line in lines_of("sbc", realm="tandem", password="secret"):
        assert line.rpartition(":")[2] not in log


def test_hash_password_prints_lines_for_the_file() -> None:
    done = subprocess.run(
        [BIN / "recorder", "hash-password", "sbc"], input="secret\nsecret\n", capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == lines_of("sbc", realm="tandem", password="secret")
