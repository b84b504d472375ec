"""Plans to statements: one per table, in a fixed order, with the parameters each names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from ledger.deciding.records import NewDecline, NewException, NewKey, Plan, VerificationRow
from ledger.deciding.writing import Writer
from ledger.statements import QUERIES
from tests.support.deciding import attempt, new_transaction, outcome, saf_row
from tests.support.intent_views import intent_view
from tests.support.ledger import IDS

if TYPE_CHECKING:
    from ledger.connection import Step

REFUND = new_transaction("refund")
MESSAGE = attempt(REFUND.transaction_id)
DOUBT = VerificationRow(MESSAGE.attempt_id, REFUND.transaction_id, "vsim", 1, 2)
EVERYTHING = Plan(
    intent={"refund_pending_minor": 5},
    transactions=[REFUND],
    attempts=[MESSAGE],
    outcomes=[outcome(MESSAGE.attempt_id, REFUND.transaction_id, "approved")],
    saf_add=[saf_row(MESSAGE)],
    saf_drop=[IDS.next()],
    saf_update=[saf_row(MESSAGE)],
    verify_add=[DOUBT],
    verify_drop=[IDS.next()],
    verify_update=[DOUBT],
    key=NewKey(IDS.next(), IDS.next(), IDS.next(), REFUND.transaction_id),
    free_reference=True,
    expire_at_us=5,
    exceptions=[NewException("odd")],
    declines=[NewDecline(IDS.next(), IDS.next(), "vsim", "soft", 1)],
)


def _steps(*plans: Plan) -> list[Step]:
    writer = Writer("switch", 1)
    for plan in plans:
        writer.add(intent_view(IDS.next()), plan)
    return writer.steps()


def test_every_part_of_a_plan_has_its_statement() -> None:
    """Nothing of a plan is forgotten; keys go first, for one that is taken ends it all."""
    names = [query.name for query, _ in _steps(EVERYTHING)]
    assert len(names) == len(set(names)) == 15
    assert names[0] == "insert_plan_keys"
    fields = set(Plan.__struct_fields__) - {"value"}
    assert len(fields) == len(names)


def test_a_batch_takes_one_statement_a_table() -> None:
    """However many plans it has."""
    assert [query.name for query, _ in _steps(EVERYTHING, EVERYTHING, EVERYTHING)] == [
        query.name for query, _ in _steps(EVERYTHING)
    ]


@pytest.mark.parametrize("step", _steps(EVERYTHING), ids=lambda step: step[0].name)
def test_statements_get_the_parameters_they_name(step: Step) -> None:
    """Neither one too few nor one too many."""
    query, params = step
    assert query is QUERIES[query.name]
    assert {int(number) for number in re.findall(r"\$(\d+)", query.sql)} == set(
        range(1, len(params) + 1)
    )


def test_an_empty_plan_writes_nothing() -> None:
    """Whatever its value."""
    assert _steps(Plan(value="something")) == []


def test_a_field_of_the_wrong_type_is_found_in_packing() -> None:
    """Before anything is sent; the committer then looks for the step at fault."""
    with pytest.raises((AttributeError, TypeError, ValueError)):
        _steps(Plan(saf_drop=["not bytes"]))  # type: ignore[list-item]
