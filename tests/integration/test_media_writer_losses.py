"""What a writer says of packets that are missing: lost on the way, dropped by the kernel, late."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from media.container import Drops
from media.pipeline import render
from tests.integration.media_writer_kit import Sender, capture_at, new_session, packets_of, running_writer, stream

pytestmark = pytest.mark.integration


def test_kernel_drops_are_counted_and_declared(tmp_path: Path, senders: Callable[..., Sender]) -> None:
    with running_writer(tmp_path, ports=1, receive_buffer=4096) as writer:
        frontend = writer.frontend()
        session = new_session()
        opened = frontend.open(session, stream())
        sender = senders()
        assert writer.process is not None
        writer.process.send_signal(signal.SIGSTOP)
        sender.send(opened.ports[0], *range(100))
        writer.process.send_signal(signal.SIGCONT)
        closed = frontend.close_session(session)
        capture = capture_at(closed.capture_path)
        kept = packets_of(capture)
        report = closed.streams[0]
        assert report.kernel_drops > 0
        assert len(kept) + report.kernel_drops == 100
        assert kept == sender.sent[: len(kept)]
        told = [event for event in capture.events if isinstance(event, Drops)]
        assert sum(event.packets for event in told) == report.kernel_drops
        frontend.disconnect()


def test_lost_on_the_way_dropped_by_the_kernel_and_late_are_told_apart(
    tmp_path: Path, senders: Callable[..., Sender]
) -> None:
    with running_writer(tmp_path, ports=1, receive_buffer=4096) as writer:
        frontend = writer.frontend()
        session = new_session()
        opened = frontend.open(session, stream())
        sender = senders()
        # The buffer holds only a few.
        arriving = [*range(10), *range(15, 30), 31, 30, *range(32, 40)]
        for start in range(0, len(arriving), 4):
            sender.send(opened.ports[0], *arriving[start : start + 4])
            frontend.until_packets(len(sender.sent))
        assert writer.process is not None
        writer.process.send_signal(signal.SIGSTOP)
        sender.send(opened.ports[0], *range(40, 90))
        writer.process.send_signal(signal.SIGCONT)
        frontend.until_packets(len(arriving) + 1)
        sender.send(opened.ports[0], *range(90, 93))
        closed = frontend.close_session(session)
        dropped = closed.streams[0].kernel_drops
        assert 0 < dropped < 50
        rendering = render([Path(closed.capture_path)], tmp_path / "out.wav")
        (quality,) = rendering.streams
        assert (quality.lost, quality.late) == (5 + dropped, 1)
        assert [(gap.start_frame, gap.frames, str(gap.cause)) for gap in rendering.gaps] == [
            (1600, 800, "network"),
            ((90 - dropped) * 160, dropped * 160, "kernel-drop"),
        ]
        frontend.disconnect()
