"""The dialog's own rules: creation, numbers, targets, requests, promises."""

from __future__ import annotations

import pytest

from signaling.dialog.dialog import (
    MAX_ANSWERS,
    MAX_SEQUENCE,
    Dialog,
    InDialogFields,
    acknowledge,
    end,
    forget_answer,
    needs_sips,
    promise,
    refresh_target,
    remember_capabilities,
)
from signaling.dialog.flow import Flow
from signaling.dialog.state import Phase, decode_snapshot
from signaling.errors import LocalProtocolError
from signaling.sip import Request, Via, parse_message
from tests.unit.signaling.useragent.peer import TCP, UDP, request

VIA = Via.parse("SIP/2.0/UDP 192.0.2.40:5060;branch=z9hG4bKours")


def invite(
    *,
    contact: str | None = "<sip:src@192.0.2.20:7090>",
    from_: str = "<sip:src@192.0.2.30>;tag=src-1",
    to: str = "<sip:srs@192.0.2.40>",
    uri: str = "sip:srs@192.0.2.40",
    headers: list[str] | None = None,
    via: str = "SIP/2.0/UDP 192.0.2.30:5060",
) -> Request:
    data = request(
        "INVITE", branch="z9hG4bK1", cseq="7 INVITE", contact=contact, from_=from_, to=to, uri=uri, via=via,
        headers=headers or [],
    )  # fmt: skip
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def dialog(message: Request | None = None, flow: Flow = UDP) -> Dialog:
    return Dialog.from_invite(message or invite(), local_tag="a.7~1", flow=flow, recording=True)


def bye(of: Dialog) -> Request:
    return of.request("BYE", 1, of.routing(), InDialogFields(VIA, None))


def test_a_new_dialog_takes_its_parts_from_the_invite() -> None:
    state = dialog(invite(headers=["Record-Route: <sip:p1;lr>;x=1, <sip:p2;lr>", "Allow: INVITE, BYE"])).state
    assert (state.phase, state.remote_tag, state.remote_sequence) == (Phase.EARLY, "src-1", 7)
    assert state.local_sequence == 0
    assert state.remote_target == "sip:src@192.0.2.20:7090"
    assert state.route_set == ("<sip:p1;lr>;x=1", "<sip:p2;lr>")
    assert state.peer_methods == ("INVITE", "BYE")


def test_a_request_of_ours_is_built_from_the_dialog_alone() -> None:
    """Pitfalls 7 and 8: tags are not swapped, no Via or Record-Route of the INVITE."""
    made = dialog(
        invite(
            from_='"Ann" <sip:src@192.0.2.30;x=1>;tag=src-1;y=2',
            headers=["Record-Route: <sip:p1;lr>", "Record-Route: <sip:p2;lr>"],
        )
    )
    sent = bye(made)
    assert sent.headers.get_all("Via") == (str(VIA),)
    assert "Record-Route" not in sent.headers
    assert sent.headers.get_all("Route") == ("<sip:p1;lr>", "<sip:p2;lr>")
    assert (sent.from_.tag, sent.to.tag) == ("a.7~1", "src-1")
    assert sent.headers.get("To") == "Ann <sip:src@192.0.2.30;x=1>;tag=src-1"
    assert sent.uri.text == "sip:src@192.0.2.20:7090"
    assert sent.call_id == "call-1@192.0.2.30"


def test_a_peer_without_a_from_tag_gets_a_to_without_one() -> None:
    assert bye(dialog(invite(from_="<sip:src@192.0.2.30>"))).headers.get("To") == "<sip:src@192.0.2.30>"


def test_an_invite_without_contact_is_answered_to_its_from_uri() -> None:
    assert dialog(invite(contact=None)).state.remote_target == "sip:src@192.0.2.30"


@pytest.mark.parametrize("contact", ["tel:+1555", "<sip:@>", '"a <sip:x>'])
def test_an_unusable_contact_counts_as_none(contact: str) -> None:
    assert dialog(invite(contact=contact)).state.remote_target == "sip:src@192.0.2.30"


def test_without_any_usable_address_the_source_is_the_target() -> None:
    message = invite(contact=None, from_="<tel:+1555>;tag=1")
    assert dialog(message).state.remote_target == "sip:192.0.2.30:5060"
    assert dialog(message, TCP).state.remote_target == "sip:192.0.2.30:40123;transport=tcp"


def test_a_route_set_that_cannot_be_told_apart_is_not_followed() -> None:
    assert dialog(invite(headers=['Record-Route: <sip:p1;lr>, "'])).state.route_set == ()


def test_a_first_route_that_is_no_route_is_not_followed() -> None:
    made = dialog(invite(headers=["Record-Route: <tel:+1>"]))
    assert made.routing().route == ()
    assert bye(made).uri.text == "sip:src@192.0.2.20:7090"


def test_alias_counts_only_over_a_connection() -> None:
    asking = invite(via="SIP/2.0/TCP 192.0.2.30:5060;alias")
    assert dialog(asking, TCP).state.reuse_connection
    assert not dialog(asking, UDP).state.reuse_connection


def test_gaps_and_repetitions_are_in_order_a_lower_number_is_not() -> None:
    """C11."""
    made = dialog()
    assert [made.accepts_sequence(number) for number in (7, 8, 20, 20, 19, 21)] == [
        True, True, True, True, False, True,
    ]  # fmt: skip
    assert made.state.remote_sequence == 21


def test_our_numbers_rise_by_one_and_advice_comes_once_per_block() -> None:
    made = dialog()
    made.sequence_limit = 2000
    made.state.local_sequence = 998
    assert [made.next_sequence() for _ in range(4)] == [(999, False), (1000, False), (1001, True), (1002, False)]
    made.state.local_sequence = 2000
    assert made.next_sequence() == (2001, True)


def test_numbers_end_below_two_to_the_31() -> None:
    made = dialog()
    made.state.local_sequence = MAX_SEQUENCE
    with pytest.raises(LocalProtocolError):
        made.next_sequence()


def test_a_target_refresh_replaces_the_target_and_nothing_else() -> None:
    made = dialog(invite(headers=["Record-Route: <sip:p1;lr>"]))
    refresh_target(made.state, invite(contact="<sip:new@192.0.2.21>", headers=["Record-Route: <sip:p9;lr>"]))
    assert made.state.remote_target == "sip:new@192.0.2.21"
    assert made.state.route_set == ("<sip:p1;lr>",)


@pytest.mark.parametrize("contact", [None, "<tel:+1>", '"a <sip:b>', "*"])
def test_a_refresh_without_a_usable_contact_keeps_the_old_target(contact: str | None) -> None:
    made = dialog()
    refresh_target(made.state, invite(contact=contact))
    assert made.state.remote_target == "sip:src@192.0.2.20:7090"


def test_doubled_angle_brackets_are_read() -> None:
    """E3: OpenSIPS answers our re-INVITE with such a Contact."""
    made = dialog()
    refresh_target(made.state, invite(contact="<<sip:192.0.2.33>;+sip.src>"))
    assert made.state.remote_target == "sip:192.0.2.33"


def test_capabilities_are_kept_until_the_peer_names_others() -> None:
    made = dialog(invite(headers=["Allow: INVITE, UPDATE", "Supported: Timer"]))
    remember_capabilities(made.state, invite())
    assert (made.state.peer_methods, made.state.peer_options) == (("INVITE", "UPDATE"), ("timer",))
    remember_capabilities(made.state, invite(headers=["Allow: BYE"]))
    assert made.state.peer_methods == ("BYE",)


def test_methods_in_several_fields_are_one_list() -> None:
    made = dialog(invite(headers=["Allow: INVITE ,ACK", "Allow: UPDATE"]))
    assert made.state.peer_methods == ("INVITE", "ACK", "UPDATE")


def test_a_malformed_list_of_options_is_ignored() -> None:
    made = dialog(invite(headers=["Supported: timer"]))
    remember_capabilities(made.state, invite(headers=['Supported: timer, "x']))
    assert made.state.peer_options == ("timer",)


def test_promised_answers_are_marked_and_forgotten() -> None:
    state = dialog().state
    for number in range(4):
        promise(state, b"%d" % number, acknowledged=False)
    acknowledge(state, [b"1", b"3"])
    assert [answer.acknowledged for answer in state.answers] == [False, True, False, True]
    forget_answer(state, b"2")
    assert [answer.data for answer in state.answers] == [b"0", b"1", b"3"]


def test_of_too_many_answers_one_that_arrived_goes_first_and_the_first_invites_last() -> None:
    state = dialog().state
    for number in range(MAX_ANSWERS):
        promise(state, b"%d" % number, acknowledged=number in (0, 3))
    promise(state, b"a", acknowledged=False)
    assert [answer.data for answer in state.answers] == [b"0", b"1", b"2", b"4", b"5", b"6", b"7", b"a"]
    promise(state, b"b", acknowledged=False)
    assert [answer.data for answer in state.answers] == [b"0", b"2", b"4", b"5", b"6", b"7", b"a", b"b"]


def test_the_end_keeps_only_what_the_last_answer_needs() -> None:
    state = dialog().state
    state.local_description = b"v=0"
    promise(state, b"200 to BYE", acknowledged=True)
    end(state)
    assert (state.phase, state.local_description, len(state.answers)) == (Phase.ENDED, b"", 1)


def test_a_draft_is_a_copy() -> None:
    made = dialog()
    draft = made.draft()
    draft.remote_target = "sip:elsewhere"
    promise(draft, b"x", acknowledged=True)
    assert made.state.remote_target == "sip:src@192.0.2.20:7090"
    assert made.state.answers == ()


def test_the_snapshot_of_a_dialog_reserves_numbers() -> None:
    assert decode_snapshot(dialog().snapshot()).local_sequence == 2000


@pytest.mark.parametrize(
    ("uri", "headers", "contact", "expected"),
    [
        ("sip:a@b", [], "<sip:c@d>", False),
        ("sips:a@b", [], "<sip:c@d>", True),
        ("sip:a@b", ["Record-Route: <sips:p;lr>"], "<sip:c@d>", True),
        ("sip:a@b", ["Record-Route: <sip:p;lr>"], "<sips:c@d>", False),
        ("sip:a@b", [], "<sips:c@d>", True),
        ("sip:a@b", [], '"sips:" <sip:c@d>', False),
        ("sip:a@b", [], '"sips: <sip:c@d>', False),
    ],
)
def test_when_our_contact_has_to_be_sips(uri: str, headers: list[str], contact: str, expected: bool) -> None:
    assert needs_sips(invite(uri=uri, headers=headers, contact=contact)) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            "Session-ID: 0123456789abcdef0123456789abcdef;remote=00000000000000000000000000000000",
            "0123456789abcdef" * 2,
        ),
        ("Session-ID: nonsense", None),
        ("Subject: none", None),
    ],
)
def test_the_peers_session_id_is_kept(header: str, expected: str | None) -> None:
    assert dialog(invite(headers=[header])).state.session_uuid == expected
