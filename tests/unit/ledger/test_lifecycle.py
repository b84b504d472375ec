"""The tables of states: closed, reachable, terminal where money.md 2 says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import lifecycle
from ledger.lifecycle import (
    ADMITS,
    ATTEMPT_RESULTS,
    CHARGE_SETTLEMENTS,
    EXPIRES,
    INTENT_LIVE,
    INTENT_STATUSES,
    INTENT_TRANSITIONS,
    PHASE_FROM,
    TRANSACTION_STATUSES,
    TRANSACTION_TERMINAL,
    TRANSACTION_TRANSITIONS,
    LifecycleError,
    check_intent_transition,
    check_outcome,
    check_result,
    check_transaction_transition,
)

TABLES = [INTENT_TRANSITIONS, TRANSACTION_TRANSITIONS]


@pytest.mark.parametrize("table", TABLES)
def test_tables_are_closed(table: lifecycle.Transitions) -> None:
    """Every way leads to a status of the same table, and none to itself."""
    for status, targets in table.items():
        assert targets <= table.keys()
        assert status not in targets


@pytest.mark.parametrize(("table", "start"), [(TABLES[0], "created"), (TABLES[1], "pending")])
def test_every_status_is_reached_and_can_end(table: lifecycle.Transitions, start: str) -> None:
    """From the start every status is reached, and from every status a terminal one."""

    def reach(status: str) -> set[str]:
        seen = {status}
        todo = [status]
        while todo:
            for target in table[todo.pop()] - seen:
                seen.add(target)
                todo.append(target)
        return seen

    assert reach(start) == set(table)
    terminal = {status for status, targets in table.items() if not targets}
    assert all(reach(status) & terminal for status in table)


def test_terminal_statuses() -> None:
    """What is over stays over: outcomes are never rewritten."""
    over = {status for status, ways in INTENT_TRANSITIONS.items() if not ways}
    assert over == {"succeeded", "canceled"}
    assert {"succeeded", "failed", "reversed"} == TRANSACTION_TERMINAL


@given(st.lists(st.sampled_from(INTENT_STATUSES), max_size=12))
def test_no_walk_leaves_a_terminal_intent(walk: list[str]) -> None:
    """However steps are tried, an intent that is over takes none of them."""
    status = "created"
    for target in walk:
        before = status
        try:
            check_intent_transition(status, target)
        except LifecycleError:
            continue
        status = target
        assert INTENT_TRANSITIONS[before]


@given(st.sampled_from(TRANSACTION_STATUSES), st.sampled_from(TRANSACTION_STATUSES))
def test_checker_and_table_agree(from_status: str, to_status: str) -> None:
    """The checker passes exactly the pairs of the table."""
    if to_status in TRANSACTION_TRANSITIONS[from_status]:
        check_transaction_transition(from_status, to_status)
    else:
        with pytest.raises(LifecycleError):
            check_transaction_transition(from_status, to_status)


@pytest.mark.parametrize(("result", "statuses"), CHARGE_SETTLEMENTS.items())
def test_settlements_are_legal_steps(result: str, statuses: tuple[str, str]) -> None:
    """Each first result leads transaction and intent along ways that exist."""
    transaction_to, intent_to = statuses
    check_result(1, result)
    check_transaction_transition("pending", transaction_to)
    check_intent_transition("processing", intent_to)
    assert (transaction_to in TRANSACTION_TERMINAL) == (intent_to not in INTENT_LIVE)


def test_every_first_result_has_a_settlement() -> None:
    """No answer of a network is without meaning for a charge."""
    assert set(CHARGE_SETTLEMENTS) == set(ATTEMPT_RESULTS[1])


@pytest.mark.parametrize(
    ("phase", "result"), [(0, "approved"), (1, "reversed"), (1, "manual"), (2, "unknown"), (3, "")]
)
def test_results_belong_to_their_phase(phase: int, result: str) -> None:
    """A resolution is no first result, and unknown resolves nothing."""
    with pytest.raises(LifecycleError):
        check_result(phase, result)


def test_phases_start_where_the_one_before_ended() -> None:
    """A resolution starts only from the statuses that an unknown leaves, a remark from any."""
    assert PHASE_FROM[1] == set(TRANSACTION_STATUSES)
    assert not PHASE_FROM[2] & TRANSACTION_TERMINAL
    assert "pending" not in PHASE_FROM[2]


OUTCOMES = st.tuples(
    st.sampled_from((1, 2)),
    st.sampled_from([*ATTEMPT_RESULTS[1], *ATTEMPT_RESULTS[2]]),
    st.sampled_from(TRANSACTION_STATUSES),
    st.sampled_from(TRANSACTION_STATUSES),
)


@given(OUTCOMES)
def test_outcomes_move_along_the_table_or_not_at_all(outcome: tuple[int, str, str, str]) -> None:
    """Whatever passes the check is a step of the table, or a first result that moves nothing."""
    phase, _, from_status, to_status = outcome
    try:
        check_outcome(*outcome)
    except LifecycleError:
        return
    assert to_status in TRANSACTION_TRANSITIONS[from_status] or (phase, from_status) == (
        1,
        to_status,
    )


@pytest.mark.parametrize(
    "outcome",
    [
        (1, "approved", "pending", "succeeded"),
        (1, "declined", "pending", "pending"),
        (1, "unknown", "pending_verification", "pending_verification"),
        (1, "approved", "reversing", "reversed"),
        (1, "approved", "succeeded", "succeeded"),
        (2, "reversed", "reversing", "reversed"),
        (2, "manual", "pending_verification", "failed"),
    ],
)
def test_outcomes_of_money_2_pass(outcome: tuple[int, str, str, str]) -> None:
    """First results, remarks and resolutions as the operations write them."""
    check_outcome(*outcome)


@pytest.mark.parametrize(
    "outcome",
    [
        (1, "approved", "pending", "pending"),
        (1, "unknown", "pending", "pending"),
        (1, "approved", "failed", "succeeded"),
        (2, "approved", "pending", "succeeded"),
        (2, "approved", "pending_verification", "pending_verification"),
        (2, "unknown", "pending_verification", "failed"),
        (1, "reversed", "reversing", "reversed"),
    ],
)
def test_other_outcomes_are_refused(outcome: tuple[int, str, str, str]) -> None:
    """No resolution without a move, no approval that leaves a transaction pending, no way back."""
    with pytest.raises(LifecycleError):
        check_outcome(*outcome)


def test_live_intents_admit_nothing_and_do_not_expire() -> None:
    """While an operation is live no other one starts and no timer cancels."""
    for statuses in (*ADMITS.values(), EXPIRES):
        assert not statuses & INTENT_LIVE
    assert all("canceled" in INTENT_TRANSITIONS[status] for status in EXPIRES)
