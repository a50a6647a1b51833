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
from dataclasses import dataclass
from typing import Final, Literal

from recorder.simulator.call_run import CallRun
from recorder.simulator.conversation import load_conversation
from recorder.simulator.dialog import Address, Station
from recorder.simulator.journal import Journal, Note, SipTrace
from recorder.simulator.network import SipNetwork
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

    transport: Literal["udp", "tcp"]
    host: str
    """An IP address."""
    port: int

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
        plan: from `scenario.plan_calls`; all calls of one companding law.
        target: the recorder, or a proxy before it.
        options: how.
        moments: actions at fixed times; an exception in one ends the run.
        observe: called on the event loop with each note as it is written.

    """
    law = plan[0].law
    conversation = load_conversation(law)
    journal = Journal(law, conversation.digest)
    loop = asyncio.get_running_loop()
    calls: dict[int, CallRun] = {}
    by_call_id: dict[str, CallRun] = {}

    def deliver(data: bytes, source: Address) -> None:
        _deliver(journal, network, by_call_id, data, source)

    def lost(address: Address) -> None:
        for call in list(calls.values()):
            call.connection_lost(address)

    def done(index: int) -> None:
        loop.call_soon_threadsafe(calls[index].media_done)

    network = SipNetwork(target.transport, options.local_host or target.local_host, deliver, lost)
    async with network:
        with RtpSender(journal, conversation, done) as sender:
            station = Station(*network.address, target.transport, options.resource_manager)
            limit = asyncio.Semaphore(options.concurrency or len(plan))

            async def place(call: CallPlan) -> CallOutcome:
                await asyncio.sleep(call.start_after_s)
                async with limit:
                    run = CallRun(
                        call,
                        station,
                        (target.host, target.port),
                        journal=journal,
                        sender=sender,
                        send=network.send,
                        observe=observe,
                        token=lambda: secrets.token_hex(16),
                        timers=options.timers,
                        session_expires_s=options.session_expires_s,
                        leak_while_paused=options.leak_while_paused,
                    )
                    calls[call.index] = by_call_id[run.call_id] = run
                    status, detail = await run.run()
                    return CallOutcome(call.index, call.record_identifier, status == 200, status, detail)

            async with asyncio.TaskGroup() as group:
                acting = [group.create_task(_act(moment)) for moment in moments]
                placed = [group.create_task(place(call)) for call in plan]
                await asyncio.wait(placed)
                for task in acting:
                    task.cancel()
            await asyncio.sleep(_LINGER_S)
            figures = sender.figures
        for call in calls.values():
            call.close()
    return RunOutcome(journal, tuple(task.result() for task in placed), figures)


async def _act(moment: Moment) -> None:
    await asyncio.sleep(moment.at_s)
    await moment.action()


def _deliver(journal: Journal, network: SipNetwork, calls: dict[str, CallRun], data: bytes, source: Address) -> None:
    """Give a message to its call; answer what belongs to none."""
    try:
        message: Request | Response = parse_message(data)
    except SipSyntaxError as error:
        journal.notes.append(Note(time.time_ns(), -1, "malformed", str(error)))
        return
    call = calls.get(message.call_id)
    text = data.decode("utf-8", "surrogateescape")
    index = call.plan.index if call else -1
    journal.sip.append(SipTrace(time.time_ns(), index, False, format_hostport(*source), text))
    if call is not None:
        call.receive(message, source)
    elif isinstance(message, Request) and message.method != "ACK":
        status = 200 if message.method == "OPTIONS" else 481
        network.send(build_response(message, status, to_tag="simulator").encode(), source)
