"""Requests of the recorder that clients challenge, refuse or ignore: a running recorder, a client that decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.edge.users import lines_of
from signaling.sip.digest import Algorithm, Challenge, Credentials, hash_password, verify
from tests.failover.chaos.faults import Target
from tests.failover.chaos.literal import acknowledged, number_of, offered, reply
from tests.failover.chaos.moves import draining, moved, writer_of
from tests.kit.call import Call
from tests.kit.running import RunningRecorder
from tests.kit.sip_client import Message

pytestmark = pytest.mark.failover

REALM, USER, PASSWORD = "sbc.example", "recorder", "open sesame"


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRecorder]:
    """A recorder that has credentials for the realm of its clients."""
    directory = tmp_path_factory.mktemp("own-requests")
    logins = directory / "logins"
    logins.touch(mode=0o600)
    logins.write_text("\n".join(lines_of(USER, realm=REALM, password=PASSWORD)) + "\n")
    environment = {"RECORDER_SIP_DIGEST_LOGINS": str(logins)}
    with RunningRecorder(directory / "state", environment=environment) as made:
        yield made
        assert made.stop() == 0, made.log_tail()
    made.assert_no_traceback()


@pytest.fixture
def target(recorder: RunningRecorder) -> Target:
    return Target(recorder)


def proof(request: Message, algorithm: Algorithm) -> Credentials:
    """Return the credentials of a request of the recorder, proved right."""
    credentials = Credentials.parse(request.one("Authorization"))
    assert credentials is not None
    assert credentials.algorithm is algorithm
    hashed = hash_password(USER, REALM, PASSWORD, algorithm)
    assert verify(credentials, hashed_password=hashed, method=request.start_line.split(" ")[0]), request.text
    return credentials


@pytest.mark.parametrize("algorithm", [Algorithm.MD5, Algorithm.SHA_256])
def test_a_challenged_reinvite_is_sent_again_with_credentials_and_the_media_move(
    recorder: RunningRecorder, target: Target, tmp_path: Path, algorithm: Algorithm
) -> None:
    """C28: Avaya may challenge requests inside the dialog."""
    with Call(recorder) as call:
        call.start()
        call.media.talk(0.3)
        with draining(target, writer_of(recorder, call)):
            first = offered(call)
            assert not first.all("Authorization")
            reply(call, first, 401, headers=[f"WWW-Authenticate: {Challenge(REALM, 'n1', algorithm)}"])
            again = offered(call)
            assert number_of(again) == number_of(first) + 1
            assert again.body == first.body
            assert proof(again, algorithm).nonce == "n1"
            reply(call, again, 401, headers=[f"WWW-Authenticate: {Challenge(REALM, 'n2', algorithm, stale=True)}"])
            third = offered(call)
            assert proof(third, algorithm).nonce == "n2"
            reply(call, third, 200)
            assert acknowledged(call, third)
            moved(recorder, call)
            call.media.talk(0.5)
            call.hang_up()
        call.assert_recorded(tmp_path)
    traced = recorder.command("recordings", "trace", call.identifier, "--full").stdout
    assert "Authorization: Digest" in traced
    assert proof(third, algorithm).response not in traced
