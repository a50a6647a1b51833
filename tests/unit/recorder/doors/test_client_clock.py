"""S21: what the Date of an INVITE adds to a recording."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recorder.doors.client_clock import with_date
from recorder.doors.entrance import read_invite
from recorder.doors.request import RecordingRequest
from signaling.sip import Request, parse_message
from tests.unit.signaling.useragent.peer import OFFER, request

NOON = datetime(2030, 1, 15, 12, tzinfo=UTC)


def received(date: str | None, *, after_s: float = 0.0) -> RecordingRequest:
    headers = [] if date is None else [f"Date: {date}"]
    invite = parse_message(request("INVITE", branch="z9hG4bK1", cseq="1 INVITE", headers=headers, body=OFFER))
    assert isinstance(invite, Request)
    found = read_invite(invite)
    assert isinstance(found, RecordingRequest)
    return with_date(found, invite, NOON + timedelta(seconds=after_s))


def test_the_time_of_the_client_is_kept_with_the_call_data() -> None:
    found = received("Tue, 15 Jan 2030 12:00:00 GMT", after_s=2)
    assert ("Date", "2030-01-15T12:00:00+00:00") in found.parameters
    assert not [warning for warning in found.warnings if "clock" in warning]


@pytest.mark.parametrize(("after_s", "expected"), [(3600, "-3600 s"), (-6, "+6 s")])
def test_a_clock_that_differs_is_a_warning(after_s: float, expected: str) -> None:
    found = received("Tue, 15 Jan 2030 12:00:00 GMT", after_s=after_s)
    assert f"the client's clock differs from ours by {expected}" in found.warnings


@pytest.mark.parametrize("date", [None, "yesterday", "Tue, 15 Jan 2030 12:00:00 CET"])
def test_without_a_date_that_can_be_read_nothing_is_added(date: str | None) -> None:
    found = received(date)
    assert "Date" not in dict(found.parameters)
    assert not [warning for warning in found.warnings if "clock" in warning]
