"""Merkle tree over named digests, with the hashing of RFC 6962 §2.1: one root stands for all parts of a recording.

A part can be replaced by its digest (redaction, a capture that is gone) and the root still be checked. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def leaf_hash(name: str, digest: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256(00 || name in UTF-8 || 00 || digest)."""
    return hashlib.sha256(b"\x00" + name.encode() + b"\x00" + digest).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes in their order; the hash of nothing is SHA-256 of no bytes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    # "k is the largest power of two smaller than n" (RFC 6962 section 2.1)
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + merkle_root(leaves[:split]) + merkle_root(leaves[split:])).digest()
