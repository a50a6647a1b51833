"""Dialogs of a process that died, taken over from their snapshots, RFC 3261 §12.2.2.

Rebuilds the dialog, repeats the answers that were promised, and goes on where the other stopped. Does not fetch
snapshots and does not decide who takes over.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec

from signaling.dialog.dialog import Dialog, forget_answer
from signaling.dialog.flow import Flow
from signaling.dialog.state import DialogState, Phase, PromisedAnswer, decode_snapshot
from signaling.errors import SipSyntaxError
from signaling.sip import Response, Via, parse_message
from signaling.sip.via import MAGIC_COOKIE
from signaling.transaction import MergeKey, TransactionKey
from signaling.useragent.acknowledgement import resume_awaiting
from signaling.useragent.core import AwaitedAck, Core, DialogEntry, RepeatedAnswer
from signaling.useragent.events import AckTimedOut
from signaling.useragent.session_clock import arm

REFRESH_SPREAD: Final = 30.0
"""Seconds over which the refreshes of all dialogs taken over together are spread, so that they are no storm."""


def restore(core: Core, snapshot: bytes, now: float, *, age: float) -> str:
    """Take a dialog over and return its identifier; one that is already here is replaced.

    Args:
        core: the user agent's state.
        snapshot: what `snapshot` or `Prepared.snapshot` gave to a process before us.
        now: monotonic seconds of this process.
        age: seconds since the snapshot was made, 0 if unknown. Answers older than 64*T1 are not repeated any more.

    Raises:
        LocalProtocolError: the bytes are no snapshot that this version can read.

    """
    state = decode_snapshot(snapshot)
    # Several processes may have numbered requests of this dialog since the snapshot; each epoch has its own block.
    dialog = Dialog(state, sequence_limit=state.local_sequence)
    entry = DialogEntry(dialog)
    old = core.dialogs.get(entry.identifier)
    if old is not None:
        _silence(core, old)
    left = core.timers.timeout - max(0.0, age)
    if state.phase is not Phase.ENDED:
        core.dialogs.add(entry)
    for answer in state.answers:
        if left <= 0:
            forget_answer(state, answer.data)
            if answer.overdue and not answer.acknowledged:
                # Over T1 as well: what follows is a question to a writer and perhaps a BYE.
                core.queue.arm(now + core.uniform() * core.timers.t1, partial(_ack_timed_out, core, entry.identifier))
        else:
            _repeat(core, entry, answer, now, until=now + left)
    if state.phase is Phase.ENDED:
        return entry.identifier
    entry.acknowledged = _highest_acknowledged(state)
    if state.own_invite is not None:
        core.queue.arm(now + core.timers.timeout, partial(_forget_own_invite, entry))
    _resume_session_timer(core, entry, now, age)
    return entry.identifier


def _repeat(core: Core, entry: DialogEntry, answer: PromisedAnswer, now: float, *, until: float) -> None:
    """Get ready to give a promised answer again, and to go on repeating it if it is a 2xx without ACK."""
    try:
        response = parse_message(answer.data)
        if not isinstance(response, Response):
            return
        cseq, via = response.cseq, response.via
    except SipSyntaxError:
        return  # we wrote it ourselves; a damaged one cannot be repeated to anybody
    key = TransactionKey(via.branch or "", via.sent_by, cseq.method)
    merge = None
    if cseq.method == "INVITE" and response.is_success:
        merge = MergeKey(response.from_.tag or "", response.call_id, cseq.number, cseq.method)
    if key.branch.startswith(MAGIC_COOKIE):
        core.repeated[key] = RepeatedAnswer(entry.identifier, answer.data)
        if merge is not None:
            core.repeated_merges.add(merge)
        core.queue.arm(until, partial(_forget_repeated, core, entry, key, merge))
    if cseq.method == "INVITE" and response.is_success and not answer.acknowledged:
        flow = _source(via, entry.dialog.state.flow)
        awaited = AwaitedAck("", cseq.number, answer.data, via, flow)
        # Spread over T1: a takeover of 10,000 dialogs must not send 10,000 answers in one moment.
        first = now + core.uniform() * core.timers.t1
        resume_awaiting(core, entry, awaited, first=first, gives_up_at=until)


def _source(via: Via, flow: Flow) -> Flow:
    """Return the flow by which the request came: its Via has been completed with the source by us."""
    return Flow(flow.transport, flow.local, (via.received or via.host, via.rport or flow.remote[1]), flow.connection)


def _highest_acknowledged(state: DialogState) -> int:
    """Return a CSeq number up to which ACKs are known to be repetitions."""
    return 0 if any(not answer.acknowledged for answer in state.answers) else state.remote_sequence or 0


def _resume_session_timer(core: Core, entry: DialogEntry, now: float, age: float) -> None:
    """Start the session timer again.

    A deadline that passed while nobody was there proves nothing: the peer's refresh may have found nobody. It has
    until the end of its retransmissions to come again.
    """
    session = entry.dialog.state.session
    timer = entry.dialog.session_timer
    if session is None:
        return
    remaining = max(session.seconds - age, 4 * core.timers.timeout)
    timer.restart(msgspec.structs.replace(session, seconds=int(remaining)), now)
    timer.refresh_early(now + core.uniform() * min(REFRESH_SPREAD, session.seconds / 4))
    arm(core, entry)


def _silence(core: Core, entry: DialogEntry) -> None:
    """Stop the timers of a dialog that is about to be replaced."""
    for awaited in entry.awaited_acks:
        core.queue.cancel(awaited.timer)
    core.queue.cancel(entry.session_timer)
    core.dialogs.remove(entry)


def _forget_repeated(core: Core, entry: DialogEntry, key: TransactionKey, merge: MergeKey | None, now: float) -> None:
    repeated = core.repeated.pop(key, None)
    if merge is not None:
        core.repeated_merges.discard(merge)
    if repeated is not None:
        forget_answer(entry.dialog.state, repeated.data)


def _ack_timed_out(core: Core, identifier: str, now: float) -> None:
    if core.dialogs.get(identifier) is not None:
        core.emit(AckTimedOut(identifier, ""))


def _forget_own_invite(entry: DialogEntry, now: float) -> None:
    entry.dialog.state.own_invite = None
