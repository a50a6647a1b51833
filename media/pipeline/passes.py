"""The packets of a recording for both passes of finalising: read, located and put in order once where they fit.

Only a long recording is read a second time, so that memory stays constant whatever its length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from media.container import Capture
from media.pipeline.flow import Demultiplexer, FlowPackets
from media.pipeline.intake import Intake
from media.pipeline.packets import Packets
from media.pipeline.stream_table import StreamTable
from media.rtp.reported_clock import ReportedClock

KEPT_BYTES: Final = 32 << 20
"""Of packets and their index: about twenty minutes of a two-party G.711 call. Most calls end before."""


class Passes:
    """What each slice of the captures adds to each flow, in the same order in both passes.

    Args:
        captures: in order of their opening.
        table: of the same captures.
        reports: sender reports of the same captures, by stream and SSRC.
        kept_bytes: most that is kept of the first pass for the second one.

    """

    def __init__(
        self,
        captures: Sequence[Capture],
        table: StreamTable,
        reports: Mapping[tuple[int, int], ReportedClock],
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._captures = captures
        self._table = table
        self._reports = reports
        self._room = kept_bytes
        self._kept: list[tuple[int, FlowPackets]] | None = []
        self.intake = Intake(captures, table)
        self.flows = Demultiplexer(table, reports)

    def first(self) -> Iterator[tuple[int, FlowPackets]]:
        """Yield what each slice adds to each flow, with the number of the slice."""
        for number, given in _read(self.intake, self.flows):
            self._keep(number, given)
            yield number, given

    def second(self) -> Iterator[tuple[int, FlowPackets]]:
        """Yield the same once more; `arrived` may be left out."""
        if self._kept is None:
            return _read(Intake(self._captures, self._table), Demultiplexer(self._table, self._reports))
        return iter(self._kept)

    def _keep(self, number: int, given: FlowPackets) -> None:
        if self._kept is None:
            return
        # The octets of a slice are shared by its flows and counted for each of them: the bound errs on the safe side.
        self._room -= given.ordered.index.nbytes + given.ordered.octets.nbytes
        if self._room < 0:
            self._kept = None
        else:
            bare = FlowPackets(given.key, Packets.none(), given.ordered, given.overdue, given.late[:0])
            self._kept.append((number, bare))


def _read(intake: Intake, flows: Demultiplexer) -> Iterator[tuple[int, FlowPackets]]:
    for number, (packets, last) in enumerate(intake.slices()):
        for given in flows.feed(packets, last=last):
            yield number, given
