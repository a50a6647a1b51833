"""Keeps the kernel's filters on the SIP sockets as the allow lists, and the floods of the moment, ask for."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from recorder.edge.kernel_filter import FilterTooLongError, attach, compile_filter, detach
from recorder.edge.networks import Address, Network, parse

_log = structlog.get_logger()

SHUNNED_S: Final = 5.0
"""For so long a flood is left to the kernel; then it is let through to see whether it goes on."""
MAX_SHUNNED: Final = 64
"""Sources shunned at the same time; twelve instructions of 4,096 each."""


class Shield:
    """The filters of some sockets, which share an allow list.

    Where the system refuses filters, nothing here has an effect, and the gate decides alone.

    Args:
        listening: UDP sockets and listening TCP sockets.
        allow: networks that may send.

    """

    def __init__(self, listening: Iterable[socket.socket], allow: Sequence[Network]) -> None:
        self._sockets = tuple(listening)
        self._allow = tuple(allow)
        self._everybody = {one.version for one in allow if one.prefixlen == 0} == {4, 6}
        self._shunned: dict[Address, float] = {}
        """Source to the monotonic seconds at which it is let through again."""

    @property
    def shunned(self) -> list[str]:
        """Sources that are shunned now."""
        return [str(address) for address in self._shunned]

    def raise_up(self) -> None:
        """Put the filter in place; whatever an earlier process put there is gone."""
        try:
            for sock in self._sockets:
                if self._everybody and not self._shunned:
                    detach(sock)
                    continue
                datagrams = sock.type is socket.SOCK_DGRAM
                attach(sock, compile_filter(self._allow, self._shunned, datagrams=datagrams))
        except (OSError, FilterTooLongError) as error:
            _log.warning("the kernel does not filter for us; the frontend does", reason=str(error))

    def update(self, floods: Iterable[str], now: float) -> None:
        """Shun these sources from now on, and let go of those whose time is over; `now` is monotonic seconds."""
        before = set(self._shunned)
        self._shunned = {address: until for address, until in self._shunned.items() if until > now}
        for source in floods:
            address = parse(source)
            if address is not None and len(self._shunned) < MAX_SHUNNED:
                self._shunned[address] = now + SHUNNED_S
        if set(self._shunned) != before:
            for address in self._shunned.keys() - before:
                _log.warning("flood: the kernel drops what this source sends outside of dialogs", peer=str(address))
            self.raise_up()
