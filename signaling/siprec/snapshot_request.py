"""The document that asks the client for a full snapshot (RFC 7865 §7, RFC 7866 §9.2).

It travels alone in an UPDATE, with Content-Disposition `recording-session` and a type chosen by
`media_types.mirror`; never with SDP, never in a response. Sending it is the user agent's business.
"""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape, quoteattr  # writes only; nothing is parsed

from signaling.siprec.schema import NAMESPACE

DISPOSITION: Final = "recording-session"


def snapshot_request(reason: str = "", *, language: str = "en") -> bytes:
    """Build the document.

    Args:
        reason: why, for a human reader; left out when empty.
        language: language tag of the reason (RFC 5646).

    """
    text = "".join([character for character in reason if character.isprintable()])
    inner = f"<requestreason xml:lang={quoteattr(language)}>{escape(text)}</requestreason>" if text else ""
    document = (
        f'<?xml version="1.0" encoding="UTF-8"?>\r\n<requestsnapshot xmlns="{NAMESPACE}">{inner}</requestsnapshot>'
    )
    return document.encode("utf-8", "replace")
