"""Runs planned calls against a recorder: SIP on the event loop, RTP from its own thread, everything in the journal.

The library form of `recorder simulate`; chaos tests call `run_calls` with moments at which they act. Does not look at
recordings; that is `verification`.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from recorder.edge.masking import without_secrets
from recorder.simulator.call_run import CallRun
from recorder.simulator.conversation import load_conversation
from recorder.simulator.dialog import Address, Station, TransportName
from recorder.simulator.journal import Journal, Note, SipTrace
from recorder.simulator.network import SipNetwork, TlsSide
from recorder.simulator.rtp_sender import RtpSender, SenderFigures
from recorder.simulator.scenario import CallPlan
from signaling.errors import SipSyntaxError
from signaling.sip import Request, Response, build_response, parse_message
from signaling.sip.uri import format_hostport
from signaling.transaction import Timers

_TIMERS: Final = Timers()
_LINGER_S: Final = 0.3
"""Seconds in which late retransmissions are still answered after the last call."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the calls go."""

    transport: TransportName
    host: str
    """An IP address."""
    port: int
    name: str = field(default="", compare=False)
    """What the user called the host; a TLS certificate has to be good for it."""

    def __str__(self) -> str:
        return f"{self.transport}:{format_hostport(self.host, self.port)}"

    @property
    def local_host(self) -> str:
        """Address of ours that routes to the target."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((self.host, self.port or 9))
            return str(probe.getsockname()[0])


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How the calls are placed."""

    concurrency: int = 0
    """Calls at a time; 0 sets no limit."""
    resource_manager: bool = False
    """Stand a Genesys Resource Manager in front: two Via, Record-Route, X-Genesys header fields."""
    leak_while_paused: bool = False
    """Go on sending RTP during a pause: none of it may be recorded."""
    session_expires_s: int = 1800
    local_host: str = ""
    """Empty: the address that routes to the target."""
    timers: Timers = _TIMERS
    tls: TlsSide | None = None
    """Needed for a target by TLS."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something to do while calls run."""

    at_s: float
    """Seconds after the start of the run."""
    action: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How one call went, as far as the caller saw it."""

    call: int
    record_identifier: str
    completed: bool
    """It was answered, had its media sent, and was ended by our BYE."""
    status: int
    """SIP status of what went wrong; 200 if nothing did."""
    detail: str


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """A finished run."""

    journal: Journal
    calls: tuple[CallOutcome, ...]
    sender: SenderFigures


class _Run:
    """What the calls of a run share; gives each message, broken connection and finished stream to its call."""

    def __init__(
        self, plan: Sequence[CallPlan], target: Target, options: RunOptions, observe: Callable[[Note], None] | None
    ) -> None:
        conversation = load_conversation(plan[0].law)
        self.journal = Journal(conversation.law, conversation.digest)
        self.network = SipNetwork(
            target.transport, options.local_host or target.local_host, self._deliver, self._lost, options.tls
        )
        self.sender = RtpSender(self.journal, conversation, self._media_done)
        self._target = target
        self._options = options
        self._observe = observe
        self._limit = asyncio.Semaphore(options.concurrency or len(plan))
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, CallRun] = {}
        self._by_call_id: dict[str, CallRun] = {}

    async def place(self, plan: CallPlan) -> CallOutcome:
        """Run one call when its time has come."""
        await asyncio.sleep(plan.start_after_s)
        async with self._limit:
            call = CallRun(
                plan,
                Station(*self.network.address, self._target.transport, self._options.resource_manager),
                (self._target.host, self._target.port),
                journal=self.journal,
                sender=self.sender,
                send=self.network.send,
                observe=self._observe,
                token=lambda: secrets.token_hex(16),
                timers=self._options.timers,
                session_expires_s=self._options.session_expires_s,
                leak_while_paused=self._options.leak_while_paused,
            )
            self._calls[plan.index] = self._by_call_id[call.call_id] = call
            status, detail = await call.run()
            return CallOutcome(plan.index, plan.record_identifier, status == 200, status, detail)

    def close(self) -> None:
        """Answer no more retransmissions."""
        for call in self._calls.values():
            call.close()

    def _deliver(self, data: bytes, source: Address) -> None:
        """Give a message to its call; answer what belongs to none."""
        try:
            message: Request | Response = parse_message(data)
        except SipSyntaxError as error:
            self.journal.notes.append(Note(time.time_ns(), -1, "malformed", str(error)))
            return
        call = self._by_call_id.get(message.call_id)
        text = without_secrets(data).decode("utf-8", "surrogateescape")
        index = call.plan.index if call else -1
        self.journal.sip.append(SipTrace(time.time_ns(), index, False, format_hostport(*source), text))
        if call is not None:
            call.receive(message, source)
        elif isinstance(message, Request) and message.method != "ACK":
            status = 200 if message.method == "OPTIONS" else 481
            self.network.send(build_response(message, status, to_tag="simulator").encode(), source)

    def _lost(self, address: Address) -> None:
        for call in list(self._calls.values()):
            call.connection_lost(address)

    def _media_done(self, index: int) -> None:
        """Take the word of the sending thread to the event loop."""
        self._loop.call_soon_threadsafe(self._calls[index].media_done)


async def run_calls(
    plan: Sequence[CallPlan],
    target: Target,
    *,
    options: RunOptions = RunOptions(),
    moments: Sequence[Moment] = (),
    observe: Callable[[Note], None] | None = None,
) -> RunOutcome:
    """Place all calls and wait until the last one is over.

    Args:
        plan: from `scenario.plan_calls`; at least one call, all of one companding law.
        target: the recorder, or a proxy before it.
        options: how.
        moments: actions at fixed times; an exception in one ends the run.
        observe: called on the event loop with each note as it is written.

    """
    run = _Run(plan, target, options, observe)
    async with run.network:
        with run.sender:
            async with asyncio.TaskGroup() as group:
                acting = [group.create_task(_act(moment)) for moment in moments]
                placed = [group.create_task(run.place(call)) for call in plan]
                await asyncio.wait(placed)
                for task in acting:
                    task.cancel()
            await asyncio.sleep(_LINGER_S)
            figures = run.sender.figures
        run.close()
    return RunOutcome(run.journal, tuple(task.result() for task in placed), figures)


async def _act(moment: Moment) -> None:
    await asyncio.sleep(moment.at_s)
    await moment.action()
