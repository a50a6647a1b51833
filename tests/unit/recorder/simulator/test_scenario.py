"""What a run sends follows from its options and its seed alone."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.simulator.conversation import load_conversation
from recorder.simulator.g711 import Law
from recorder.simulator.scenario import (
    NOTHING,
    TICKS_PER_SLOT,
    CallPlan,
    Door,
    Impairments,
    Pause,
    ScenarioOptions,
    lay_out,
    plan_calls,
    withheld,
)

AT = datetime(2030, 1, 15, 9, 30, tzinfo=UTC)


def planned(run: str = "run", **options: object) -> list[CallPlan]:
    return plan_calls(replace(ScenarioOptions(), **options), started_at=AT, run=run)  # type: ignore[arg-type]


def test_a_record_identifier_is_call_uuid_date_and_time() -> None:
    (call,) = planned()
    uuid, date, time = call.record_identifier.split("_")
    assert (uuid, date, time) == (call.call_uuid, "2030-01-15", "09-30-00")
    assert len(uuid) == 32


def test_identifiers_are_new_in_each_run_and_differ_within_one() -> None:
    first, second = planned(calls=50), planned(run="other", calls=50)
    identifiers = {call.record_identifier for call in first + second}
    assert len(identifiers) == 100
    assert len({call.call_uuid for call in first + second}) == 100


def test_the_seed_decides_the_media_and_the_run_does_not() -> None:
    first, second, other = planned(calls=3), planned(run="other", calls=3), planned(seed=2, calls=3)

    def media(calls: list[CallPlan]) -> list[tuple[int, ...]]:
        return [
            (s.ssrc, s.first_sequence, s.first_timestamp, s.speech_offset, s.delay_ticks)
            for call in calls
            for s in call.streams
        ]

    assert media(first) == media(second)
    assert media(first) != media(other)


def test_calls_begin_at_different_speech() -> None:
    conversation = load_conversation(Law.PCMU)
    offsets = [call.streams[0].speech_offset for call in planned(calls=2000)]
    assert len(set(offsets)) == 2000
    assert max(offsets) < conversation.samples


def test_every_fourth_call_wraps_its_sequence_and_another_its_timestamp() -> None:
    calls = planned(calls=8)
    assert all(stream.first_sequence > 65535 - 50 for call in calls[1::4] for stream in call.streams)
    assert all(stream.first_timestamp > 2**32 - 50 * 160 for call in calls[2::4] for stream in call.streams)


def test_calls_are_spread_over_the_slot_and_over_time() -> None:
    calls = planned(calls=20, rate=10.0)
    assert {call.streams[0].delay_ticks for call in calls} == set(range(TICKS_PER_SLOT))
    assert [call.start_after_s for call in calls[:3]] == [0.0, 0.1, 0.2]


def test_siprec_calls_are_named_by_their_session() -> None:
    (call,) = planned(door=Door.SIPREC)
    assert len(call.record_identifier) == 24
    assert call.record_identifier.endswith("==")


def test_pauses_are_handed_on() -> None:
    (call,) = planned(pauses=(Pause(2.0, 1.5),))
    assert call.pauses == (Pause(2.0, 1.5),)


def test_without_impairments_each_slot_sends_its_packet() -> None:
    schedule = lay_out(5, Impairments(), np.random.default_rng(1))
    assert schedule.first.tolist() == [0, 1, 2, 3, 4, NOTHING]
    assert schedule.second.tolist() == [NOTHING] * 6


@given(
    packets=st.integers(1, 300),
    loss=st.floats(0, 1),
    reorder=st.floats(0, 1),
    duplicate=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_every_packet_is_scheduled_once_and_only_sent_ones_are_doubled(
    packets: int, loss: float, reorder: float, duplicate: float, seed: int
) -> None:
    schedule = lay_out(packets, Impairments(loss, reorder, duplicate), np.random.default_rng(seed))
    sent = schedule.first[schedule.first >= 0].tolist()
    lost = withheld(schedule.first[schedule.first < NOTHING]).tolist()
    extra = schedule.second[schedule.second >= 0]
    late = sorted(set(extra.tolist()) - set(sent))
    assert sorted(sent + lost + late) == list(range(packets))
    assert len(set(extra.tolist())) == len(extra)
    # Whatever leaves second does so one slot behind its own place.
    assert all(schedule.second[packet + 1] == packet for packet in extra)


@pytest.mark.parametrize("name", ["loss", "reorder", "duplicate"])
def test_impairments_have_about_the_share_asked_for(name: str) -> None:
    schedule = lay_out(20_000, Impairments(**{name: 0.1}), np.random.default_rng(3))
    affected = (schedule.first < NOTHING).sum() if name == "loss" else (schedule.second >= 0).sum()
    assert 0.08 < affected / 20_000 < 0.12
