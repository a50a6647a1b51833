"""OPTIONS and INFO: health that covers the whole chain, and courtesy inside dialogs (RFC 3261 section 11)."""

from __future__ import annotations

from recorder.frontend.frontend import Frontend
from signaling.useragent import InfoReceived, OptionsReceived


def answer_options(frontend: Frontend, event: OptionsReceived) -> None:
    """Answer 200 only when one more session could be recorded; inside a dialog answer for the dialog.

    The Genesys Resource Manager and SBCs send us calls by this answer, so it has to be as true as that to an INVITE.
    """
    obstacle = None if event.dialog_id else frontend.ability.obstacle(source=event.flow.remote[0])
    if obstacle:
        frontend.agent.respond(
            event.request_id, 503, headers=[("Retry-After", str(obstacle.retry_after_s))], now=frontend.clock()
        )
    else:
        frontend.agent.respond(event.request_id, 200, now=frontend.clock())
    frontend.transport.flush()


def answer_info(frontend: Frontend, event: InfoReceived) -> None:
    """Answer 200: nothing that an INFO carries changes a recording, and silence is never an answer."""
    frontend.agent.respond(event.request_id, 200, now=frontend.clock())
    frontend.transport.flush()
