"""What a recording client may do within a session, as scripts for SIPp; `test_sipp_flows.py` plays and judges them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from tests.kit.rtp_source import RtpStream
from tests.kit.sip_client import LOOPBACK, conn_id_of, offer
from tests.kit.sipp_call import SippCall
from tests.kit.sipp_script import Script, together
from tests.kit.siprec import RFC_NAMESPACE, rs_metadata

TALK_S: Final = 0.8
MOVED_HOST: Final = "127.0.0.3"
RECORD_ROUTE: Final = "<sip:0x00000001@[local_ip]:[local_port];lr;gvp.rm.datanodes=1;confinstid=01;idtag=0000000C>"
HEADER_DATA: Final = (
    ("X-Genesys-GVP-Session-ID", "00000000-0000-4000-8000-0000000000AA;gvp.rm.datanodes=2|1;gvp.rm.tenant-id=1_record"),
    ("X-Genesys-RM-Application-dbid", "105"),
)
HESITANT: Final = "Hesitant/1"
"""A client that is answered a second late (`test_sipp_flows.profiles`)."""
METADATA: Final = "application/rs-metadata+xml"
RECEIVING: Final = "a=recvonly.*a=recvonly"
After: TypeAlias = dict[int, Callable[[], None]]
"""What our media do once the request of this number has its 200."""
Flow: TypeAlias = Callable[[SippCall], tuple[Script, After]]


def msr(call: SippCall, **options: Any) -> Script:
    """Return the script of a Media Server's session."""
    call_uuid = call.identifier.partition("_")[0]
    return Script(
        f"record={call.identifier}@[remote_ip]:[remote_port];calluuid={call_uuid};dn=5550100;otherdn=5550111;"
        f"ani=5550111;connid={conn_id_of(call.identifier)};datetime=2030-01-15T09:30:00Z;dnis=5550199;recorddn=5550100;"
        "sipsappname=SIP_Example",
        call.transport,
        **options,
    )


def siprec(call: SippCall, **options: Any) -> Script:
    """Return the script of a session border controller's session."""
    return Script("srs@[remote_ip]:[remote_port]", call.transport, user="src", contact=";+sip.src", **options)


def ports_of(call: SippCall, version: int = 1, **options: Any) -> str:
    """Return an offer of all streams of the call."""
    return offer(call.ports, version=version, **options)


def moved(call: SippCall) -> tuple[Script, After]:
    """Media address and ports change in mid-session."""
    call.elsewhere = [RtpStream(host=MOVED_HOST, target=(LOOPBACK, 9), frames=()) for _ in call.ports]

    def move() -> None:
        for stream, other in zip(call.media.streams, call.elsewhere, strict=True):
            stream.socket, other.socket = other.socket, stream.socket
            stream.port = other.port

    new = offer([one.port for one in call.elsewhere], version=2, host=MOVED_HOST)
    script = msr(call).invite(ports_of(call), RECEIVING).pause(TALK_S).invite(new, RECEIVING).pause(TALK_S).bye()
    return script, {2: move}


def held(method: str, *, zero_address: bool = False) -> Flow:
    """Hold, and resume."""

    def flow(call: SippCall) -> tuple[Script, After]:
        hold = ports_of(call, 2, direction="" if zero_address else "inactive")
        if zero_address:
            hold = hold.replace(f"c=IN IP4 {LOOPBACK}", "c=IN IP4 0.0.0.0")
        script = msr(call).invite(ports_of(call)).pause(TALK_S)
        change = script.invite if method == "INVITE" else _by_update(script)
        # A stream that is held in the way of RFC 2543 keeps its direction.
        change(hold, RECEIVING if zero_address else "a=inactive.*a=inactive")
        script.pause(2 * TALK_S)
        change(ports_of(call, 3), RECEIVING)
        return script.pause(2 * TALK_S).bye(), {}

    return flow


def _by_update(script: Script) -> Callable[..., Script]:
    return lambda body, *patterns: script.ask("UPDATE", body, *patterns)


def restated(call: SippCall) -> tuple[Script, After]:
    """First without a direction, then `sendonly`, which is how a recording client sends and no hold."""
    first, then = ports_of(call, direction=""), ports_of(call, 2)
    return msr(call).invite(first, RECEIVING).pause(TALK_S).invite(then, RECEIVING).pause(TALK_S).bye(), {}


def recoded(call: SippCall) -> tuple[Script, After]:
    """The codec changes from mu-law to A-law."""

    def change() -> None:
        for stream in call.media.streams:
            stream.payload_type = 8

    script = msr(call).invite(ports_of(call), "RTP/AVP 0 101.*RTP/AVP 0 101").pause(TALK_S)
    script.invite(ports_of(call, 2, payload=8), "RTP/AVP 8 101.*RTP/AVP 8 101")
    return script.pause(TALK_S).bye(), {2: change}


def resized(call: SippCall) -> tuple[Script, After]:
    """A stream is removed, a third one added with the second back in its place, the first one removed."""
    one, two, three = call.ports
    used, unused = "m=audio [1-9][0-9]* [^=]*", "m=audio 0 [^=]*"
    script = msr(call).invite(offer([one, two]), f"{used}.*{used}").pause(TALK_S)
    script.invite(offer([one, 0], version=2), f"{used}.*{unused}")
    script.ask("UPDATE", offer([one, two, three], version=3), f"{used}.*{used}.*{used}").pause(TALK_S)
    script.invite(offer([0, two, three], version=4), f"{unused}.*{used}.*{used}")
    return script.pause(TALK_S).bye(), {}


def refused(call: SippCall) -> tuple[Script, After]:
    """An offer that cannot be taken gets 488, by re-INVITE and by UPDATE, and the session stays as it was."""
    unusable = ports_of(call, 2, payload=[99]).replace("a=ptime:20", "a=rtpmap:99 nobody-knows-this/8000")
    script = msr(call).invite(ports_of(call)).pause(TALK_S)
    script.invite(unusable, "Warning: ", status=488).ask("UPDATE", unusable, status=488)
    return script.pause(TALK_S).bye(), {}


def late(call: SippCall) -> tuple[Script, After]:
    """No offer in the INVITE nor in a later one: ours is in the 200, the answer in the ACK."""
    described = "m=audio [1-9][0-9]* "
    script = Script(f"{call.identifier}@[remote_ip]:[remote_port]", call.transport, user="5550100")
    script.invite("", described, ack=ports_of(call, payload=[0])).pause(TALK_S)
    script.invite("", described, ack=ports_of(call, 2, payload=[0])).pause(TALK_S)
    return script.bye(), {}


def cancelled(call: SippCall) -> tuple[Script, After]:
    """CANCEL of nothing, and of an INVITE that has no final response."""
    hesitant = [f"User-Agent: {HESITANT}"]
    script = msr(call).cancel(481).send("INVITE", ports_of(call), headers=hesitant).expect(100).cancel()
    return script.invited(status=487), {}


def cancelled_late(call: SippCall) -> tuple[Script, After]:
    """CANCEL of an INVITE that is answered: no effect."""
    branch = f"z9hG4bK{secrets.token_hex(8)}"
    script = msr(call).send("INVITE", ports_of(call), branch=branch).invited().pause(TALK_S)
    script.send("CANCEL", branch=branch).expect(200).pause(TALK_S)
    return script.bye(), {}


def refreshed(call: SippCall) -> tuple[Script, After]:
    """An interval that is too small, then the client as refresher, by re-INVITE and by UPDATE."""
    sdp, timer = ports_of(call), ["Supported: timer", "Session-Expires: 1800;refresher=uac"]
    kept = ("Session-Expires: 1800;refresher=uac", "Require: timer")
    script = msr(call).invite(
        sdp, "Min-SE: 90", status=422, headers=["Supported: timer", "Session-Expires: 60;refresher=uas"]
    )
    script.invite(sdp, *kept, headers=timer).pause(TALK_S).invite(sdp, *kept, headers=timer)
    return script.ask("UPDATE", sdp, *kept, headers=timer).pause(TALK_S).bye(), {}


def refreshed_by_us(call: SippCall) -> tuple[Script, After]:
    """The shortest interval there is, and the recorder as refresher: its re-INVITE comes after half of it."""
    timer = ["Supported: timer", "Session-Expires: 90;refresher=uas", "Allow: INVITE, ACK, BYE, CANCEL"]
    script = msr(call, alias=True).invite(ports_of(call), "Session-Expires: 90;refresher=uas", headers=timer)
    script.expect("INVITE", "Session-Expires: 90;refresher=uac", "m=audio [1-9].*m=audio [1-9]", limit_s=60)
    script.answer("200 OK", ports_of(call, 2), headers=["Require: timer", "Session-Expires: 90;refresher=uac"])
    return script.expect("ACK").pause(TALK_S).bye(), {}


def reliable(call: SippCall) -> tuple[Script, After]:
    """100rel is required, which is understood; another option is not."""
    script = msr(call).invite(
        ports_of(call), "Unsupported: .*nobody-knows", status=420, headers=["Require: nobody-knows"]
    )
    script.invite(ports_of(call), headers=["Require: 100rel", "Supported: 100rel"])
    return script.pause(TALK_S).bye(), {}


def described(call: SippCall) -> tuple[Script, After]:
    """Metadata change with the labels, alone in a re-INVITE, and in part by UPDATE: a participant leaves, one joins."""
    complete = rs_metadata(session=call.identifier)
    body, kind = together(ports_of(call, labels=["1", "2"]), complete)
    script = (
        siprec(call).invite(body, "a=label:1.*a=label:2", content_type=kind, headers=["Require: siprec"]).pause(TALK_S)
    )
    labels = ["north", "south"]
    relabelled = rs_metadata(session=call.identifier, labels=("north", "south"))
    body, kind = together(ports_of(call, 2, labels=labels), relabelled)
    script.ask("UPDATE", body, "a=label:north.*a=label:south", content_type=kind)
    renamed = relabelled.replace("sip:5550111@", "sip:5550777@")
    script.invite(renamed, content_type=METADATA)
    script.ask("UPDATE", joined(call.identifier), content_type=METADATA)
    return script.pause(TALK_S).bye(), {}


def joined(session: str) -> str:
    """Return the part of the metadata that says that the agent has left and a supervisor speaks in that place."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="{RFC_NAMESPACE}">
  <datamode>partial</datamode>
  <participant participant_id="c3VwZXJ2aXM="><nameID aor="sip:5550122@agents.example"/></participant>
  <participantsessionassoc participant_id="c3JmYXNk" session_id="{session}">
    <disassociate-time>2030-01-15T09:31:00Z</disassociate-time>
  </participantsessionassoc>
  <participantsessionassoc participant_id="c3VwZXJ2aXM=" session_id="{session}">
    <associate-time>2030-01-15T09:31:00Z</associate-time>
  </participantsessionassoc>
  <participantstreamassoc participant_id="c3JmYXNk">
    <disassociate-time>2030-01-15T09:31:00Z</disassociate-time>
  </participantstreamassoc>
  <participantstreamassoc participant_id="c3VwZXJ2aXM="><send>UAAMm5GRQKSCMVvLyl4rFw</send></participantstreamassoc>
</recording>
"""


def asked(call: SippCall) -> tuple[Script, After]:
    """Only a part of the metadata comes: the recorder asks for all of it, by UPDATE, once."""
    body, kind = together(ports_of(call, labels=["1", "2"]), rs_metadata(session=call.identifier, data_mode="partial"))
    script = siprec(call, alias=True)
    script.invite(body, content_type=kind, headers=["Require: siprec", "Allow: INVITE, ACK, BYE, CANCEL, UPDATE"])
    script.expect("UPDATE", "<requestsnapshot ", "Content-Disposition: recording-session", absent=["m=audio"])
    script.answer("200 OK").pause(TALK_S)
    return script.ask("UPDATE", rs_metadata(session=call.identifier), content_type=METADATA).pause(TALK_S).bye(), {}


def alone(call: SippCall) -> tuple[Script, After]:
    """One party in a session of its own."""
    return msr(call).invite(offer(call.ports[:1]), "a=recvonly").pause(2 * TALK_S).bye(), {}


def courteous(call: SippCall) -> tuple[Script, After]:
    """OPTIONS before the call and within, INFO, header data, and the route of the Resource Manager."""
    headers = [f"{name}: {value}" for name, value in HEADER_DATA]
    script = msr(call).ask("OPTIONS", "", "Allow: .*INVITE", "Accept: .*application/sdp")
    script.invite(ports_of(call), "confinstid=01;idtag=0000000C>", headers=[*headers, f"Record-Route: {RECORD_ROUTE}"])
    script.pause(TALK_S).ask("OPTIONS", "", "Allow: .*INVITE").ask("INFO", "x", content_type="application/x-anything")
    return script.pause(TALK_S).bye(), {}


# The recorder asks


def followed(call: SippCall) -> tuple[Script, After]:
    """The media go where our re-INVITE says."""
    script = _to_be_moved(call)
    script.answer("200 OK", ports_of(call, 2)).expect("ACK")
    return script.pause(2 * TALK_S).bye(), {}


def glare(call: SippCall) -> tuple[Script, After]:
    """Both sides change at once: 491 both ways, each tries again."""
    script = _to_be_moved(call)
    script.invite(ports_of(call, 2), status=491)
    script.answer("491 Request Pending").expect("ACK")
    script.expect("INVITE", "m=audio [1-9].*m=audio [1-9]").answer("200 OK", ports_of(call, 2)).expect("ACK")
    return script.pause(TALK_S).invite(ports_of(call, 3), RECEIVING).pause(TALK_S).bye(), {}


def updated(call: SippCall) -> tuple[Script, After]:
    """A client that takes no re-INVITE is asked by UPDATE."""
    script = _to_be_moved(call)
    script.answer("405 Method Not Allowed").expect("ACK")
    script.expect("UPDATE", "m=audio [1-9].*m=audio [1-9]").answer("200 OK", ports_of(call, 2))
    return script.pause(2 * TALK_S).bye(), {}


def _to_be_moved(call: SippCall) -> Script:
    # The recorder remembers by address and User-Agent what a client takes.
    headers = [f"User-Agent: {call.identifier}", "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE"]
    script = msr(call, alias=True).invite(ports_of(call), headers=headers)
    return script.expect("INVITE", "m=audio [1-9].*m=audio [1-9]")
