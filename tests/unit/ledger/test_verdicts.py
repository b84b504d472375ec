"""The tables of verdicts: every finding has one meaning, and no guess refuses a row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.lifecycle import INTENT_STATUSES
from ledger.records import Lost, OutcomeToRecord, Replay, Settled, TransactionRow, Won
from ledger.verdicts import (
    IntentFinding,
    KeyFinding,
    OutcomeFinding,
    charge_verdict,
    key_verdict,
    outcome_verdict,
)
from tests.support.ledger import charge, intent, outcome

MERCHANT = bytes(range(16))
CHARGE = charge(intent(MERCHANT))
IDLE = IntentFinding(MERCHANT, False, "created", None, 0)
STRANGER = b"\x99" * 16


def _transaction(id_: bytes) -> TransactionRow:
    return TransactionRow(
        transaction_id=id_,
        intent_id=CHARGE.intent_id,
        type="charge",
        status="pending",
        amount_minor=2499,
        currency="usd",
        response_code="",
        approval_code="",
        decline_code="",
        advice="",
        card_brand="visa",
        card_last4="4242",
        card_exp_month=12,
        card_exp_year=2030,
        created_at_us=7,
        updated_at_us=7,
    )


def _key(transaction_id: bytes, **changes: object) -> KeyFinding:
    key = KeyFinding(CHARGE.request_hash, transaction_id, _transaction(transaction_id), 2)
    return replace(key, **changes)


def _verdict(found: IntentFinding | None, key: KeyFinding | None = None) -> object:
    return charge_verdict(CHARGE, found, key, charges_per_intent_max=3)


def test_a_row_with_our_own_id_counts_as_won() -> None:
    """Our transaction stands: an earlier run was committed after all, whatever the intent is."""
    assert _verdict(IDLE, _key(CHARGE.transaction_id)) == Won(2499, "usd", 7, 2)


def test_what_is_won_says_how_it_is_captured() -> None:
    """Also of an earlier run whose fate we never learnt."""
    found = replace(IDLE, manual=True, allow_partial=True)
    won = charge_verdict(
        replace(CHARGE, mti="0100"), found, _key(CHARGE.transaction_id), charges_per_intent_max=3
    )
    assert won == Won(2499, "usd", 7, 2, manual=True, allow_partial=True)


def test_nothing_is_held_for_later_over_a_single_message() -> None:
    """A 0200 takes the money at once; a 0100 is not in its way."""
    manual = replace(IDLE, manual=True)
    assert _verdict(manual) == Lost("capture_method_unavailable")
    authorization = replace(CHARGE, mti="0100")
    assert charge_verdict(authorization, manual, None, charges_per_intent_max=3) is None


def test_a_key_of_another_run_is_a_replay_or_a_refusal() -> None:
    """The hash decides; a key without a charge of ours under it is another request's."""
    other = _key(STRANGER)
    assert _verdict(IDLE, other) == Replay(_transaction(STRANGER))
    reused = Lost("idempotency_key_reused")
    assert _verdict(IDLE, _key(STRANGER, request_hash=bytes(16))) == reused
    assert _verdict(IDLE, KeyFinding(CHARGE.request_hash, None, None)) == reused
    assert key_verdict(bytes(16), other) == reused


@pytest.mark.parametrize("holder", [CHARGE.transaction_id, STRANGER], ids=["own", "stranger"])
def test_a_key_without_its_transaction_met_a_used_ciphertext(holder: bytes) -> None:
    """The key was taken and the transaction dropped out: the same answer, then and later."""
    key = _key(holder, transaction=None, intent_version=None)
    assert _verdict(IDLE, key) == Lost("card_ciphertext_reused")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"merchant_id": STRANGER}, "not_found"),
        ({"live": True}, "not_found"),
        ({"status": "processing"}, "operation_in_progress"),
        ({"status": "pending_verification"}, "operation_in_doubt"),
        ({"status": "authorized"}, "already_succeeded"),
        ({"status": "succeeded"}, "already_succeeded"),
        ({"status": "canceled"}, "intent_canceled"),
        ({"live_transaction_id": STRANGER}, "operation_in_progress"),
        ({"charge_count": 3}, "too_many_charges"),
        ({"status": "failed", "charge_count": 3}, "too_many_charges"),
    ],
)
def test_what_the_intent_says_against_a_charge(changes: dict[str, object], code: str) -> None:
    """Each state that admits no charge has its own code; a foreign intent gives nothing away."""
    assert _verdict(replace(IDLE, **changes)) == Lost(code)


def test_absent_intents_are_not_found() -> None:
    """No row, no key."""
    assert _verdict(None) == Lost("not_found")


@pytest.mark.parametrize("status", ["created", "failed"])
def test_an_intent_that_admits_the_charge_leaves_it_undecided(status: str) -> None:
    """Nothing committed explains why it was not taken, so it is tried again, never refused."""
    assert _verdict(replace(IDLE, status=status, charge_count=2)) is None


@given(
    status=st.sampled_from(INTENT_STATUSES),
    live=st.booleans(),
    busy=st.booleans(),
    count=st.integers(0, 5),
)
def test_verdicts_are_total(status: str, live: bool, busy: bool, count: int) -> None:  # noqa: FBT001
    """Whatever the row says there is a verdict, and it is undecided only where it would admit."""
    found = IntentFinding(MERCHANT, live, status, STRANGER if busy else None, count)
    verdict = _verdict(found)
    admitted = not live and status in {"created", "failed"} and not busy and count < 3
    assert (verdict is None) == admitted
    assert isinstance(verdict, Lost) != admitted


OUTCOME = outcome(CHARGE, "approved", at_us=123)
STANDING = OutcomeFinding(
    version=2,
    intent_status="processing",
    live_transaction_id=CHARGE.transaction_id,
    reversing=False,
    cancel_requested=False,
    result=None,
    actor=None,
    at_us=None,
    outcome_version=None,
    outcome_intent_status=None,
    first_result=None,
)
IN_DOUBT = replace(STANDING, intent_status="pending_verification", first_result="unknown")
ADOPTION = replace(OUTCOME, phase=2, from_status="pending_verification")


def test_an_outcome_of_our_own_instant_has_advanced() -> None:
    """An earlier run was committed after all; version and status are those of then."""
    found = replace(
        STANDING,
        version=5,
        intent_status="canceled",
        live_transaction_id=None,
        result="approved",
        actor="network:vsim",
        at_us=123,
        outcome_version=3,
        outcome_intent_status="succeeded",
    )
    assert outcome_verdict(OUTCOME, found) == Settled(True, 3, "succeeded")
    for other in ({"at_us": 124}, {"actor": "recovery"}, {"result": "declined"}):
        assert outcome_verdict(OUTCOME, replace(found, **other)) == Settled(False, 5, "canceled")


def test_an_outcome_without_intent_advances_nothing() -> None:
    """No row."""
    assert outcome_verdict(OUTCOME, None) == Settled(False, 0, "")


@pytest.mark.parametrize(("row", "found"), [(OUTCOME, STANDING), (ADOPTION, IN_DOUBT)])
def test_an_outcome_that_should_still_advance_is_undecided(
    row: OutcomeToRecord, found: OutcomeFinding
) -> None:
    """Live, unresolved, nobody reversing: the guards would pass, so it is tried again."""
    assert outcome_verdict(row, found) is None


@pytest.mark.parametrize(
    ("row", "found", "changes"),
    [
        (OUTCOME, STANDING, {"live_transaction_id": None, "intent_status": "failed"}),
        (OUTCOME, STANDING, {"live_transaction_id": STRANGER}),
        (OUTCOME, STANDING, {"reversing": True}),
        (OUTCOME, STANDING, {"intent_status": "pending_verification"}),
        (OUTCOME, STANDING, {"result": "declined", "actor": "network:vsim", "at_us": 1}),
        (ADOPTION, IN_DOUBT, {"reversing": True}),
        (ADOPTION, IN_DOUBT, {"cancel_requested": True}),
        (ADOPTION, IN_DOUBT, {"intent_status": "processing"}),
        (ADOPTION, IN_DOUBT, {"first_result": "declined"}),
        (ADOPTION, IN_DOUBT, {"first_result": None}),
        (ADOPTION, IN_DOUBT, {"live_transaction_id": STRANGER}),
    ],
)
def test_late_and_second_outcomes_do_not_advance(
    row: OutcomeToRecord, found: OutcomeFinding, changes: dict[str, object]
) -> None:
    """Each guard of the compare-and-set, broken alone, leaves the intent as it stands."""
    standing = replace(found, **changes)
    assert outcome_verdict(row, standing) == Settled(False, 2, standing.intent_status)
