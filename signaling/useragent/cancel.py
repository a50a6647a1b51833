"""CANCEL received by the recorder, RFC 3261 §9.2.

Answers both requests by itself. Has no effect on anything but a pending INVITE.
"""

from __future__ import annotations

from signaling.transaction import cancelled_key
from signaling.useragent.closing import give_up_invite
from signaling.useragent.core import Core
from signaling.useragent.exchange import Arrival
from signaling.useragent.server import refuse


def receive_cancel(core: Core, arrival: Arrival) -> None:
    """Take a CANCEL that is not a repetition."""
    key = cancelled_key(arrival.request)
    invite = core.server.get(key)
    if invite is None and key not in core.repeated:
        # "If the UAS did not find a matching transaction for the CANCEL according to the procedure above, it SHOULD
        # respond to the CANCEL with a 481"
        refuse(core, arrival, 481)
        return
    dialog_id = invite.dialog_id if invite is not None else core.repeated[key].dialog_id
    core.traced_dialog = dialog_id
    # "the To tag of the response to the CANCEL and the To tag in the response to the original request SHOULD be the
    # same."
    local_tag = None if invite is None else invite.local_tag
    refuse(core, arrival, 200, dialog_id=dialog_id, local_tag=local_tag)
    if invite is not None:
        give_up_invite(core, invite, 487, "cancel", arrival.now)
