"""A look at a message that costs microseconds: enough to tell a known dialog's traffic from a stranger's.

What it says is a hint, never a fact: the user agent parses whatever is let through. Reads bytes; RFC 3261 section 7.3
allows folded lines and compact names, and so does this.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from signaling.dialog.state import dialog_identifier

MAX_KEEP_ALIVE: Final = 4
"""Bytes; RFC 5626 section 4.4.1 has CRLF CRLF and CRLF, some peers send NUL bytes."""
_MAX_LOOKED_AT: Final = 16_384
"""Bytes of the head that are searched; real heads are below 4 kB, and beyond it a message counts as a stranger's."""

_START: Final = re.compile(rb"(?:sip/2\.0 |([a-z]{1,32}) )")
_VALUE: Final = rb"[ \t]*:([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)"
# Searched in lower case, so that each pattern begins with fixed text: 3 us instead of 20.
_TO: Final = re.compile(rb"\nt(?:o)?" + _VALUE)
_FROM: Final = re.compile(rb"\nf(?:rom)?" + _VALUE)
_CALL_ID: Final = re.compile(rb"\n(?:call-id|i)" + _VALUE)
_TAG: Final = re.compile(rb";[ \t\r\n]*tag[ \t\r\n]*=[ \t\r\n]*([^;,\s]+)")


class Glance(NamedTuple):
    """What the first look tells."""

    method: str
    """Of a request; empty for a response or for what is no SIP at all."""
    response: bool = False
    local_tag: str = ""
    """Tag on our side: To of a request, From of a response; empty when there is none."""
    dialog_id: str | None = None
    """Name that the dialog would have if there is one."""

    @property
    def opens(self) -> bool:
        """Whether it is a request outside of any dialog."""
        return bool(self.method) and not self.local_tag


NO_SIP: Final = Glance("")


def glance(data: bytes) -> Glance:
    """Look at a message."""
    data = data.lstrip(b"\r\n")  # RFC 3261 section 7.5
    end = data.find(b"\n\r\n", 0, _MAX_LOOKED_AT)
    head = data[: end + 1 if end >= 0 else _MAX_LOOKED_AT]
    folded = head.lower()
    start = _START.match(folded)
    if start is None:
        return NO_SIP
    method = start[1]
    response = method is None
    name = "" if response else method.decode("ascii").upper()
    ours = (_FROM if response else _TO).search(folded)
    if ours is None:
        return Glance(name, response)
    tag = _TAG.search(folded, max(ours.start(1), folded.rfind(b">", *ours.span(1))), ours.end(1))
    if tag is None:
        return Glance(name, response)
    local_tag = _text(head, tag)
    call_id = _CALL_ID.search(folded)
    identifier = dialog_identifier(_text(head, call_id), local_tag) if call_id else None
    return Glance(name, response, local_tag, identifier)


def _text(head: bytes, found: re.Match[bytes]) -> str:
    """Return what a pattern found as it was written."""
    return head[slice(*found.span(1))].strip().decode("utf-8", "surrogateescape")
