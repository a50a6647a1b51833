"""One call in real time: drives its `Caller`, tells the RTP sender what to do, notes what happened."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from media.srtp import SUITES, Context
from recorder.edge.masking import without_secrets
from recorder.simulator.call_events import (
    Answered,
    CallEvent,
    MediaChanged,
    Observed,
    Over,
    PauseAgreed,
    Purpose,
    Refused,
)
from recorder.simulator.caller import Caller
from recorder.simulator.dialog import Address, Station, Token
from recorder.simulator.journal import CallFacts, Journal, Note, SipTrace
from recorder.simulator.media_ports import NoPortsError, PortPair, open_ports
from recorder.simulator.rtp_sender import RtpSender
from recorder.simulator.scenario import CallPlan, Pause
from recorder.simulator.session_text import LocalMedia, StreamTarget
from signaling.errors import SignalingError
from signaling.sdp.crypto import Crypto, MasterKey
from signaling.sip import Request, Response
from signaling.sip.uri import format_hostport
from signaling.transaction import Timers

_OK: Final = 200
_NO_STATUS: Final = 0
_ENDED: Final = {"recorder": "ended by the recorder", "lost": "the dialog is lost", "refused": "refused"}
_AGREED: Final = "agreed"


class CallRun:
    """One call from INVITE to BYE.

    Args:
        plan: what it sends.
        station: where we are reached.
        recorder: address of the recorder.
        journal: gets messages and notes.
        sender: sends the media.
        send: sends a SIP message.
        observe: told every note.
        token: source of identifiers.
        timers: RFC 3261 table 4.
        session_expires_s: interval that we offer.
        leak_while_paused: go on sending during pauses.

    """

    def __init__(
        self,
        plan: CallPlan,
        station: Station,
        recorder: Address,
        *,
        journal: Journal,
        sender: RtpSender,
        send: Callable[[bytes, Address], None],
        observe: Callable[[Note], None] | None,
        token: Token,
        timers: Timers,
        session_expires_s: int,
        leak_while_paused: bool,
    ) -> None:
        self.plan = plan
        self._journal = journal
        self._sender = sender
        self._send = send
        self._observe = observe
        self._timers = timers
        self._leaking = leak_while_paused
        self._loop = asyncio.get_running_loop()
        self._ports: list[PortPair] = []
        self._places: list[Address] = []
        self._fault: tuple[int, str] | None = None
        self._failed: NoPortsError | None = None
        try:
            self._ports += [open_ports(station.host) for _ in plan.streams]
        except NoPortsError as error:
            self._failed = error
        crypto: tuple[Crypto, ...] = ()
        if plan.srtp:
            crypto = tuple(_fresh_key(plan.srtp) for _ in self._ports)
            self._ports = [_protected(pair, key) for pair, key in zip(self._ports, crypto, strict=True)]
        media = LocalMedia(station.host, tuple(pair.port for pair in self._ports), crypto)
        self._caller = Caller(
            plan, station, recorder, media, token=token, timers=timers, session_expires_s=session_expires_s
        )
        self._timer: asyncio.TimerHandle | None = None
        self._answered: asyncio.Future[str] = self._loop.create_future()
        self._media_done: asyncio.Future[str] = self._loop.create_future()
        self._over: asyncio.Future[str] = self._loop.create_future()
        """Results are causes; those of the first two are not looked at."""
        self._pause_answer: asyncio.Future[str] = self._loop.create_future()

    @property
    def call_id(self) -> str:
        """Call-ID of the dialog."""
        return self._caller.call_id

    def close(self) -> None:
        """Answer no more retransmissions."""
        if self._timer is not None:
            self._timer.cancel()

    # What happens to it.

    def receive(self, message: Request | Response, source: Address) -> None:
        """Take a message with this call's Call-ID."""
        try:
            self._caller.receive(message, source, self._loop.time())
        except SignalingError as error:  # a header field that nobody had looked at before
            self._note("malformed", str(error))
        self._flush()

    def connection_lost(self, address: Address) -> None:
        """Learn that the connection to an address broke, or could not be made."""
        self._caller.transport_failed(address, self._loop.time())
        self._flush()

    def media_done(self) -> None:
        """Learn that the last packet has left."""
        self._note("media-ended")
        if not self._media_done.done():
            self._media_done.set_result("")

    # Its course.

    async def run(self) -> tuple[int, str]:
        """Go through the call; return 200, or the status of what went wrong, and a text."""
        if self._failed is not None:
            self._note("failed", str(self._failed))
            return 503, str(self._failed)
        plan = self.plan
        self._journal.calls[plan.index] = CallFacts(
            call=plan.index,
            door=plan.door,
            record_identifier=plan.record_identifier,
            call_id=self.call_id,
            call_uuid=plan.call_uuid,
            ani=plan.ani,
            dnis=plan.dnis,
            dn=plan.dn,
            other_dn=plan.other_dn,
            copy_of=self.plan.copy_of,
            first_timestamps=tuple(stream.first_timestamp for stream in plan.streams),
        )
        try:
            self._command(self._caller.invite)
            await self._first(self._answered)
            if not self._over.done():
                await self._play()
                self._command(self._caller.hang_up)
                # Timer F, and as long again for reconnecting.
                await asyncio.wait([self._over], timeout=2 * self._timers.timeout)
        finally:
            self._sender.stop(plan.index)
            for pair in self._ports:
                pair.close()
        if self._fault is None and self._over.done() and self._over.result() != "bye":
            self._fault = (_NO_STATUS, _ENDED[self._over.result()])
        return self._fault or (_OK, "")

    async def _first(self, awaited: asyncio.Future[str]) -> None:
        """Wait for something, or for the end of the call."""
        await asyncio.wait([awaited, self._over], return_when=asyncio.FIRST_COMPLETED)

    async def _play(self) -> None:
        begin = self._loop.time()
        self._sender.start(self.plan, self._ports, self._usable(self._caller.targets))
        self._places = [(target.host, target.port) for target in self._caller.targets]
        self._note("media-started", self._names(self._caller.targets))
        for pause in self.plan.pauses:
            if await self._until(begin + pause.at_s):
                await self._pause(pause)
        await self._first(self._media_done)

    async def _until(self, moment: float) -> bool:
        """Sleep until `moment`; return whether media still runs then."""
        await asyncio.wait(
            [self._media_done, self._over],
            timeout=max(0.0, moment - self._loop.time()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        return not self._media_done.done() and not self._over.done()

    async def _pause(self, pause: Pause) -> None:
        """Pause by re-INVITE, and resume: what is sent while that is being agreed is in doubt."""
        call = self.plan.index
        self._note("pausing")
        # Without leaking, the last packet has left before the re-INVITE: nothing is in doubt.
        self._sender.set_pause(call, paused=not self._leaking, doubtful=self._leaking)
        agreed = await self._ask_for_pause(paused=True)
        self._sender.set_pause(call, paused=agreed, leaking=self._leaking)
        if not agreed:
            return
        self._note("paused")
        if await self._until(self._loop.time() + pause.for_s):
            self._note("resuming")
            self._sender.set_pause(call, paused=True, leaking=self._leaking, doubtful=self._leaking)
            if await self._ask_for_pause(paused=False):
                self._sender.set_pause(call, paused=False)
                self._note("resumed")

    async def _ask_for_pause(self, *, paused: bool) -> bool:
        self._pause_answer = self._loop.create_future()
        self._command(lambda now: self._caller.set_paused(paused, now))
        await asyncio.wait(
            [self._pause_answer, self._over], timeout=self._timers.timeout, return_when=asyncio.FIRST_COMPLETED
        )
        return self._pause_answer.done() and self._pause_answer.result() == _AGREED

    # The driver of the sans-IO caller.

    def _command(self, command: Callable[[float], None]) -> None:
        command(self._loop.time())
        self._flush()

    def _flush(self) -> None:
        """Send what is to be sent, then act on what happened, then set the one timer."""
        for data, to in self._caller.outgoing():
            text = without_secrets(data).decode("utf-8", "surrogateescape")
            self._journal.sip.append(SipTrace(time.time_ns(), self.plan.index, True, format_hostport(*to), text))
            self._send(data, to)
        for event in self._caller.events():
            self._handle(event)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._caller.deadline is not None:
            self._timer = self._loop.call_at(self._caller.deadline, self._fire)

    def _fire(self) -> None:
        self._caller.handle_timer(self._loop.time())
        self._flush()

    def _handle(self, event: CallEvent) -> None:
        match event:
            case Answered():
                self._note("answered")
                self._answered.set_result("")
            case MediaChanged(targets, method):
                self._sender.move(self.plan.index, self._usable(targets))
                places = [(target.host, target.port) for target in targets]
                self._note(
                    "media-moved" if places != self._places else "media-switched", f"{method}: {self._names(targets)}"
                )
                self._places = places
            case PauseAgreed():
                if not self._pause_answer.done():
                    self._pause_answer.set_result(_AGREED)
            case Refused(purpose, status, reason):
                self._note("refused", f"{purpose.value}: {status} {reason}")
                self._fault = self._fault or (status, f"{purpose.value}: {reason}")
                if purpose in {Purpose.PAUSE, Purpose.RESUME} and not self._pause_answer.done():
                    self._pause_answer.set_result(reason)
            case Observed(what, detail):
                self._note(what, detail)
            case Over(cause):
                self._note("ended", cause)
                self._sender.stop(self.plan.index)
                self._over.set_result(cause)

    def _usable(self, targets: tuple[StreamTarget, ...]) -> tuple[StreamTarget, ...]:
        """Mute targets that are not IP addresses: resolving names would stop the sender."""
        return tuple(
            replace(
                target, active=target.active and _is_address(target.host), port=target.port * _is_address(target.host)
            )
            for target in targets
        )

    @staticmethod
    def _names(targets: tuple[StreamTarget, ...]) -> str:
        return ", ".join(
            format_hostport(target.host, target.port) + ("" if target.active else " inactive") for target in targets
        )

    def _note(self, what: str, detail: str = "") -> None:
        note = Note(time.time_ns(), self.plan.index, what, detail)
        self._journal.notes.append(note)
        if self._observe is not None:
            self._observe(note)


def _fresh_key(suite: str) -> Crypto:
    return Crypto(1, suite, (MasterKey(secrets.token_bytes(SUITES[suite].key_salt_length)),))


def _protected(pair: PortPair, crypto: Crypto) -> PortPair:
    return replace(pair, protection=Context(crypto.suite, crypto.keys[0].key_salt, outbound=True))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
