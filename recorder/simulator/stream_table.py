"""The running RTP streams of the sender as columns, and the packets of one tick built from them at once.

Pure: no socket, no clock. Written for few, wide numpy operations: this is most of the sender's work outside the
kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from recorder.simulator.conversation import FRAME_SAMPLES, Conversation
from recorder.simulator.journal import DOUBTFUL, PACKET_DTYPE, PAUSED, SENT, WITHHELD, Packets
from recorder.simulator.scenario import CallPlan

Rows = npt.NDArray[np.intp]
Numbers = npt.NDArray[np.int64]

PACKET_OCTETS: Final = 12 + FRAME_SAMPLES
_WIRE: Final = np.dtype(
    [
        ("first", "u1"),  # version 2, no padding, extension or CSRC
        ("type", "u1"),  # marker and payload type
        ("sequence", ">u2"),
        ("timestamp", ">u4"),
        ("ssrc", ">u4"),
        ("payload", f"V{FRAME_SAMPLES}"),
    ]
)
_VERSION: Final = 0x80
_MARKER: Final = 0x80
_FIRST_ROWS: Final = 64


class StreamTable:
    """One row per stream; rows are only ever added."""

    def __init__(self, conversation: Conversation) -> None:
        self.count = 0
        integer = np.int64
        self.call: Numbers = np.zeros(_FIRST_ROWS, integer)
        self.stream: Numbers = np.zeros(_FIRST_ROWS, integer)
        self.base: Numbers = np.zeros(_FIRST_ROWS, integer)
        """Where the stream's schedule begins in `first` and `second`."""
        self.slots: Numbers = np.zeros(_FIRST_ROWS, integer)
        self.start_tick: Numbers = np.zeros(_FIRST_ROWS, integer)
        self.ssrc: Numbers = np.zeros(_FIRST_ROWS, integer)
        self.sequence: Numbers = np.zeros(_FIRST_ROWS, integer)
        self.timestamp: Numbers = np.zeros(_FIRST_ROWS, integer)
        self.speech: Numbers = np.zeros(_FIRST_ROWS, integer)
        self.party: Numbers = np.zeros(_FIRST_ROWS, integer)
        self.destination: Numbers = np.zeros(_FIRST_ROWS, integer)
        self.packets: Numbers = np.zeros(_FIRST_ROWS, integer)
        """Sent so far, for the sender reports."""
        self.marks: Numbers = np.zeros(_FIRST_ROWS, integer)
        """Journal flags that apply to what is sent now: PAUSED, DOUBTFUL."""
        self.muted: npt.NDArray[np.bool_] = np.zeros(_FIRST_ROWS, np.bool_)
        self.first: npt.NDArray[np.int32] = np.zeros(1 << 14, np.int32)
        self.second: npt.NDArray[np.int32] = np.zeros(1 << 14, np.int32)
        """Schedules of all streams, one behind the other."""
        self._scheduled = 0
        self._samples = conversation.samples
        speech = np.concatenate(conversation.parties)
        self._party_length = len(conversation.parties[0])
        # Every frame of the conversation by its offset, without copying it: a frame is one opaque value.
        self._frames: npt.NDArray[np.void] = np.ndarray(
            shape=(len(speech) - FRAME_SAMPLES + 1,), dtype=f"V{FRAME_SAMPLES}", buffer=speech.data, strides=(1,)
        )
        self._type = conversation.law.payload_type

    def add(self, plan: CallPlan, stream: int, start_tick: int) -> int:
        """Add one stream of a call; return its row."""
        planned = plan.streams[stream]
        row = self.count
        if row == len(self.call):
            for name, column in list(self._columns()):
                setattr(self, name, np.concatenate([column, np.zeros_like(column)]))
        self.count += 1
        self.call[row], self.stream[row] = plan.index, stream
        self.base[row], self.slots[row] = self._add_schedule(plan, stream), planned.schedule.slots
        self.start_tick[row] = start_tick
        self.ssrc[row], self.sequence[row] = planned.ssrc, planned.first_sequence
        self.timestamp[row], self.speech[row] = planned.first_timestamp, planned.speech_offset
        self.party[row] = planned.party
        return row

    def entries(self, rows: Rows, packets: npt.NDArray[np.int32], mark: int | Numbers) -> Packets:
        """Return the journal rows of one packet of each stream; those to be sent have the flag `SENT` already."""
        entries = np.zeros(len(rows), PACKET_DTYPE)
        numbers = packets.astype(np.int64)
        samples = numbers * FRAME_SAMPLES
        entries["call"], entries["stream"] = self.call[rows], self.stream[rows]
        entries["destination"] = self.destination[rows]
        entries["packet"] = numbers
        entries["sequence"] = (self.sequence[rows] + numbers) & 0xFFFF
        entries["timestamp"] = (self.timestamp[rows] + samples) & 0xFFFFFFFF
        entries["speech"] = (self.speech[rows] + samples) % self._samples
        flags = self.marks[rows] | mark
        sending = ~self.muted[rows] & (flags & WITHHELD == 0)
        entries["flags"] = flags | np.where(sending, SENT, 0)
        return entries

    def wire(self, rows: Rows, entries: Packets) -> npt.NDArray[np.void]:
        """Return the RTP packets of these journal rows, in the form they have on the wire."""
        content = np.empty(len(rows), _WIRE)
        content["first"] = _VERSION
        content["type"] = self._type | np.where(entries["packet"] == 0, _MARKER, 0)
        content["sequence"], content["timestamp"] = entries["sequence"], entries["timestamp"]
        content["ssrc"] = self.ssrc[rows]
        content["payload"] = self._frames[self.party[rows] * self._party_length + entries["speech"]]
        return content

    def set_marks(self, rows: list[int], *, paused: bool, muted: bool, doubtful: bool) -> None:
        """Say how packets of these rows are sent and journalled from now on."""
        self.marks[rows] = (PAUSED if paused else 0) | (DOUBTFUL if doubtful else 0)
        self.muted[rows] = muted

    def _columns(self) -> Iterator[tuple[str, npt.NDArray[np.generic]]]:
        for name, column in vars(self).items():
            if isinstance(column, np.ndarray) and not name.startswith("_") and name not in {"first", "second"}:
                yield name, column

    def _add_schedule(self, plan: CallPlan, stream: int) -> int:
        schedule = plan.streams[stream].schedule
        base, end = self._scheduled, self._scheduled + schedule.slots
        if end > len(self.first):
            room = max(end, 2 * len(self.first)) - len(self.first)
            self.first = np.concatenate([self.first, np.zeros(room, np.int32)])
            self.second = np.concatenate([self.second, np.zeros(room, np.int32)])
        self.first[base:end], self.second[base:end] = schedule.first, schedule.second
        self._scheduled = end
        return base
