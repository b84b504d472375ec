"""A ledger row and the record on the wire are the same thing."""

from __future__ import annotations

from ledger.records import TransactionRow
from switch.wire import TransactionState


def test_rows_and_states_have_the_same_fields_in_the_same_order() -> None:
    """`state_of_row` copies by position, so the two records must not drift apart."""
    assert TransactionRow.__struct_fields__ == TransactionState.__struct_fields__
