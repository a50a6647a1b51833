"""What was sent, to whom and when: the truth that recordings are compared with.

One row per packet in numpy columns, every SIP message, and notes of what happened to each call. A saved journal is a
`.npz` file (zip of arrays) with `packets` (`PACKET_DTYPE`) and `facts`, UTF-8 JSON with the keys `version`, `law`,
`speech_sha256`, `destinations`, `calls`, `due`, `sip` and `notes`; their fields are those of the classes below. The
payload of a packet is not stored: its `speech` column says where in the conversation it begins.

Does not decide what a recorder should have kept; that is `oracle`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recorder.simulator.g711 import Law
from recorder.simulator.scenario import Door

VERSION: Final = 1

SENT: Final = 1
"""Left our socket."""
WITHHELD: Final = 2
"""Never sent, to play a loss on the way."""
PAUSED: Final = 4
"""Belongs to a time in which the recorder was told not to record; normally not sent, then `SENT` is missing."""
DUPLICATE: Final = 8
"""A repetition; another row of the same packet has no such flag."""
DELAYED: Final = 16
"""Sent one slot late, behind its successor."""
DOUBTFUL: Final = 32
"""Sent while a pause or a resumption was being agreed: it may be in the recording, whole or not at all."""

PACKET_DTYPE: Final = np.dtype(
    [
        ("at_ns", "<i8"),  # wall clock; of a packet that was not sent, when its turn was
        ("call", "<u4"),
        ("packet", "<u4"),  # number in its stream, from 0, never wraps
        ("timestamp", "<u4"),  # RTP header
        ("speech", "<u4"),  # samples from the beginning of the conversation
        ("sequence", "<u2"),  # RTP header
        ("destination", "<u2"),  # index into `destinations`
        ("stream", "u1"),  # position of the m-line, from 0; also the party
        ("flags", "u1"),
    ]
)
Packets = npt.NDArray[np.void]
"""Structured array of `PACKET_DTYPE`."""

_FIRST_CAPACITY: Final = 4096


@dataclass(frozen=True, slots=True)
class CallFacts:
    """Who a call was, as far as its recording must say so too."""

    call: int
    door: Door
    record_identifier: str
    call_id: str
    call_uuid: str
    ani: str
    dnis: str
    dn: str
    other_dn: str
    first_timestamps: tuple[int, ...]
    """Per stream, RTP timestamp of packet 0."""
    copy_of: int | None = None
    """The session that sent the same call."""


@dataclass(frozen=True, slots=True)
class SipTrace:
    """One SIP message."""

    at_ns: int
    """Wall clock."""
    call: int
    """-1 when it belongs to no call of ours."""
    outgoing: bool
    peer: str
    message: str
    """UTF-8 with surrogateescape, so that any octet survives."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened to a call."""

    at_ns: int
    call: int
    what: str
    """answered, media-started, media-moved (other addresses), media-switched (on or off), pausing,
    paused, resuming, resumed, media-ended, ended, refused, failed, ..."""
    detail: str = ""


class Journal:
    """Grows while the calls run; every method may be called from the sending thread and from the event loop."""

    def __init__(self, law: Law, speech_sha256: str) -> None:
        self.law = law
        self.speech_sha256 = speech_sha256
        self.calls: dict[int, CallFacts] = {}
        self.due: dict[int, tuple[int, ...]] = {}
        """By call: when packet 0 of each stream was due, wall clock in ns; it may have left later."""
        self.sip: list[SipTrace] = []
        self.notes: list[Note] = []
        self.destinations: list[str] = []
        """Host and port, as `192.0.2.50:40000`."""
        self._destination_index: dict[str, int] = {}
        self._rows: Packets = np.zeros(_FIRST_CAPACITY, PACKET_DTYPE)
        self._length = 0
        self._lock = threading.Lock()

    @property
    def packets(self) -> Packets:
        """Return a copy of all rows so far, in the order of sending."""
        with self._lock:
            return self._rows[: self._length].copy()

    def append(self, rows: Packets) -> None:
        """Add rows of `PACKET_DTYPE`."""
        with self._lock:
            needed = self._length + len(rows)
            if needed > len(self._rows):
                grown = np.zeros(max(needed, 2 * len(self._rows)), PACKET_DTYPE)
                grown[: self._length] = self._rows[: self._length]
                self._rows = grown
            self._rows[self._length : needed] = rows
            self._length = needed

    def destination(self, host: str, port: int) -> int:
        """Return the number of this destination for the `destination` column."""
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        with self._lock:
            if name not in self._destination_index:
                self._destination_index[name] = len(self.destinations)
                self.destinations.append(name)
            return self._destination_index[name]

    def packets_of(self, call: int) -> Packets:
        """Return the rows of one call, in the order of sending."""
        rows = self.packets
        chosen: Packets = rows[rows["call"] == call]
        return chosen

    def notes_of(self, call: int) -> list[Note]:
        """Return what happened to one call, in order."""
        return [note for note in self.notes if note.call == call]

    def save(self, path: Path) -> None:
        """Write the journal, whole or not at all."""
        facts = {
            "version": VERSION,
            "law": self.law,
            "speech_sha256": self.speech_sha256,
            "destinations": self.destinations,
            "calls": [dataclasses.asdict(facts) for facts in self.calls.values()],
            "due": {str(call): due for call, due in self.due.items()},
            "sip": [dataclasses.asdict(trace) for trace in self.sip],
            "notes": [dataclasses.asdict(note) for note in self.notes],
        }
        encoded = np.frombuffer(json.dumps(facts).encode("ascii"), np.uint8)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                np.savez_compressed(file, packets=self.packets, facts=encoded)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> Journal:
        """Read a saved journal.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is not a journal of this version.

        """
        with np.load(path, allow_pickle=False) as stored:
            if set(stored.files) != {"packets", "facts"}:
                raise ValueError(f"{path} is not a journal of recorder simulate")
            packets: Packets = stored["packets"]
            facts: dict[str, Any] = json.loads(stored["facts"].tobytes())
        if facts["version"] != VERSION or packets.dtype != PACKET_DTYPE:
            raise ValueError(f"{path} is a journal of version {facts['version']}; this program reads {VERSION}")
        journal = cls(Law(facts["law"]), facts["speech_sha256"])
        for name in facts["destinations"]:
            journal._destination_index[name] = len(journal.destinations)
            journal.destinations.append(name)
        for call in facts["calls"]:
            call |= {"door": Door(call["door"]), "first_timestamps": tuple(call["first_timestamps"])}
            journal.calls[call["call"]] = CallFacts(**call)
        journal.due = {int(call): tuple(due) for call, due in facts.get("due", {}).items()}
        journal.sip = [SipTrace(**trace) for trace in facts["sip"]]
        journal.notes = [Note(**note) for note in facts["notes"]]
        journal.append(packets)
        return journal
