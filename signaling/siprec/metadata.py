"""Reads a recording metadata document of any generation (RFC 7865 §5 to §9, and the drafts before it).

Elements are matched by local name, without regard to case, over the namespaces in use; attributes in the RFC's
style (`session_id`) and the drafts' (`id`, `session`). Whatever else is there is kept as vendor data. Only a
document that is unreadable as a whole is an error; everything smaller is a doubt. Does not merge documents (see
`update`).
"""

from __future__ import annotations

import datetime
import functools
from typing import Any, Final

from lxml import etree

from signaling.siprec.document import parse_document
from signaling.siprec.errors import MetadataError
from signaling.siprec.model import (
    CommunicationSession,
    CsGroup,
    CsRsAssociation,
    Doubt,
    Doubted,
    Extension,
    MediaStream,
    Moment,
    NameId,
    Participant,
    ParticipantCsAssociation,
    ParticipantStreamAssociation,
    Reason,
    RecordingMetadata,
)
from signaling.siprec.schema import (
    NAMESPACES,
    ROOTS,
    USUAL,
    attributes_of,
    first_of,
    role_of,
    split_name,
    text_of,
)

MAX_DEPTH: Final = 16
"""Levels of vendor data inside one element; four is the most that was seen."""

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MILLISECOND: Final = datetime.timedelta(milliseconds=1)
_LANGUAGE: Final = "{http://www.w3.org/XML/1998/namespace}lang"

_MAX_TIMES: Final = 1024
_MAX_TIME: Final = 64
"""Characters of a time; RFC 3339 needs at most 35. A stranger must not fill the memory with unreadable ones."""

# Attribute names, the RFC's before those of the drafts.
_GROUP: Final = ("group_id", "id")
_SESSION: Final = ("session_id", "id")
_PARTICIPANT: Final = ("participant_id", "id")
_STREAM: Final = ("stream_id", "id")
_SESSION_REFERENCE: Final = ("session_id", "session")
_PARTICIPANT_REFERENCE: Final = ("participant_id", "participant")

Children = dict[str, list[etree._Element]]
Defined = CsGroup | CommunicationSession | Participant | MediaStream


def parse_metadata(raw: bytes, *, charset: str | None = None) -> RecordingMetadata:
    """Read one metadata document.

    Args:
        raw: bytes of the body part.
        charset: the `charset` parameter of its Content-Type, if any.

    Raises:
        MetadataError: unreadable as a whole; record without it and flag the recording.

    """
    doubts: list[Doubted] = []
    return _Reader(doubts).read(parse_document(raw, charset, doubts))


@functools.lru_cache(maxsize=_MAX_TIMES)
def _read_time(text: str) -> Moment:
    """Read a time: RFC 7865 §6.9 asks for RFC 3339; zones without a colon, milliseconds and lower case occur."""
    try:
        moment = datetime.datetime.fromisoformat(text.upper())
    except ValueError:
        return Moment(text)
    if moment.tzinfo is None:
        return Moment(text, zone_known=False)
    return Moment(text, (moment - _EPOCH) // _MILLISECOND)


class _Reader:
    """Builds the values of one document."""

    def __init__(self, doubts: list[Doubted]) -> None:
        self._doubts = doubts
        self._namespace = ""
        self._defined: dict[str, Defined] = {}
        self._groups: list[CsGroup] = []
        self._sessions: list[CommunicationSession] = []
        self._participants: list[Participant] = []
        self._streams: list[MediaStream] = []
        self._cs_rs: list[CsRsAssociation] = []
        self._participant_cs: list[ParticipantCsAssociation] = []
        self._participant_stream: list[ParticipantStreamAssociation] = []
        self._attached: dict[str, tuple[Extension, ...]] = {}

    def read(self, root: etree._Element) -> RecordingMetadata:
        namespace, name = split_name(root.tag)
        if namespace and namespace not in NAMESPACES:
            self._namespace = namespace
            self._doubt(Doubt.UNKNOWN_NAMESPACE, namespace)
        children, extensions = self._sort(root, "root")
        if name.lower() not in ROOTS:
            if not children:
                raise MetadataError("not a recording metadata document")
            self._doubt(Doubt.UNKNOWN_ROOT, name)
        recording_id = first_of(attributes_of(root), ("recording_id", "id"))
        for element in children.get("recording", ()):
            recording_id = recording_id or first_of(attributes_of(element), ("recording_id", "id"))
            extensions += self._extensions(element, ("recording",))
        for element in children.get("extensiondata", ()):
            extensions += self._extension_data(element)
        for element in children.get("group", ()):
            self._group(element)
        for element in children.get("session", ()):
            self._session(element)
        for element in children.get("participant", ()):
            self._participant(element)
        for element in children.get("stream", ()):
            self._stream(element)
        for element in children.get("sessionrecordingassoc", ()):
            self._session_recording(element)
        for element in children.get("participantsessionassoc", ()):
            self._participant_session(element)
        for element in children.get("participantstreamassoc", ()):
            self._participant_stream_association(element)
        for attached in self._attached.values():
            extensions += attached
        return RecordingMetadata(
            complete=self._data_mode(children),
            root=name,
            namespace=namespace,
            recording_id=recording_id,
            groups=tuple(self._groups),
            sessions=tuple(self._sessions),
            participants=tuple(self._participants),
            streams=tuple(self._streams),
            cs_rs_associations=tuple(self._cs_rs),
            participant_cs_associations=tuple(self._participant_cs),
            participant_stream_associations=tuple(self._participant_stream),
            extensions=extensions,
            doubts=tuple(self._doubts),
        )

    def _doubt(self, doubt: Doubt, subject: str = "") -> None:
        self._doubts.append(Doubted(doubt, subject))

    def _data_mode(self, children: Children) -> bool:
        # RFC 7865 §5.1.2: a missing element means a complete snapshot.
        for element in children.get("datamode", ()):
            mode = text_of(element).lower()
            if mode == "partial":
                return False
            if mode != "complete":
                self._doubt(Doubt.BAD_DATA_MODE, mode)
        return True

    def _sort(self, element: etree._Element, kind: str) -> tuple[Children, tuple[Extension, ...]]:
        """Group the children that belong to the format by name; flatten the others into vendor data."""
        children: Children = {}
        extensions: list[Extension] = []
        namespace, usual = self._namespace, USUAL[kind]
        # Only elements can come: comments and instructions were dropped, entities never existed (see `document`).
        for child in element:
            name = usual.get(child.tag) or role_of(child.tag, kind, namespace)
            if not name:
                self._flatten(child, (), extensions)
            elif name in children:
                children[name].append(child)
            else:
                children[name] = [child]
        return children, tuple(extensions)

    def _flatten(self, element: etree._Element, path: tuple[str, ...], out: list[Extension]) -> None:
        namespace, name = split_name(element.tag)
        if len(path) == MAX_DEPTH:
            self._doubt(Doubt.TRUNCATED, name)
            return
        text = text_of(element)
        items = element.items()
        leaf = not len(element)
        if text or items or leaf:
            attributes = tuple([(split_name(str(key))[1], str(value)) for key, value in items]) if items else ()
            out.append(Extension(namespace, name, text, attributes, path))
        if not leaf:
            inner = (*path, name)
            for child in element:
                self._flatten(child, inner, out)

    def _extensions(self, element: etree._Element, path: tuple[str, ...]) -> tuple[Extension, ...]:
        out: list[Extension] = []
        for child in element:
            self._flatten(child, path, out)
        return tuple(out)

    def _extension_data(self, element: etree._Element) -> tuple[Extension, ...]:
        """Attach a drafts' `extensiondata` to the element it names, else give it back for the whole session."""
        found = self._extensions(element, (split_name(element.tag)[1],))
        parent = first_of(attributes_of(element), ("parent",))
        if not parent:
            return found
        self._attached[parent] = self._attached.get(parent, ()) + found
        return ()

    def _define(self, identifier: str, element: Defined, kept: list[Any]) -> bool:
        """Keep an element under its identifier; False when that belongs to another one (RFC 7865 §6.10).

        An empty identifier identifies nothing and conflicts with nothing. The drafts repeat a participant for each
        session it is in.
        """
        if not identifier:
            self._doubt(Doubt.EMPTY_IDENTIFIER, type(element).__name__)
            kept.append(element)
            return True
        before = self._defined.setdefault(identifier, element)
        if before is element:
            kept.append(element)
            return True
        if before == element or (
            isinstance(before, Participant) and isinstance(element, Participant) and before.name_ids == element.name_ids
        ):
            return True
        self._doubt(Doubt.IDENTIFIER_CONFLICT, identifier)
        return False

    def _period(self, children: Children) -> tuple[Moment | None, Moment | None]:
        """Return association and disassociation time."""
        if not children:
            return None, None
        return self._moment(children, "associate-time"), self._moment(children, "disassociate-time")

    def _moment(self, children: Children, name: str) -> Moment | None:
        elements = children.get(name)
        if not elements:
            return None
        text = text_of(elements[0])
        if not text:
            return None
        moment = _read_time(text) if len(text) <= _MAX_TIME else Moment(text[:_MAX_TIME])
        if moment.unix_ms is None:
            self._doubt(Doubt.BAD_TIME if moment.zone_known else Doubt.NO_ZONE, name)
        return moment

    def _group(self, element: etree._Element) -> None:
        attributes = attributes_of(element)
        identifier = first_of(attributes, _GROUP)
        children, extensions = self._sort(element, "group")
        associate_time, disassociate_time = self._period(children)
        group = CsGroup(
            group_id=identifier,
            associate_time=associate_time,
            disassociate_time=disassociate_time,
            extensions=extensions + self._attached.pop(identifier, ()),
        )
        self._define(identifier, group, self._groups)

    def _session(self, element: etree._Element) -> None:
        attributes = attributes_of(element)
        identifier = first_of(attributes, _SESSION)
        children, extensions = self._sort(element, "session")
        group_refs = children.get("group-ref")
        session = CommunicationSession(
            session_id=identifier,
            group_ref=text_of(group_refs[0]) if group_refs else first_of(attributes, ("group",)),
            sip_session_ids=tuple(["".join(text_of(child).split()) for child in children.get("sipsessionid", ())]),
            reasons=tuple(
                [
                    Reason(text_of(child), child.get("protocol", "SIP"), child.get("cause", ""))
                    for child in children.get("reason", ())
                ]
            ),
            start_time=self._moment(children, "start-time"),
            stop_time=self._moment(children, "stop-time"),
            extensions=extensions + self._attached.pop(identifier, ()),
        )
        if not self._define(identifier, session, self._sessions):
            return
        associate_time, disassociate_time = self._period(children)
        if associate_time is not None or disassociate_time is not None:
            self._cs_rs.append(
                CsRsAssociation(
                    session_id=identifier, associate_time=associate_time, disassociate_time=disassociate_time
                )
            )

    def _participant(self, element: etree._Element) -> None:
        attributes = attributes_of(element)
        identifier = first_of(attributes, _PARTICIPANT)
        children, extensions = self._sort(element, "participant")
        name_ids = [_name_id(child) for child in children.get("nameid", ())]
        name_ids += [NameId(text_of(child)) for child in children.get("aor", ()) if text_of(child)]
        session_id = first_of(attributes, _SESSION_REFERENCE)
        participant = Participant(
            participant_id=identifier,
            name_ids=tuple(name_ids),
            extensions=extensions + self._attached.pop(identifier, ()),
        )
        if not self._define(identifier, participant, self._participants):
            return
        associate_time, disassociate_time = self._period(children)
        if session_id:
            self._participant_cs.append(
                ParticipantCsAssociation(
                    participant_id=identifier,
                    session_id=session_id,
                    associate_time=associate_time,
                    disassociate_time=disassociate_time,
                )
            )
        if "send" in children or "recv" in children:
            self._participant_stream.append(
                ParticipantStreamAssociation(
                    participant_id=identifier,
                    send=_references(children, "send"),
                    recv=_references(children, "recv"),
                    associate_time=associate_time,
                    disassociate_time=disassociate_time,
                )
            )

    def _stream(self, element: etree._Element) -> None:
        attributes = attributes_of(element)
        identifier = first_of(attributes, _STREAM)
        children, extensions = self._sort(element, "stream")
        labels = children.get("label")
        modes = children.get("mode")
        stream = MediaStream(
            stream_id=identifier,
            session_id=first_of(attributes, _SESSION_REFERENCE),
            label=text_of(labels[0]) if labels else "",
            mode=text_of(modes[0]).lower() if modes else "",
            extensions=extensions + self._attached.pop(identifier, ()),
        )
        self._define(identifier, stream, self._streams)

    def _session_recording(self, element: etree._Element) -> None:
        attributes = attributes_of(element)
        children, _ = self._sort(element, "sessionrecordingassoc")
        associate_time, disassociate_time = self._period(children)
        self._cs_rs.append(
            CsRsAssociation(
                session_id=first_of(attributes, _SESSION_REFERENCE),
                associate_time=associate_time,
                disassociate_time=disassociate_time,
            )
        )

    def _participant_session(self, element: etree._Element) -> None:
        attributes = attributes_of(element)
        children, _ = self._sort(element, "participantsessionassoc")
        associate_time, disassociate_time = self._period(children)
        self._participant_cs.append(
            ParticipantCsAssociation(
                participant_id=first_of(attributes, _PARTICIPANT_REFERENCE),
                session_id=first_of(attributes, _SESSION_REFERENCE),
                associate_time=associate_time,
                disassociate_time=disassociate_time,
                params=tuple([(child.get("pname", ""), child.get("pval", "")) for child in children.get("param", ())]),
            )
        )

    def _participant_stream_association(self, element: etree._Element) -> None:
        attributes = attributes_of(element)
        children, _ = self._sort(element, "participantstreamassoc")
        associate_time, disassociate_time = self._period(children)
        self._participant_stream.append(
            ParticipantStreamAssociation(
                participant_id=first_of(attributes, _PARTICIPANT_REFERENCE),
                send=_references(children, "send"),
                recv=_references(children, "recv"),
                associate_time=associate_time,
                disassociate_time=disassociate_time,
            )
        )


def _name_id(element: etree._Element) -> NameId:
    aor = first_of(attributes_of(element), ("aor",))
    for child in element:
        if role_of(child.tag, "nameid", "") or split_name(child.tag)[1].lower() == "name":
            return NameId(aor, text_of(child), child.get(_LANGUAGE, ""))
    return NameId(aor)


def _references(children: Children, name: str) -> tuple[str, ...]:
    """Return the identifiers in `send` or `recv`; the drafts wrap each in an `id` element."""
    found = []
    for element in children.get(name, ()):
        text = text_of(element)
        wrapped = [text] if text else [text_of(child) for child in element]
        found += [identifier for identifier in wrapped if identifier]
    return tuple(found)
