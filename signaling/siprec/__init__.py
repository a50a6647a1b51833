"""Session recording protocol: bodies and metadata of a recording session (RFC 7866, RFC 7865, RFC 5621).

`bodies` takes messages apart, `contents` finds the parts that matter, `metadata` reads documents, `update` adds them
up, `association` says who speaks on which m-line, `identifiers` finds call data. Imports `signaling.errors` and
nothing else of the project.
"""

from signaling.siprec.association import StreamBinding, bind_streams
from signaling.siprec.bodies import Body, Part, parse_body
from signaling.siprec.contents import Contents, find_contents
from signaling.siprec.errors import BodyError, MetadataError
from signaling.siprec.identifiers import Identifier, find_identifiers, is_calling_party
from signaling.siprec.metadata import parse_metadata
from signaling.siprec.model import RecordingMetadata, RecordingSession
from signaling.siprec.snapshot_request import snapshot_request
from signaling.siprec.update import apply_update

__all__ = [
    "Body",
    "BodyError",
    "Contents",
    "Identifier",
    "MetadataError",
    "Part",
    "RecordingMetadata",
    "RecordingSession",
    "StreamBinding",
    "apply_update",
    "bind_streams",
    "find_contents",
    "find_identifiers",
    "is_calling_party",
    "parse_body",
    "parse_metadata",
    "snapshot_request",
]
