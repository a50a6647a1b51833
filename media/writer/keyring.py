"""The SRTP keys of one stream in use: which key opens a packet, and under which rollover counter (RFC 3711 §3.2).

Decides by trial authentication only. Knows packets as bytes; no batch, no capture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from media.srtp import REPLAYED, Context, Failure
from media.writer.protocol import MasterKey, Protection

_HANDOVER_NS: Final = 10_000_000_000
"""How long a former key, and a rollover counter that was begun anew, are accepted after a change of the stream."""
_SILENCE_NS: Final = 30_000_000_000
"""A source that was not heard for so long may have gone on with its numbers meanwhile, beyond what can be guessed."""
_SEARCHED: Final = 64
"""Rollover counters tried for a source that is met in mid-stream: 23 hours of 50 packets/s."""
_MAX_BACKOFF_NS: Final = 60_000_000_000
_FIRST_BACKOFF_NS: Final = 500_000_000
_MODULUS: Final = 1 << 16


class Index(NamedTuple):
    """The packet index of one source (RFC 3711 §3.3.1); no secret."""

    ssrc: int
    rollovers: int
    sequence_number: int


class _Key:
    """One master key and its context."""

    def __init__(self, key: MasterKey) -> None:
        self.key = key
        self.context = Context(key.suite, key.key_salt)
        self.mark = int.from_bytes(hashlib.blake2s(key.key_salt, digest_size=4, person=b"keymark").digest(), "little")
        """Tells keys apart without telling anything of them."""


class Keyring:
    """The keys of one stream.

    Args:
        protection: keys and former keys.
        now_ns: wall clock.
        indices: packet indices that a predecessor noted, and the mark of the key that they belong to.

    Errors: `LocalError` for a key that fits no crypto-suite.

    """

    def __init__(
        self, protection: Protection, now_ns: int, indices: Sequence[Index] = (), *, indexed_mark: int = 0
    ) -> None:
        self._keys: list[_Key] = []
        self._former: list[_Key] = []
        self._active: _Key | None = None
        self._hints = {index.ssrc: index for index in indices}
        self._hinted_mark = indexed_mark
        self._changed_ns = now_ns
        self._search_ns = 0
        self._backoff_ns = _FIRST_BACKOFF_NS
        self.heard_ns = 0
        """Arrival of the stream's last accepted packet."""
        self.untold = 0
        """Packets that did not authenticate and are not yet told in the capture."""
        self.untold_since_ns = 0
        self.told_ns = 0
        self.change(protection, now_ns)

    def change(self, protection: Protection, now_ns: int) -> None:
        """Put keys in force; a key that was there before keeps its state, and is accepted for the hand-over time."""
        made = {one.key: one for one in (*self._keys, *self._former)}
        left = [one.key for one in self._keys]
        self._keys = [made.get(key) or _Key(key) for key in protection.keys]
        former = [key for key in dict.fromkeys((*protection.former, *left)) if key not in protection.keys]
        self._former = [made.get(key) or _Key(key) for key in former]
        if self._active not in (*self._keys, *self._former):
            self._active = next(iter(self._keys), None)
        self._changed_ns = now_ns
        self._search_ns, self._backoff_ns = 0, _FIRST_BACKOFF_NS

    @property
    def active(self) -> Context | None:
        """The context that opened the last packet, for packets without MKI; None if each packet names its key."""
        return None if self._active is None or self._active.key.mki else self._active.context

    @property
    def mark(self) -> int:
        """Tells whose indices `index` returns."""
        return self._active.mark if self._active else 0

    def index(self, ssrc: int, sequence_number: int) -> Index | None:
        """Return the index of a source under the active key, for a successor."""
        rollovers = self._active.context.rollovers(ssrc) if self._active else None
        return None if rollovers is None else Index(ssrc, rollovers, sequence_number)

    def open_rtp(self, packet: bytes, at_ns: int, *, thorough: bool = True) -> bytes | int:
        """Open a packet; return it plain, or libsrtp's reason against it.

        The key that opens it becomes the active one.

        Args:
            packet: as received.
            at_ns: wall clock of its arrival.
            thorough: try every key and counter, not only the likeliest.

        """
        status: int = Failure.NOT_AUTHENTIC
        for one in self._candidates(packet, at_ns, thorough=thorough):
            result = one.context.open_rtp(_without_mki(packet, one, one.context.suite.rtp_tag))
            if isinstance(result, bytes):
                self._succeeded(one)
                return result
            if result in REPLAYED:
                # Authentication comes behind the replay check, so another key may yet be the right one.
                status = result
        # A packet that was taken before needs no other counter.
        return status if status == Failure.REPLAYED or not thorough else self._search(packet, at_ns) or status

    def open_rtcp(self, packet: bytes, at_ns: int, *, thorough: bool = True) -> bytes | int:
        """Open a compound packet, as `open_rtp`; changes nothing."""
        status: int = Failure.NOT_AUTHENTIC
        for one in self._candidates(packet, at_ns, thorough=thorough, rtcp=True):
            result = one.context.open_rtcp(_without_mki(packet, one, one.context.suite.rtcp_tag))
            if isinstance(result, bytes):
                return result
            if result in REPLAYED:
                status = result
        return status

    def _succeeded(self, one: _Key) -> None:
        self._active = one
        self._backoff_ns = _FIRST_BACKOFF_NS

    def _candidates(self, packet: bytes, at_ns: int, *, thorough: bool = True, rtcp: bool = False) -> Iterator[_Key]:
        """Yield the keys to try, the likeliest first, and only that one if not `thorough`."""
        usable = list(self._keys)
        if at_ns - self._changed_ns < _HANDOVER_NS:
            usable += self._former
        if self._active in usable:
            usable.remove(self._active)
            usable.insert(0, self._active)
        for one in usable:
            mki = one.key.mki
            tag = one.context.suite.rtcp_tag if rtcp else one.context.suite.rtp_tag
            if not mki or packet[len(packet) - tag - len(mki) : len(packet) - tag] == mki:
                yield one
                if not thorough:
                    return

    def _search(self, packet: bytes, at_ns: int) -> bytes | None:
        """Try other rollover counters, where the one at hand may be wrong: RFC 3711 §3.3.1, late start.

        A counter that works is given up only where the stream has just changed or has long been silent: else recorded
        packets of an earlier turn could be played in again (RFC 3711 §3.3.2).
        """
        if at_ns < self._search_ns:
            return None
        ssrc = int.from_bytes(packet[8:12], "big")
        searched = False
        for one in self._candidates(packet, at_ns):
            if not self._settled(one, ssrc, at_ns):
                searched = True
                found = self._search_key(one, packet, ssrc)
                if found is not None:
                    self._succeeded(one)
                    return found
        if searched:
            # A wrong key must not cost a search for each of its packets.
            self._search_ns = at_ns + self._backoff_ns
            self._backoff_ns = min(2 * self._backoff_ns, _MAX_BACKOFF_NS)
        return None

    def _settled(self, one: _Key, ssrc: int, at_ns: int) -> bool:
        known = one.context.rollovers(ssrc) is not None and at_ns - self.heard_ns < _SILENCE_NS
        return known and at_ns - self._changed_ns >= _HANDOVER_NS

    def _search_key(self, one: _Key, packet: bytes, ssrc: int) -> bytes | None:
        present = one.context.rollovers(ssrc)
        bare = _without_mki(packet, one, one.context.suite.rtp_tag)
        # On a context of its own: a search that finds nothing leaves the one at hand as it is.
        trial = Context(one.key.suite, one.key.key_salt)
        for rollovers in self._likely(one, packet, ssrc, present):
            trial.expect(ssrc, rollovers)
            if isinstance(trial.open_rtp(bare), bytes):
                one.context.expect(ssrc, rollovers)
                result = one.context.open_rtp(bare)
                return result if isinstance(result, bytes) else None
        return None

    def _likely(self, one: _Key, packet: bytes, ssrc: int, present: int | None) -> Iterator[int]:
        """Yield rollover counters: as noted, then 0, then the neighbours, then upwards."""
        guesses: list[int] = []
        hint = self._hints.get(ssrc)
        if hint is not None and one.mark == self._hinted_mark:
            # RFC 3711 §3.3.1, the estimate of the index: the nearest to the last one.
            step = (int.from_bytes(packet[2:4], "big") - hint.sequence_number + _MODULUS // 2) % _MODULUS
            noted = (hint.rollovers * _MODULUS + hint.sequence_number + step - _MODULUS // 2) // _MODULUS
            guesses += [noted, 0, noted + 1, noted - 1]
        if present is not None:
            guesses += [0, present + 1, present - 1]
        yield from dict.fromkeys(guess for guess in (*guesses, *range(_SEARCHED)) if 0 <= guess < 1 << 32)


def _without_mki(packet: bytes, one: _Key, tag: int) -> bytes:
    """Return a packet without its MKI, which stands before the tag (RFC 3711 §3.1) and is not covered by it."""
    length = len(one.key.mki)
    end = len(packet) - tag
    return packet if not length else packet[: end - length] + packet[end:]
