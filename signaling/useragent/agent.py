"""The recorder's SIP user agent: the face of `signaling.useragent` towards the transaction user and the transport.

Sans-IO: feed it messages, commands and the time; then drain `outgoing()` and `events()` and call `handle_timer` at
`deadline`. Every rule lives in the modules of the RFC's sections; this one only puts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from signaling.dialog.flow import Flow
from signaling.dialog.state import DialogState
from signaling.errors import LostError, SipSyntaxError
from signaling.sip import Request, parse_message
from signaling.transaction import Timers
from signaling.useragent.answering import Wording, commit, prepare
from signaling.useragent.challenges import Logins
from signaling.useragent.closing import close_dialog
from signaling.useragent.concluding import conclude_silence, fail_transport, receive_response, run_due
from signaling.useragent.core import Core, DialogEntry, Hooks, Outgoing
from signaling.useragent.events import Event
from signaling.useragent.exchange import Draft
from signaling.useragent.identity import Identity, Limits
from signaling.useragent.offers import SDP
from signaling.useragent.prepared import Prepared, PreparedRequest
from signaling.useragent.refreshing import conclude_refresh, refresh, serve_session
from signaling.useragent.repetition import absorb
from signaling.useragent.requesting import note_carrier, prepare_request, send_request
from signaling.useragent.return_path import response_path
from signaling.useragent.takeover import restore
from signaling.useragent.uas import receive_request, refuse_malformed

Headers = Sequence[tuple[str, str]]
_BLANK: Final = b"\r\n\x00 "


class UserAgent:
    """UAS and in-dialog UAC of the recorder (RFC 3261 §8, §9, §11 to §15).

    Not thread-safe. After every call drain `outgoing()` and `events()` and re-arm one timer from `deadline`.

    Args:
        identity: who we are on the wire.
        timers: T1, T2 and T4 in seconds.
        token: returns a fresh random token of at least 64 bits each time; letters and digits only.
        limits: what is taken on before requests get 503.
        uniform: returns a fresh random number in [0, 1); made from `token` if None.
        trace: emit a `Traced` event for each message.
        logins: what challenges to our own requests are answered with (RFC 3261 §22); by default they are refusals.

    """

    def __init__(
        self,
        identity: Identity,
        *,
        timers: Timers = Timers(),  # noqa: B008 - frozen
        token: Callable[[], str],
        limits: Limits = Limits(),  # noqa: B008 - frozen
        uniform: Callable[[], float] | None = None,
        trace: bool = False,
        logins: Logins | None = None,
    ) -> None:
        self._core = core = Core(identity, timers=timers, token=token, limits=limits, uniform=uniform, logins=logins)
        core.tracing = trace
        core.hooks = Hooks(
            session_due=partial(serve_session, core),
            client_due=partial(run_due, core),
            client_silent=partial(conclude_silence, core),
            refresh_answered=partial(conclude_refresh, core),
            refresh_again=partial(refresh, core),
        )

    # --- what the transport calls -----------------------------------------------------------------------------------

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one datagram, or one message cut out of a stream.

        Never raises for what is in `data`: what cannot be used is answered if it can be, and reported as discarded.
        """
        if not absorb(self._core, data, flow, now):
            self.take(data, flow, now)

    def take(self, data: bytes, flow: Flow, now: float) -> None:
        """Take a message that is not the repetition of one that was let in; see `receive`, which calls this."""
        core = self._core
        if flow.reliable:
            core.open_flows.add(flow)
        if not data[:1].strip(_BLANK) and not data.strip(_BLANK):
            return  # a keep-alive (RFC 5626 §4.4, and the NUL bytes that some peers send instead)
        core.traced_dialog, core.received = None, data
        position = core.pending_events()
        try:
            message = parse_message(data)
        except SipSyntaxError as error:
            refuse_malformed(core, error, flow)
        else:
            try:
                if isinstance(message, Request):
                    receive_request(core, message, flow, now)
                else:
                    receive_response(core, message, flow, now)
            except SipSyntaxError as error:
                core.discard(flow, error.reason, error.header)
        if core.tracing:
            core.trace_arrival(position, flow, data)

    def refuse(self, error: SipSyntaxError, flow: Flow) -> None:
        """Answer, if possible, what made a stream unreadable (`StreamFramer.error`); then close the connection."""
        self._core.open_flows.add(flow)
        refuse_malformed(self._core, error, flow)

    def flow_closed(self, flow: Flow, now: float) -> None:
        """Take note that a connection is gone. Dialogs stay; requests of ours that wait on it try the next way."""
        core = self._core
        core.open_flows.discard(flow)
        for request_id in sorted(core.client_by_flow.get(flow, ())):
            fail_transport(core, core.client_by_id[request_id], now)

    def carried(self, outgoing: Outgoing, flow: Flow) -> None:
        """Take note that a message to a `Destination` went by this connection."""
        core = self._core
        core.open_flows.add(flow)
        client = core.client_by_id.get(outgoing.request_id)
        if client is not None:
            note_carrier(core, client, flow)

    def undeliverable(self, outgoing: Outgoing, now: float) -> None:
        """Take note that a message could not be sent: try the next way, or give up (RFC 3261 §18.4)."""
        core = self._core
        if isinstance(outgoing.flow, Flow) and outgoing.flow.reliable:
            core.open_flows.discard(outgoing.flow)
        client = core.client_by_id.get(outgoing.request_id)
        if client is not None:
            if client.ack and outgoing.data == client.ack:
                return  # the peer repeats its 2xx, and then the ACK is sent again
            fail_transport(core, client, now)
            return
        server = core.server_by_id.get(outgoing.request_id)
        if server is None:
            return
        path = response_path(server.via, server.flow, is_open=core.is_open(server.flow))
        if isinstance(outgoing.flow, Flow) and path != outgoing.flow:
            core.transmit(outgoing.data, path, dialog_id=server.dialog_id, request_id=server.request_id)
        else:
            server.machine.transport_failed()
            server.machine.events()

    def handle_timer(self, now: float) -> None:
        """Do what is due at `now`; earlier calls do nothing."""
        queue = self._core.queue
        while (action := queue.pop_due(now)) is not None:
            action(now)

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds at which to call `handle_timer`, or None."""
        return self._core.queue.deadline

    def outgoing(self) -> list[Outgoing]:
        """Return and forget the messages to send."""
        return self._core.drain_writes()

    def events(self) -> list[Event]:
        """Return and forget what the transaction user must know."""
        return self._core.drain_events()

    # --- answers of the transaction user ----------------------------------------------------------------------------

    def prepare(
        self,
        request_id: str,
        status: int,
        *,
        reason: str | None = None,
        headers: Headers = (),
        body: bytes = b"",
        content_type: str | None = None,
        recording: bool | None = None,
    ) -> Prepared:
        """Build a response without changing anything; make `snapshot` durable, if there is one, and then `send`.

        Args:
            request_id: from the event.
            status: 101 to 699.
            reason: reason phrase; None for the usual one.
            headers: further header fields; they take precedence over ours of the same name.
            body: sent as it is.
            content_type: of the body.
            recording: put `+sip.srs` into Contact, now and for the rest of the dialog; None keeps what it is.

        Raises:
            LostError: the request is unknown or has been answered, for example by a CANCEL.
            LocalProtocolError: the protocol does not allow this response now.

        """
        wording = Wording(status, reason, tuple(headers), body, content_type, recording)
        return prepare(self._core, request_id, wording)

    def send(self, prepared: Prepared | PreparedRequest, now: float) -> bool:
        """Send what was prepared; False if something else came first and it must not be sent any more.

        That is a CANCEL, a BYE or an expiry for a response, and another request or the dialog's end for a request.
        """
        if isinstance(prepared, PreparedRequest):
            return send_request(self._core, prepared, now)
        return commit(self._core, prepared, now)

    def respond(
        self,
        request_id: str,
        status: int,
        *,
        now: float,
        reason: str | None = None,
        headers: Headers = (),
        body: bytes = b"",
        content_type: str | None = None,
        recording: bool | None = None,
    ) -> bool:
        """Prepare and send at once, where nothing has to be durable; raises and returns as these do."""
        wording = Wording(status, reason, tuple(headers), body, content_type, recording)
        return commit(self._core, prepare(self._core, request_id, wording), now)

    # --- requests of the transaction user ---------------------------------------------------------------------------

    def prepare_request(
        self, dialog_id: str, method: str, *, headers: Headers = (), body: bytes = b"", content_type: str | None = None
    ) -> PreparedRequest:
        """Build a request inside a dialog without changing anything; make `snapshot` durable and then `send`.

        Args:
            dialog_id: of a confirmed dialog.
            method: BYE, INVITE, UPDATE, OPTIONS or INFO.
            headers: further header fields.
            body: sent as it is.
            content_type: of the body.

        Raises:
            LostError: there is no such dialog.
            LocalProtocolError: the protocol does not allow the request now, for example because of glare.

        """
        return prepare_request(self._core, dialog_id, Draft(method, tuple(headers), body, content_type))

    def bye(self, dialog_id: str, now: float, *, headers: Headers = ()) -> str:
        """End the session; `DialogEnded` follows, whatever the peer says. Raises as `prepare_request`."""
        return self._request(self.prepare_request(dialog_id, "BYE", headers=headers), now)

    def reinvite(self, dialog_id: str, sdp: bytes, now: float, *, headers: Headers = ()) -> str:
        """Offer another session description; `ResponseReceived` or `RequestTimedOut` follows.

        Where the offer must survive a crash, use `prepare_request` and `send`. Raises as `prepare_request`.
        """
        prepared = self.prepare_request(dialog_id, "INVITE", headers=headers, body=sdp, content_type=SDP)
        return self._request(prepared, now)

    def update(
        self, dialog_id: str, body: bytes, content_type: str | None, now: float, *, headers: Headers = ()
    ) -> str:
        """Send an UPDATE (RFC 3311), with or without a body. Raises as `prepare_request`."""
        prepared = self.prepare_request(dialog_id, "UPDATE", headers=headers, body=body, content_type=content_type)
        return self._request(prepared, now)

    def options(self, dialog_id: str, now: float, *, headers: Headers = ()) -> str:
        """Ask the peer inside the dialog whether it is still there. Raises as `prepare_request`."""
        return self._request(self.prepare_request(dialog_id, "OPTIONS", headers=headers), now)

    def info(self, dialog_id: str, body: bytes, content_type: str | None, now: float, *, headers: Headers = ()) -> str:
        """Send an INFO. Raises as `prepare_request`."""
        prepared = self.prepare_request(dialog_id, "INFO", headers=headers, body=body, content_type=content_type)
        return self._request(prepared, now)

    # --- dialogs ----------------------------------------------------------------------------------------------------

    def dialogs(self) -> list[str]:
        """Return the identifiers of all established dialogs."""
        return self._core.dialogs.confirmed()

    def state(self, dialog_id: str) -> DialogState:
        """Return a copy of what the dialog is made of.

        Raises:
            LostError: there is no such dialog.

        """
        return self._entry(dialog_id).dialog.draft()

    def snapshot(self, dialog_id: str) -> bytes:
        """Return the dialog as it is now, for another process.

        Raises:
            LostError: there is no such dialog.

        """
        return self._entry(dialog_id).dialog.snapshot()

    def restore(self, snapshot: bytes, now: float, *, age: float = 0.0) -> str:
        """Take over a dialog of another process and return its identifier.

        Args:
            snapshot: what `snapshot`, `Prepared.snapshot` or `PreparedRequest.snapshot` was.
            now: monotonic seconds.
            age: seconds since it was stored, 0 if unknown. With it, answers that nobody asks for any more are not
                repeated.

        Raises:
            LocalProtocolError: the bytes are no snapshot that this version can read.

        """
        return restore(self._core, snapshot, now, age=age)

    def forget(self, dialog_id: str) -> None:
        """Drop a dialog without a word to the peer, for example because it answers 481; no event follows."""
        entry = self._core.dialogs.get(dialog_id)
        if entry is not None:
            close_dialog(self._core, entry, None)

    def _entry(self, dialog_id: str) -> DialogEntry:
        entry = self._core.dialogs.get(dialog_id)
        if entry is None:
            raise LostError("there is no such dialog")
        return entry

    def _request(self, prepared: PreparedRequest, now: float) -> str:
        send_request(self._core, prepared, now)  # nothing can have come between
        return prepared.request_id
