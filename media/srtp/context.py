"""One master key in use: a libsrtp session with its replay lists and rollover counters (RFC 3711 §3.2).

The wheel's Python interface copies each packet twice and has no rollover counter, so libsrtp's own functions are
called: the wheel exports them. `open_rtp_at` is the one call that is made for each packet of the hot path.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from typing import Final

from pylibsrtp import _binding

from media.errors import LocalError, MediaError
from media.srtp.suites import SUITES

_ffi, _lib = _binding.ffi, _binding.lib
# PyDLL keeps the interpreter lock: these calls never block, and releasing it costs more than they do.
_library: Final = ctypes.PyDLL(_binding.__file__)

_OK: Final = 0
_ROOM: Final = 2048
"""Bytes of the longest packet; above any Ethernet frame."""
_TRAILER: Final = 64
"""Bytes that protection may add: tag, index."""
_WINDOW: Final = 1024
"""Packets in the replay list of a source (RFC 3711 §3.3.2: at least 64); 20 s of disorder cost 128 bytes."""


class Failure(enum.IntEnum):
    """libsrtp's reasons against a packet that are told apart; every other one is a packet that proves nothing."""

    NOT_AUTHENTIC = 7
    REPLAYED = 9
    TOO_OLD = 10


REPLAYED: Final = frozenset({int(Failure.REPLAYED), int(Failure.TOO_OLD)})

open_rtp_at: Final[Callable[[ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p], int]] = _library.srtp_unprotect
"""Check and decrypt one packet in place: handle of a context, address of the packet, address of its length (int32).

Returns 0 and the new length, or libsrtp's reason; the packet may then be spoiled (AEAD decrypts before it checks).
Arguments as prepared `c_void_p`, since declared types cost more per call.
"""


class SrtpError(MediaError):
    """libsrtp refused what should have worked."""


class Context:
    """One master key.

    Args:
        suite: name of a crypto-suite, a key of `SUITES`.
        key_salt: master key followed by master salt.
        outbound: protect what we send, instead of opening what comes in.

    Errors: `LocalError` for an unknown suite or a wrong length.

    A source (SSRC) begins with rollover counter 0 when its first packet is authentic (RFC 3711 §3.3.1), unless `expect`
    has said otherwise.

    """

    def __init__(self, suite: str, key_salt: bytes, *, outbound: bool = False) -> None:
        known = SUITES.get(suite)
        if known is None or len(key_salt) != known.key_salt_length:
            raise LocalError(f"crypto-suite {suite} is unknown, or its key has not the right length")
        self.suite = known
        self.key_salt = key_salt
        self._policy = _ffi.new("srtp_policy_t *")
        for part, setter in (("rtp", known.rtp), ("rtcp", known.rtcp)):
            place = int(_ffi.cast("uintptr_t", _ffi.addressof(self._policy[0], part)))
            getattr(_library, f"srtp_crypto_policy_set_{setter}")(ctypes.c_void_p(place))
        self._key = _ffi.new("unsigned char[]", key_salt)
        self._policy.key = self._key
        self._policy.window_size = _WINDOW
        # The same packet twice is no new use of its key stream.
        self._policy.allow_repeat_tx = outbound
        self._policy.ssrc.type = _lib.ssrc_any_outbound if outbound else _lib.ssrc_any_inbound
        self._session = _ffi.gc(_ffi.new("srtp_t *"), _release)
        _must(_lib.srtp_create(self._session, self._policy))
        self.handle = ctypes.c_void_p(int(_ffi.cast("uintptr_t", self._session[0])))
        """For `open_rtp_at`; good as long as this object lives."""
        self._room = _ffi.new("unsigned char[]", _ROOM + _TRAILER)
        self._length = _ffi.new("int *")

    def open_rtp(self, packet: bytes) -> bytes | int:
        """Return the plain packet, or libsrtp's reason against it."""
        return self._process(packet, _lib.srtp_unprotect)

    def open_rtcp(self, packet: bytes) -> bytes | int:
        """Return the plain compound packet, or libsrtp's reason against it."""
        return self._process(packet, _lib.srtp_unprotect_rtcp)

    def seal_rtp(self, packet: bytes) -> bytes:
        """Return the protected packet; raises `SrtpError`."""
        return self._sealed(self._process(packet, _lib.srtp_protect))

    def seal_rtcp(self, packet: bytes) -> bytes:
        """Return the protected compound packet, encrypted (the E bit is set); raises `SrtpError`."""
        return self._sealed(self._process(packet, _lib.srtp_protect_rtcp))

    def _process(self, packet: bytes, function: Callable[..., int]) -> bytes | int:
        if len(packet) > _ROOM:
            return int(Failure.NOT_AUTHENTIC)
        _ffi.memmove(self._room, packet, len(packet))
        self._length[0] = len(packet)
        status = function(self._session[0], self._room, self._length)
        return status or bytes(_ffi.buffer(self._room, self._length[0]))

    @staticmethod
    def _sealed(result: bytes | int) -> bytes:
        if isinstance(result, int):
            raise SrtpError(f"libsrtp refuses to protect a packet, status {result}")
        return result

    def rollovers(self, ssrc: int) -> int | None:
        """Return the rollover counter of a source, or None for one that has not been heard."""
        counter = ctypes.c_uint32()
        status = _library.srtp_get_stream_roc(self.handle, ctypes.c_uint32(ssrc), ctypes.byref(counter))
        return None if status else counter.value

    def expect(self, ssrc: int, rollovers: int) -> None:
        """Forget what is known of a source, and take its next packet under this rollover counter."""
        self.forget(ssrc)
        general = self._policy.ssrc.type
        self._policy.ssrc.type, self._policy.ssrc.value = _lib.ssrc_specific, ssrc
        try:
            _must(_lib.srtp_add_stream(self._session[0], self._policy))
        finally:
            self._policy.ssrc.type, self._policy.ssrc.value = general, 0
        if rollovers:
            _must(_library.srtp_set_stream_roc(self.handle, ctypes.c_uint32(ssrc), ctypes.c_uint32(rollovers)))

    def forget(self, ssrc: int) -> None:
        """Forget a source; its next packet is the first one."""
        _lib.srtp_remove_stream(self._session[0], int.from_bytes(ssrc.to_bytes(4, "big"), "little"))


def _must(status: int) -> None:
    if status != _OK:
        raise SrtpError(f"libsrtp: status {status}")


def _release(session: object) -> None:
    _lib.srtp_dealloc(session[0])  # type: ignore[index]
