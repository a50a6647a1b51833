"""From the `a=crypto` attributes of an exchange to the keys that a writer is told (RFC 4568).

Makes our own keys; reads and keeps nothing else.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

import msgspec

from media.srtp import SUITES
from media.writer.protocol import MasterKey, Protection, StreamSpec
from signaling.sdp.offer_answer import AnswerPolicy, StreamPlan


def own_keys(streams: Iterable[StreamPlan], before: Iterable[StreamSpec] = ()) -> dict[int, bytes]:
    """Return our master key and salt for each protected stream, by its index.

    A stream that keeps its suite keeps our key: its address stays as well, because we answer (RFC 4568 §7.1.4).
    """
    known = {spec.index: spec.protection for spec in before}
    keys = {}
    for stream in streams:
        if stream.accepted and stream.crypto:
            protection = known.get(stream.index)
            own = protection.own if protection else None
            kept = own is not None and own.suite == stream.crypto.suite
            keys[stream.index] = own.key_salt if own and kept else _fresh(stream.crypto.suite)
    return keys


def protection_of(stream: StreamPlan, own: Mapping[int, bytes], before: Protection | None) -> Protection | None:
    """Return how a stream comes protected.

    Args:
        stream: what was agreed.
        own: our keys, by index; a stream that is not in it keeps the one of `before`.
        before: protection until now; its keys stay good for the hand-over.

    """
    crypto = stream.crypto
    if crypto is None:
        return None
    keys = tuple(
        MasterKey(crypto.suite, key.key_salt, b"" if key.mki is None else key.mki.to_bytes(key.mki_length, "big"))
        for key in crypto.keys
    )
    ours = MasterKey(crypto.suite, own[stream.index]) if stream.index in own else before.own if before else None
    former = () if before is None else before.former if before.keys == keys else before.keys
    return Protection(keys=keys, former=former, own=ours)


def with_fresh_keys(specs: Iterable[StreamSpec]) -> list[StreamSpec]:
    """Return specs whose own keys are new: our address changes (RFC 4568 §7.1.4). The sender's go on."""
    return [
        msgspec.structs.replace(
            spec,
            protection=msgspec.structs.replace(
                spec.protection, own=MasterKey(spec.protection.own.suite, _fresh(spec.protection.own.suite))
            ),
        )
        if spec.protection and spec.protection.own
        else spec
        for spec in specs
    ]


def keys_of(specs: Iterable[StreamSpec]) -> dict[int, bytes]:
    """Return our master key and salt for each protected stream, by its index."""
    return {spec.index: spec.protection.own.key_salt for spec in specs if spec.protection and spec.protection.own}


def awaited(policy: AnswerPolicy) -> Protection | None:
    """Return the protection of a stream that we offer ourselves: the sender's keys come with its answer."""
    if policy.srtp != "require":
        return None
    suite = policy.crypto_suites[0]
    return Protection(keys=(), own=MasterKey(suite, _fresh(suite)))


def _fresh(suite: str) -> bytes:
    return secrets.token_bytes(SUITES[suite].key_salt_length)
