"""Give each event of the user agent to its flow: one at a time per dialog, dialogs side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Protocol

import structlog

from recorder.frontend.changes import MediaChanges
from recorder.frontend.ending import SessionEnding
from recorder.frontend.frontend import Frontend
from recorder.frontend.moving import MediaMoves
from recorder.frontend.options import answer_info, answer_options
from recorder.frontend.setup import SessionSetup
from recorder.ha.replica import Unanswered
from signaling.errors import LostError, SignalingError
from signaling.useragent import (
    AckReceived,
    AckTimedOut,
    ByeReceived,
    CheckpointAdvised,
    DialogDoubted,
    Event,
    InfoReceived,
    InviteReceived,
    MessageDiscarded,
    OptionsReceived,
    RefreshDue,
    ReinviteReceived,
    RequestTimedOut,
    ResponseReceived,
    RetryDue,
    SessionExpired,
    Traced,
    UpdateReceived,
)
from storage.errors import StaleEpoch

_log = structlog.get_logger()


class Successors(Protocol):
    """Whoever goes on when this process dies over a request that nobody repeats."""

    def asked(self, request: Unanswered) -> None:
        """Tell them of it."""

    def answered(self, request_id: str) -> None:
        """Tell them that it is answered."""


class Dispatcher:
    """Runs the flows in the given task group."""

    def __init__(self, frontend: Frontend, group: asyncio.TaskGroup, successors: Successors) -> None:
        self._frontend = frontend
        self._group = group
        self._successors = successors
        self._last: dict[str, asyncio.Task[None]] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self.setup = SessionSetup(frontend)
        self.ending = SessionEnding(frontend)
        self.moves = MediaMoves(frontend, self.run_later)
        self.changes = MediaChanges(frontend, self.moves)

    def deliver(self, events: Sequence[Event]) -> None:
        """Start what each event asks for; returns at once."""
        for event in events:
            match event:
                case Traced():
                    self._frontend.tracer.take(event)
                case InviteReceived():
                    self._tell_successors(event)
                    self.run(event.dialog_id, self.setup.invite(event), request_id=event.request_id)
                case AckReceived():
                    # Most ACKs change nothing, and every call has one: no task for them.
                    if self._under_way(event.dialog_id) or self.changes.awaits_ack(event.dialog_id):
                        self.run(event.dialog_id, self.changes.ack(event))
                case ReinviteReceived():
                    self._tell_successors(event)
                    self.run(event.dialog_id, self.changes.change(event), request_id=event.request_id)
                case UpdateReceived():
                    self.run(event.dialog_id, self.changes.change(event), request_id=event.request_id)
                case ByeReceived():
                    self.run(event.dialog_id, self.ending.bye(event), request_id=event.request_id)
                case AckTimedOut() | DialogDoubted() | SessionExpired():
                    self.run(event.dialog_id, self.ending.doubted(event))
                case CheckpointAdvised():
                    self.run(event.dialog_id, self.changes.checkpoint(event.dialog_id))
                case RefreshDue():
                    self.run(event.dialog_id, self.changes.refresh(event))
                case ResponseReceived():
                    self.run(event.dialog_id, self.moves.answered(event))
                case RequestTimedOut():
                    self.run(event.dialog_id, self.moves.timed_out(event))
                case RetryDue():
                    self.run(event.dialog_id, self.moves.retry_offer(event.dialog_id))
                case OptionsReceived():
                    answer_options(self._frontend, event)
                case InfoReceived():
                    answer_info(self._frontend, event)
                case MessageDiscarded():
                    _log.warning(
                        "message not processed", peer=str(event.flow.remote), reason=event.reason, detail=event.detail
                    )
                case _:
                    # Progress that asks for nothing: refreshes, ended dialogs. A set-up
                    # that was cancelled finds out when it sends.
                    _log.debug("event", event_type=type(event).__name__)

    def _tell_successors(self, event: InviteReceived | ReinviteReceived) -> None:
        # A connection dies with this process, and its client knows; what is no INVITE is repeated.
        if not event.flow.reliable:
            flow = event.flow
            self._successors.asked(
                Unanswered(request_id=event.request_id, data=event.data, local=flow.local, remote=flow.remote)
            )

    async def settle(self) -> None:
        """Start no delayed flow any more, and wait until none is under way."""
        for timer in self._timers:
            timer.cancel()
        while self._last:
            await asyncio.wait(list(self._last.values()))

    def run(self, dialog_id: str, flow: Coroutine[Any, Any, None], *, request_id: str = "") -> None:
        """Run a flow after those of the same dialog that are under way.

        Args:
            dialog_id: the dialog whose turn it is.
            flow: what to do.
            request_id: the request that the flow answers; when the flow fails it is answered 500, because silence is
                never an answer.

        """
        before = self._under_way(dialog_id)
        whole = self._after(before, flow, dialog_id, request_id)
        try:
            task = self._group.create_task(whole)
        except RuntimeError:
            # The group is ending, because the lease is lost: a timer or message that was due already starts nothing.
            whole.close()
            flow.close()
            return
        self._last[dialog_id] = task
        task.add_done_callback(lambda done: self._forget(dialog_id, done))

    def _under_way(self, dialog_id: str) -> asyncio.Task[None] | None:
        """Return the latest flow of a dialog that is not over; its end is known before the loop has told us of it."""
        last = self._last.get(dialog_id)
        return None if last is None or last.done() else last

    def run_later(self, delay_s: float, dialog_id: str, flow: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a flow of a dialog after a delay; forgotten when this process ends before."""

        def due() -> None:
            self._timers.discard(timer)
            self.run(dialog_id, flow())

        timer = asyncio.get_running_loop().call_later(delay_s, due)
        self._timers.add(timer)

    async def _after(
        self, before: asyncio.Task[None] | None, flow: Coroutine[Any, Any, None], dialog_id: str, request_id: str
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await flow
        except StaleEpoch:
            # Another frontend is active: whatever this process would still say is wrong.
            raise
        except LostError as error:
            # The request was cancelled, or its dialog ended, while we worked on it: nobody waits for an answer.
            _log.info("request is over", dialog_id=dialog_id, reason=str(error))
        except Exception:
            # One session's fault is that session's alone; the process and all others go on.
            _log.exception("flow failed", dialog_id=dialog_id)
            if request_id:
                with suppress(SignalingError):
                    self._frontend.agent.respond(request_id, 500, now=self._frontend.clock())
                    self._frontend.transport.flush()
        if request_id:
            self._successors.answered(request_id)

    def _forget(self, dialog_id: str, task: asyncio.Task[None]) -> None:
        if self._last.get(dialog_id) is task:
            del self._last[dialog_id]
