"""Copies of a call go to different writers where there are several."""

from __future__ import annotations

from uuid import uuid4

from recorder.frontend.twins import Twins

CALL = {
    "record_identifier": "01EXAMPLE0CALLUUID0000000000000A_1",
    "door": "msr",
    "call": {"call_uuid": "01EXAMPLE0CALLUUID0000000000000A", "record_dn": "5550100", "sips_app_name": "SIP_Example"},
    "parameters": [["calluuid", "01EXAMPLE0CALLUUID0000000000000A"]],
}
OTHER = {**CALL, "call": {"call_uuid": "02", "record_dn": "5550100"}, "parameters": []}


def test_the_writers_of_a_calls_copies_are_known_while_they_live() -> None:
    twins, one, other = Twins(), uuid4(), uuid4()
    assert twins.writers(one, CALL) == frozenset()
    twins.put(one, CALL, "writer-1")
    twins.put(other, {**CALL, "record_identifier": "another"}, "writer-2")
    assert twins.writers(uuid4(), CALL) == {"writer-1", "writer-2"}
    assert twins.writers(uuid4(), OTHER) == frozenset()
    twins.put(one, CALL, "writer-3")
    assert twins.writers(uuid4(), CALL) == {"writer-3", "writer-2"}
    twins.drop(one)
    twins.drop(other)
    twins.drop(other)
    assert twins.writers(uuid4(), CALL) == frozenset()


def test_a_call_that_nothing_names_has_no_twins() -> None:
    twins = Twins()
    nameless = {"record_identifier": "x", "door": "sip", "call": {}, "parameters": []}
    twins.put(uuid4(), nameless, "writer-1")
    assert twins.writers(uuid4(), nameless) == frozenset()
