"""The three-way comparison finds what is planted, and nothing where nothing is wrong."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from benchmarks.agreement import Carried, Held, Told, UnknownKindError, agree

TOLD = Told("pi_1", "txn_1", "succeeded")
HELD = Held("pi_1", "txn_1", "succeeded", "vsim", "R1", "approved", 2499)
CARRIED = Carried("vsim", "R1", "00", 2499)


def test_three_equal_sources_agree() -> None:
    """An approved payment known to all three is right."""
    found = agree(1, [TOLD], [HELD], [CARRIED])
    assert found.holds
    assert (found.sent, found.answered, found.held, found.carried) == (1, 1, 1, 1)


def test_a_declined_and_an_unsent_payment_agree() -> None:
    """A decline and an attempt that never left fit their counterparts."""
    declined = Held("pi_2", "txn_2", "failed", "vsim", "R2", "declined", 5)
    unsent = Held("pi_3", "txn_3", "failed", "vsim", "R3", "not_sent", 5)
    assert agree(2, [], [declined, unsent], [Carried("vsim", "R2", "05", 5)]).holds


def test_a_network_row_deleted_is_named() -> None:
    """The control run: with the network's row gone, the payment is named."""
    found = agree(1, [TOLD], [HELD], [])
    assert [row["payment"] for row in found.disagree] == ["pi_1"]


def test_an_answer_without_a_ledger_row_is_lost() -> None:
    """A merchant was told of something the ledger does not know."""
    assert agree(1, [TOLD], [], []).lost == ("pi_1",)


def test_a_network_decision_without_a_ledger_row_is_lost() -> None:
    """Money moved that the ledger does not know of."""
    assert agree(0, [], [], [CARRIED]).lost == ("vsim R1",)


def test_a_double_charge_is_named_in_both_forms() -> None:
    """Two decisions under one RRN, and two succeeded charges of one intent."""
    assert agree(1, [TOLD], [HELD], [CARRIED, CARRIED]).duplicated == ("vsim R1",)
    second = replace(HELD, transaction="txn_9", rrn="R9")
    both = agree(1, [TOLD], [HELD, second], [CARRIED, replace(CARRIED, rrn="R9")])
    assert both.duplicated == ("pi_1",)


def test_statuses_that_do_not_fit_are_named() -> None:
    """A decline at the network that the ledger calls succeeded, another amount, another answer."""
    for told, held, carried in (
        (TOLD, HELD, replace(CARRIED, response_code="05")),
        (TOLD, HELD, replace(CARRIED, amount_minor=1)),
        (replace(TOLD, status="failed"), HELD, CARRIED),
        (TOLD, replace(HELD, result="not_sent", status="failed"), CARRIED),
    ):
        assert [row["payment"] for row in agree(1, [told], [held], [carried]).disagree] == ["pi_1"]


def test_a_charge_of_two_messages_agrees_only_with_both() -> None:
    """An authorization and its advice share an RRN; either missing at the network is named."""
    held = [replace(HELD, mti="0100"), replace(HELD, mti="0220")]
    carried = [replace(CARRIED, mti="0100"), replace(CARRIED, mti="0221")]
    found = agree(1, [TOLD], held, carried)
    assert found.holds
    assert (found.held, found.carried) == (1, 2)
    for left in carried:
        assert [row["payment"] for row in agree(1, [TOLD], held, [left]).disagree] == ["pi_1"]


def test_an_inquiry_is_compared_with_nothing_but_its_absence() -> None:
    """Networks keep no line of questions; one that has a line has moved something."""
    asked = replace(HELD, mti="0600", kind="inquiry", stan="000002", result="unknown")
    for status, results in (("succeeded", "approved"), ("pending_verification", "unknown")):
        held = [replace(row, status=status) for row in (replace(HELD, result=results), asked)]
        told = [replace(TOLD, status=status)]
        assert agree(1, told, held, [CARRIED]).holds
        line = replace(CARRIED, mti="0600", stan="000002")
        assert [row["payment"] for row in agree(1, told, held, [CARRIED, line]).disagree] == [
            "pi_1"
        ]


def test_a_second_try_agrees_with_the_decline_before_it() -> None:
    """A declined attempt stays declined where another one of its transaction is approved."""
    first = replace(HELD, rrn="R0", result="declined", response_code="91")
    lines = [replace(CARRIED, rrn="R0", response_code="91"), CARRIED]
    assert agree(1, [TOLD], [first, HELD], lines).holds
    assert not agree(
        1, [TOLD], [first, HELD], [replace(lines[0], response_code="00"), CARRIED]
    ).holds
    assert not agree(1, [TOLD], [first, HELD], [CARRIED]).holds
    assert agree(1, [TOLD], [replace(first, response_code="96"), HELD], [CARRIED]).holds


def test_a_reversed_charge_agrees_with_its_reversal_or_with_nothing_to_reverse() -> None:
    """Of an unknown request either may be true; an acknowledged reversal the network must have."""
    told = replace(TOLD, status="pending_verification")
    charge = replace(HELD, status="reversed", result="reversed")
    reversal = replace(charge, mti="0420", kind="reversal", stan="000003", result="approved")
    line = replace(CARRIED, mti="0420", stan="000003")
    for lines in ([CARRIED, line], [line], [replace(line, response_code="25")]):
        assert agree(1, [told], [charge, reversal], lines).holds
    for lines in ([CARRIED], [CARRIED, replace(line, response_code="96")]):
        assert not agree(1, [told], [charge, reversal], lines).holds


def test_a_status_that_no_request_bears_out_is_named() -> None:
    """The ledger's own rows must fit each other before they are held against anybody's."""
    for held in (
        [replace(HELD, result="unknown")],
        [replace(HELD, status="failed")],
        [replace(HELD, kind="reversal", mti="0420")],
    ):
        told = replace(TOLD, status=held[0].status)
        line = replace(CARRIED, mti=held[0].mti)
        assert [row["payment"] for row in agree(1, [told], held, [line]).disagree] == ["pi_1"]


def test_an_attempt_of_a_kind_without_a_rule_stops_the_comparison() -> None:
    """What nobody thought of is not taken for right."""
    with pytest.raises(UnknownKindError, match="'adjustment'"):
        agree(1, [TOLD], [replace(HELD, kind="adjustment")], [CARRIED])
