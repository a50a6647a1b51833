"""Why an offer is refused: the words for the log and for the client's Warning header field (RFC 3261 section 20.43)."""

from __future__ import annotations

from typing import Final

from signaling.sdp.offer_answer import MediaPlan

NOT_A_DESCRIPTION: Final = "offer is not a session description"
NO_MEDIA: Final = "offer without any media"


def why_unusable(media: MediaPlan) -> str:
    """Return why no stream of an offer can be recorded; empty if one can."""
    if not media.streams:
        return NO_MEDIA
    if media.usable:
        return ""
    return "; ".join(f"m-line {stream.index}: {stream.refusal}" for stream in media.streams if stream.refusal)


def warning(text: str) -> tuple[str, str]:
    """Return a Warning header field of code 399 (miscellaneous)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return ("Warning", f'399 tandem "{escaped}"')
