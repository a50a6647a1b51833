"""Keys, and which recordings that share one may be copies."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from recorder.pairing.candidates import candidacy, why_not
from recorder.pairing.keys import DEFAULT_KEYS, Key, KeyKind, keys_of
from storage.catalog.copy_records import RecordingFacts
from storage.catalog.records import CallFacts, Door

START = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
UUID = "01EXAMPLE0CALLUUID0000000000000A"
CALL = CallFacts(
    call_uuid=UUID,
    conn_id="00ff00ff00ff0001",
    dn="5550100",
    other_dn="5550111",
    record_dn="5550100",
    sips_app_name="SIP_Example",
)
KEY = Key(KeyKind.CALL, "any")


def facts(
    suffix: str = "_2026-11-22_09-30-00", *, start_s: float = 0, length_s: float | None = 60, **call: str | None
) -> RecordingFacts:
    started = START + timedelta(seconds=start_s)
    return RecordingFacts(
        recording_id=uuid4(),
        record_identifier=UUID + suffix,
        door=Door.MSR,
        call=msgspec.structs.replace(CALL, **call),
        parameters=(),
        started_at=started,
        ended_at=None if length_s is None else started + timedelta(seconds=length_s),
    )


class TestKeys:
    def test_an_msr_recording_has_every_kind(self) -> None:
        assert [(key.kind.value, key.text) for key in keys_of(facts())] == [
            ("call", f"SIP_Example / {UUID} / 5550100"),
            ("connection", "00ff00ff00ff0001 / 5550100"),
            ("identifier-prefix", UUID),
            ("session", UUID),
        ]

    def test_order_and_choice_are_configuration(self) -> None:
        kinds = [KeyKind.SESSION, KeyKind.CALL]
        assert [key.kind for key in keys_of(facts(), kinds)] == kinds

    @pytest.mark.parametrize("missing", ["call_uuid", "record_dn", "sips_app_name"])
    def test_a_key_of_which_a_part_is_unknown_does_not_exist(self, missing: str) -> None:
        call: dict[str, str | None] = {missing: None}
        recording = dataclasses.replace(facts(), call=msgspec.structs.replace(CALL, **call))
        assert KeyKind.CALL not in {key.kind for key in keys_of(recording)}

    def test_parts_cannot_run_into_each_other(self) -> None:
        one = keys_of(facts(sips_app_name="A", call_uuid="B / C"), [KeyKind.CALL])
        other = keys_of(facts(sips_app_name="A / B", call_uuid="C"), [KeyKind.CALL])
        assert one != other

    @pytest.mark.parametrize(
        "identifier",
        ["short_2026", UUID, UUID + "0_2026-11-22", UUID.lower() + "_2026", "SITE-A-RECORDING-NUMBER-00000001_X"],
    )
    def test_what_does_not_begin_with_a_call_uuid_has_no_prefix(self, identifier: str) -> None:
        recording = dataclasses.replace(facts(), record_identifier=identifier)
        assert keys_of(recording, [KeyKind.IDENTIFIER_PREFIX]) == ()

    def test_siprec_identifiers_join_whatever_client_they_come_from(self) -> None:
        siprec = dataclasses.replace(
            facts(),
            door=Door.SIPREC,
            call=CallFacts(call_uuid="own-session"),
            parameters=(
                ("sip-session-id", "ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2"),
                ("UCID", "00FA080018803B69810C6D"),
                ("calling-party", "true"),
            ),
        )
        assert [key.value for key in keys_of(siprec, [KeyKind.SESSION])] == [
            "own-session",
            "ab30317f1a784dc48ff824d0d3715d86",
            "00FA080018803B69810C6D",
        ]

    def test_nothing_known_gives_no_key(self) -> None:
        nothing = dataclasses.replace(facts(), record_identifier="a", call=CallFacts())
        assert keys_of(nothing, DEFAULT_KEYS) == ()

    def test_only_some_keys_name_one_call(self) -> None:
        assert [kind.names_the_call for kind in DEFAULT_KEYS] == [True, False, False, True]


class TestCandidates:
    def test_two_that_run_at_the_same_time_may_be_copies(self) -> None:
        found = candidacy(facts(length_s=None), facts("_other", start_s=0.4, length_s=None), keys_of(facts())[0])
        assert found is not None
        assert found.reason == f"application, Call UUID and recorded DN are equal: SIP_Example / {UUID} / 5550100"

    def test_recordings_one_after_the_other_are_not_copies(self) -> None:
        assert why_not(facts(), facts(start_s=60), KEY) == "one had ended before the other began"
        assert why_not(facts(start_s=75), facts(), KEY)

    def test_a_late_joiner_may_be_a_copy(self) -> None:
        assert why_not(facts(length_s=None), facts(start_s=3000, length_s=None), KEY) == ""

    def test_other_recorded_parties_are_not_copies(self) -> None:
        """Transfer and conference: the same call, recorded at another party."""
        reason = why_not(facts(), facts(record_dn="5550122"), Key(KeyKind.SESSION, UUID))
        assert reason == "they record other parties: 5550100 and 5550122"

    def test_sessions_per_party_are_not_copies(self) -> None:
        one, other = facts(other_dn=None), facts(dn="5550111", other_dn=None)
        assert why_not(one, other, KEY) == "they are of other parties: 5550100, and 5550111"

    def test_parties_in_the_other_order_may_be_copies(self) -> None:
        assert why_not(facts(), facts(dn="5550111", other_dn="5550100"), KEY) == ""

    def test_what_is_unknown_excludes_nothing(self) -> None:
        assert why_not(facts(), facts(dn=None, other_dn=None, record_dn=None), KEY) == ""

    def test_a_connection_id_joins_only_what_begins_together(self) -> None:
        key = Key(KeyKind.CONNECTION, "any")
        assert why_not(facts(), facts(start_s=4), key) == ""
        assert why_not(facts(), facts(start_s=6), key) == "they began 6.0 s apart, more than 5 s"
        assert why_not(facts(), facts(start_s=6), key, connection_within=timedelta(seconds=10)) == ""
        assert candidacy(facts(), facts(start_s=6), key) is None
