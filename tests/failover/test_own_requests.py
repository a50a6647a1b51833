"""Requests of the recorder that clients challenge, refuse or ignore: a running recorder, a client that decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.edge.users import lines_of
from signaling.sip.digest import Algorithm, Challenge, Credentials, hash_password, verify
from tests.failover.chaos.faults import REPLACED_S, Target
from tests.failover.chaos.literal import acknowledged, number_of, offered, reply
from tests.failover.chaos.moves import draining, kill_active, moved, whole, writer_of
from tests.kit.call import Call
from tests.kit.running import RunningRecorder, eventually
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
    assert proof(third, algorithm).response not in traced(recorder, call, "Authorization: Digest")


def traced(recorder: RunningRecorder, call: Call, expected: str) -> str:
    """Return the trace of a recording once it tells of the expected; it is written behind the dialog."""

    def probe() -> str | None:
        text = recorder.invoke("recordings", "trace", call.identifier, "--full").stdout
        return text if expected in text else None

    return eventually(probe, limit_s=REPLACED_S, what=f"{expected!r} in the trace", detail=recorder.log_tail)


def start(call: Call, *, product: str, allow: str) -> None:
    """Place a call of a client of this kind, and talk."""
    call.place(headers=f"User-Agent: {product}\nAllow: {allow}")
    call.media.start()
    call.media.talk(0.3)


def test_what_a_client_takes_is_remembered_across_a_takeover(
    recorder: RunningRecorder, target: Target, tmp_path: Path
) -> None:
    """The ladder: re-INVITE, then UPDATE; the next frontend begins with what the client took."""
    allow = "INVITE, ACK, BYE, CANCEL, UPDATE"
    with Call(recorder) as call:
        start(call, product="Takes UPDATE only/1", allow=allow)
        with draining(target, writer_of(recorder, call)):
            refused = offered(call)
            reply(call, refused, 405)
            update = offered(call, method="UPDATE")
            assert update.body == refused.body
            reply(call, update, 200)
            moved(recorder, call)
            call.media.talk(0.5)
            call.hang_up()
        call.assert_recorded(tmp_path)
    kill_active(target)
    whole(target)
    with Call(recorder) as call:
        start(call, product="Takes UPDATE only/1", allow=allow)
        with draining(target, writer_of(recorder, call)):
            first = call.client.fresh()
            assert first.start_line.startswith("UPDATE "), first.text
            reply(call, first, 200)
            moved(recorder, call)
            call.media.talk(0.3)
            call.hang_up()
        call.assert_recorded(tmp_path)
    with Call(recorder) as stranger:
        # Another kind of client at the same address is asked the usual way.
        start(stranger, product="Another product", allow=allow)
        with draining(target, writer_of(recorder, stranger)):
            assert offered(stranger)
            stranger.hang_up()


def test_a_client_that_takes_nothing_goes_on_being_recorded_and_is_not_asked_again(
    recorder: RunningRecorder, target: Target, tmp_path: Path
) -> None:
    """The last rung: keep listening, with an alarm."""
    allow = "INVITE, ACK, BYE, CANCEL, UPDATE"
    failed = failures(recorder)
    with Call(recorder) as call:
        start(call, product="Takes nothing/1", allow=allow)
        with draining(target, writer_of(recorder, call)):
            reply(call, offered(call), 488)
            reply(call, offered(call, method="UPDATE"), 488)
            eventually(lambda: failures(recorder) == failed + 1, limit_s=REPLACED_S, what="the alarm")
            call.media.talk(0.3)
            call.hang_up()
        call.assert_recorded(tmp_path)
    with Call(recorder) as call:
        start(call, product="Takes nothing/1", allow=allow)
        with draining(target, writer_of(recorder, call)):
            eventually(lambda: failures(recorder) == failed + 2, limit_s=REPLACED_S, what="the alarm")
            assert call.client.quiet(0.3)
            call.hang_up()
        call.assert_recorded(tmp_path)


def failures(recorder: RunningRecorder) -> int:
    """Return how many moves have failed, from the status of the active frontend."""
    return sum(one.get("figures", one).get("moves_failed", 0) for one in recorder.status()["processes"])
