"""Ask a client for all of its metadata when part of them is missing (RFC 7866 section 9.2, RFC 7865 section 7).

Once until a snapshot comes: a client that does not answer has its recording flagged, and that is all. Neither a refusal
nor silence ends anything.
"""

from __future__ import annotations

import msgspec
import structlog

from recorder.frontend.frontend import Frontend
from signaling.errors import SignalingError
from signaling.siprec import snapshot_request
from signaling.siprec.media_types import mirror
from signaling.siprec.snapshot_request import DISPOSITION

_log = structlog.get_logger()

_REASON = "part of the metadata is missing"


class SnapshotRequests:
    """Asks the clients of one frontend."""

    def __init__(self, frontend: Frontend) -> None:
        self._frontend = frontend

    def ask(self, dialog_id: str) -> None:
        """Send the request if the session lacks a snapshot, its profile allows it, and the client takes UPDATE."""
        frontend = self._frontend
        session = frontend.sessions.get(dialog_id)
        if session is None or not session.snapshot_wanted or session.snapshot_request:
            return
        profile = frontend.edge.profiles.named(session.profile)
        if not profile.snapshot_requests or "UPDATE" not in frontend.agent.state(dialog_id).peer_methods:
            return
        media_type = mirror(session.metadata_type) if profile.metadata_type == "mirror" else profile.metadata_type
        try:
            request_id = frontend.agent.update(
                dialog_id,
                snapshot_request(_REASON),
                media_type,
                frontend.clock(),
                headers=[("Content-Disposition", DISPOSITION)],
            )
        except SignalingError:
            return  # an UPDATE of ours is under way, or the session is ending; the next change brings us here again
        frontend.replace(msgspec.structs.replace(session, snapshot_request=request_id))
        frontend.transport.flush()
        _log.info(
            "snapshot of the metadata requested",
            record_identifier=session.record_identifier,
            segment=session.segment.hex,
        )
