"""Who speaks on which m-line: SDP label to stream to participants (RFC 7865 §6.7 and §6.8, RFC 4574).

Binds by label, never by position, and swaps nobody silently: whatever does not fit is a doubt. Says nothing about
output channels.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

import msgspec

from signaling.siprec.model import Doubt, Doubted, MediaStream, Participant, RecordingSession


class StreamBinding(msgspec.Struct, frozen=True, kw_only=True):
    """What the metadata says about one m-line."""

    index: int
    """m-line position from 0."""
    label: str | None = None
    """As in the SDP; None when the m-line has none."""
    stream: MediaStream | None = None
    senders: tuple[Participant, ...] = ()
    """Participants heard on the stream; several for a mixed one."""
    receivers: tuple[Participant, ...] = ()
    doubts: tuple[Doubted, ...] = ()

    @property
    def mixed(self) -> bool:
        """Whether more than one participant is heard, or the client says so."""
        return len(self.senders) > 1 or (self.stream is not None and self.stream.mode == "mixed")


def bind_streams(session: RecordingSession, labels: Sequence[str | None]) -> tuple[StreamBinding, ...]:
    """Bind m-lines to streams and participants.

    Args:
        session: state after the document that came with the labels.
        labels: value of `a=label` of each m-line in use, in order; None for one without.

    """
    by_label: dict[str, list[MediaStream]] = {}
    for stream in session.streams:
        if stream.label:
            by_label.setdefault(stream.label, []).append(stream)
    participants = {participant.participant_id: participant for participant in session.participants}
    senders: dict[str, list[Participant]] = {}
    receivers: dict[str, list[Participant]] = {}
    for association in session.participant_stream_associations:
        participant = participants.get(association.participant_id)
        # A participant that has left a stream is no longer heard on it.
        if participant is not None and association.disassociate_time is None:
            for stream_id in association.send:
                senders.setdefault(stream_id, []).append(participant)
            for stream_id in association.recv:
                receivers.setdefault(stream_id, []).append(participant)
    occurrences = collections.Counter([label.strip() for label in labels if label])
    bindings = []
    for index, label in enumerate(labels):
        key = (label or "").strip()
        named = by_label.get(key, []) if key else []
        found = named[0] if named else None
        heard = tuple(senders.get(found.stream_id, ())) if found is not None else ()
        bindings.append(
            StreamBinding(
                index=index,
                label=label,
                stream=found,
                senders=heard,
                receivers=tuple(receivers.get(found.stream_id, ())) if found is not None else (),
                doubts=_doubts(key, named, heard, repeated=occurrences[key] > 1),
            )
        )
    return tuple(bindings)


def _doubts(
    label: str, streams: list[MediaStream], senders: tuple[Participant, ...], *, repeated: bool
) -> tuple[Doubted, ...]:
    if not label:
        return (Doubted(Doubt.LABEL_MISSING),)
    doubts = []
    if repeated or len(streams) > 1:
        doubts.append(Doubted(Doubt.LABEL_AMBIGUOUS, label))
    if not streams:
        doubts.append(Doubted(Doubt.NO_STREAM, label))
    elif not senders:
        doubts.append(Doubted(Doubt.NO_SENDER, label))
    return tuple(doubts)
