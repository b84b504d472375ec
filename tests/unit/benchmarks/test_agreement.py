"""The three-way comparison finds what is planted, and nothing where nothing is wrong."""

from __future__ import annotations

from msgspec.structs import replace

from benchmarks.agreement import Carried, Held, Told, agree

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
