"""2xx responses to INVITE until their ACK comes, RFC 3261 §13.3.1.4, with the tolerances that vendor peers need.

Repeats the exact bytes. When nobody acknowledges for 64*T1 the transaction user is told and decides; after a takeover
the ACK may have reached the process that died. Does not send BYE.
"""

from __future__ import annotations

from functools import partial

from signaling.dialog.dialog import acknowledge, miss
from signaling.sip import Request
from signaling.useragent.core import AwaitedAck, Core, DialogEntry
from signaling.useragent.events import AckReceived, AckTimedOut, CheckpointAdvised
from signaling.useragent.requesting import release_bye
from signaling.useragent.return_path import response_path


def await_ack(core: Core, entry: DialogEntry, awaited: AwaitedAck, now: float) -> None:
    """Repeat a 2xx that has just been sent, from T1 on, doubling to T2, over every transport, until its ACK comes."""
    awaited.interval = core.timers.t1
    awaited.gives_up_at = now + core.timers.timeout
    entry.awaited_acks.append(awaited)
    entry.dialog.negotiation.awaiting_ack = True
    awaited.timer = core.queue.arm(now + awaited.interval, partial(_on_timer, core, entry, awaited))


def resume_awaiting(core: Core, entry: DialogEntry, awaited: AwaitedAck, *, first: float, gives_up_at: float) -> None:
    """Continue to repeat a 2xx that a process before us sent, or was about to send.

    Requests of ours do not wait for this ACK: it may have come to the process that died.
    """
    awaited.interval = core.timers.t1
    awaited.gives_up_at = gives_up_at
    entry.awaited_acks.append(awaited)
    awaited.timer = core.queue.arm(first, partial(_on_timer, core, entry, awaited))


def receive_ack(core: Core, entry: DialogEntry, request: Request, now: float) -> bool:
    """Match an ACK to the 2xx responses of its dialog; False if none waits for it.

    One ACK acknowledges earlier INVITEs too: a peer that sends two re-INVITEs in quick succession may acknowledge only
    the second. A number that fits none is accepted as long as no INVITE of the dialog has been acknowledged, because
    vendor scripts number their ACK at will; later it might be a late repetition.
    """
    number = request.cseq.number
    meant = [awaited for awaited in entry.awaited_acks if awaited.sequence <= number]
    if not meant and entry.acknowledged == 0:
        meant = list(entry.awaited_acks)
    if not meant:
        return False
    for awaited in meant:
        core.queue.cancel(awaited.timer)
        entry.awaited_acks.remove(awaited)
    latest = meant[-1]
    entry.acknowledged = max(entry.acknowledged, latest.sequence)
    acknowledge(entry.dialog.state, [awaited.data for awaited in meant])
    _settle(entry)
    core.emit(AckReceived(entry.identifier, request, latest.request_id))
    release_bye(core, entry, now)
    return True


def _settle(entry: DialogEntry) -> None:
    if not entry.awaited_acks:
        entry.dialog.negotiation.awaiting_ack = False
        entry.dialog.negotiation.our_offer_in_answer = False


def _on_timer(core: Core, entry: DialogEntry, awaited: AwaitedAck, now: float) -> None:
    if now >= awaited.gives_up_at:
        entry.awaited_acks.remove(awaited)
        _settle(entry)
        core.emit(AckTimedOut(entry.identifier, awaited.request_id))
        release_bye(core, entry, now)
        return
    if not awaited.overdue and awaited.gives_up_at - now <= core.timers.timeout / 2:
        # Few dialogs come here: their snapshots need not say of every other one that its ACK came.
        awaited.overdue = True
        miss(entry.dialog.state, awaited.data)
        core.emit(CheckpointAdvised(entry.identifier))
    path = response_path(awaited.via, awaited.flow, is_open=core.is_open(awaited.flow))
    core.transmit(awaited.data, path, dialog_id=entry.identifier, request_id=awaited.request_id)
    # "an interval that starts at T1 seconds and doubles for each retransmission until it reaches T2 seconds"
    awaited.interval = min(2 * awaited.interval, core.timers.t2)
    at = min(now + awaited.interval, awaited.gives_up_at)
    awaited.timer = core.queue.arm(at, partial(_on_timer, core, entry, awaited))
