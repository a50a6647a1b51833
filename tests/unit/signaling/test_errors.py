"""The exception tree: who is at fault, and what is said about it."""

from __future__ import annotations

import pytest

from signaling.errors import (
    LocalProtocolError,
    LostError,
    RemoteProtocolError,
    ResourceError,
    SignalingError,
    SipSyntaxError,
)


@pytest.mark.parametrize("leaf", [LocalProtocolError, RemoteProtocolError, SipSyntaxError, ResourceError, LostError])
def test_every_error_is_ours(leaf: type[Exception]) -> None:
    assert issubclass(leaf, SignalingError)


def test_an_error_of_the_peer_says_where_and_what_to_answer() -> None:
    error = SipSyntaxError(400, "CSeq", 3, "number is out of range")
    assert (error.status, error.header, error.offset, error.reason) == (400, "CSeq", 3, "number is out of range")
    assert str(error) == "400 number is out of range (CSeq at 3)"
    assert str(SipSyntaxError(505, "", 7, "x")) == "505 x (offset 7)"
    assert error.salvage is None
