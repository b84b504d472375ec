"""Histories as they should be, and each with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.postings.accounts import KINDS, Parties
from ledger.postings.history import (
    AttemptFact,
    History,
    IntentFact,
    OutcomeFact,
    PostingFact,
    TransactionFact,
    amounts,
    intent_statuses,
    states,
)
from ledger.postings.invariants import judge

INTENT, MERCHANT = b"i" * 16, b"m" * 16
CHARGE, CAPTURE, CANCEL, REFUND = (name * 16 for name in (b"h", b"c", b"x", b"r"))
PARTIES = Parties(MERCHANT, live=False, network="vsim", currency="usd")


def intent(status: str, **changes: Any) -> IntentFact:
    """A manual intent of 1000."""
    fields: dict[str, Any] = dict.fromkeys(
        ("capturable_minor", "captured_minor", "refund_pending_minor", "refunded_minor"), 0
    )
    fields |= {"live_transaction_id": None, "capture_method": "manual", "cancel_requested": False}
    return IntentFact(
        intent_id=INTENT,
        merchant_id=MERCHANT,
        amount_minor=1000,
        version=9,
        live=False,
        currency="usd",
        status=status,
        **fields | changes,
    )


def transaction(id_: bytes, type_: str, amount: int = 1000, *, final: bool | None = None) -> Any:
    """One of this intent."""
    return TransactionFact(INTENT, id_, type_, amount, final)


def attempt(of: bytes, kind: str = "request", *, queued: bool = False, rrn: str = "") -> Any:
    """A message of a transaction; its RRN is the transaction's unless given."""
    id_ = of[:15] + kind[2:3].encode()
    return AttemptFact(INTENT, id_, of, kind, "vsim", rrn or of.decode()[:12], queued)


def outcome(
    of: bytes, version: int, to: str = "succeeded", *, start: str = "pending", **changes: Any
) -> Any:
    """The first result of a transaction's request."""
    fields = {"phase": 1, "result": "approved", "approved_minor": None, "letter": b"q"} | changes
    attempt_id = of[:15] + fields.pop("letter")
    return OutcomeFact(
        INTENT,
        attempt_id,
        of,
        from_status=start,
        to_status=to,
        intent_version=version,
        at_us=version,
        **fields,
    )


def posting(of: bytes, kind: str, amount: int) -> PostingFact:
    """As it should be booked."""
    debit, credit = (PARTIES.account(purpose).id for purpose in KINDS[kind])
    return PostingFact(INTENT, of, kind, amount, debit, credit, "usd", live=False)


# Authorized, 400 captured finally (so 600 given back), 100 of it refunded.
GOOD = History(
    intent("succeeded", captured_minor=400, refunded_minor=100),
    (
        transaction(CHARGE, "charge"),
        transaction(CAPTURE, "capture", 400, final=True),
        transaction(REFUND, "refund", 100),
    ),
    (
        attempt(CHARGE),
        attempt(CAPTURE),
        attempt(CAPTURE, "release", queued=True),
        attempt(REFUND),
    ),
    (outcome(CHARGE, 3), outcome(CAPTURE, 5), outcome(REFUND, 7)),
    (
        posting(CHARGE, "hold", 1000),
        posting(CAPTURE, "hold_posted", 400),
        posting(CAPTURE, "capture", 400),
        posting(CAPTURE, "fee", 12),
        posting(CAPTURE, "hold_released", 600),
        posting(REFUND, "refund", 60),
        posting(REFUND, "refund_owed", 40),
    ),
)
FAILED_LATER = outcome(CHARGE, 4, "failed", start="succeeded")
RESOLVED = outcome(CHARGE, 4, "succeeded", start="pending", phase=2)
SECOND = transaction(CANCEL, "cancel")


def test_a_good_history_breaks_no_rule() -> None:
    """The split of a refund and the fee are as they were booked, and no rule's business."""
    assert judge(GOOD).violations == ()
    assert judge(GOOD).unbooked_since_us is None


def _posting(history: History, place: int, **changes: Any) -> History:
    postings = list(history.postings)
    postings[place] = replace(postings[place], **changes)
    return replace(history, postings=postings)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda h: replace(h, outcomes=(*h.outcomes, FAILED_LATER)), "I2 steps"),
        (lambda h: replace(h, outcomes=(*h.outcomes, RESOLVED)), "I2 resolution"),
        (lambda h: replace(h, intent=replace(h.intent, status="authorized")), "I2 status"),
        (
            lambda h: replace(h, intent=replace(h.intent, live_transaction_id=CHARGE)),
            "I3 mutex",
        ),
        (lambda h: replace(h, transactions=(*h.transactions, SECOND)), "I3 mutex"),
        (
            lambda h: replace(
                h,
                transactions=(*h.transactions, SECOND, transaction(b"y" * 16, "capture", 1)),
            ),
            "I3 operations",
        ),
        (
            lambda h: replace(
                h,
                transactions=(*h.transactions, transaction(b"z" * 16, "charge")),
                outcomes=(*h.outcomes, outcome(b"z" * 16, 8)),
            ),
            "I3 charges",
        ),
        (
            lambda h: replace(h, attempts=(*h.attempts, attempt(CHARGE, "reversal", queued=True))),
            "I4 reversal",
        ),
        (
            lambda h: replace(h, attempts=(*h.attempts, attempt(CHARGE, "reversal", rrn="other"))),
            "I5 advice",
        ),
        (lambda h: replace(h, intent=replace(h.intent, captured_minor=401)), "I9 captured_minor"),
        (lambda h: replace(h, intent=replace(h.intent, capturable_minor=1)), "I9 capturable_minor"),
        (lambda h: replace(h, intent=replace(h.intent, refunded_minor=0)), "I9 refunded_minor"),
        (
            lambda h: replace(h, intent=replace(h.intent, refund_pending_minor=1)),
            "I9 refund_pending_minor",
        ),
        (lambda h: _posting(h, 2, amount_minor=399), "I9 posting capture"),
        (lambda h: _posting(h, 4, amount_minor=601), "I9 posting hold_released"),
        (lambda h: replace(h, postings=(*h.postings, h.postings[0])), "I9 posting hold"),
        (
            lambda h: replace(h, postings=(*h.postings, posting(CANCEL, "capture", 1))),
            "I9 posting capture",
        ),
        (lambda h: _posting(h, 6, debit_account=b"?" * 16), "I9 accounts"),
        (lambda h: _posting(h, 6, currency="eur"), "I9 currency"),
        (lambda h: _posting(h, 3, amount_minor=401), "I9 fees"),
        (
            lambda h: replace(
                h, transactions=[replace(t, amount_minor=2000) for t in h.transactions]
            ),
            "I9 captured_minor",
        ),
    ],
)
def test_each_fault_is_found(spoil: Callable[[History], History], expected: str) -> None:
    """One thing wrong: the rule that it breaks is named."""
    found = {f"{one.invariant} {one.rule}" for one in judge(spoil(GOOD)).violations}
    assert expected in found


def test_what_the_books_cannot_admit_is_found() -> None:
    """More captured than was authorized, whatever the rows say of it."""
    transactions = [
        replace(one, amount_minor=1001) if one.type == "capture" else one
        for one in GOOD.transactions
    ]
    found = judge(replace(GOOD, transactions=transactions)).violations
    assert ("I9", "rules") in {(one.invariant, one.rule) for one in found}


def test_a_success_without_postings_is_waited_for() -> None:
    """Since when is told; a decline has nothing to book."""
    verdict = judge(replace(GOOD, postings=GOOD.postings[:5]))
    assert (verdict.violations, verdict.unbooked_since_us) == ((), 7)
    declined = History(
        intent("failed"),
        (transaction(CHARGE, "charge"),),
        (attempt(CHARGE),),
        (outcome(CHARGE, 3, "failed", result="declined"),),
    )
    assert judge(declined) == judge(replace(declined, postings=()))
    assert judge(declined).unbooked_since_us is None


@pytest.mark.parametrize(
    ("outcomes", "attempts", "status", "live", "expected"),
    [
        ((), (), "processing", CHARGE, "pending"),
        (
            (outcome(CHARGE, 3, "pending_verification", result="unknown"),),
            (),
            "pending_verification",
            CHARGE,
            "pending_verification",
        ),
        (
            (outcome(CHARGE, 3, "pending_verification", result="unknown"),),
            (attempt(CHARGE, "reversal", queued=True),),
            "pending_verification",
            CHARGE,
            "reversing",
        ),
        (
            (
                outcome(CHARGE, 3, "pending_verification", result="unknown"),
                outcome(CHARGE, 5, "reversed", start="reversing", phase=2, result="reversed"),
                outcome(CHARGE, 5, "reversed", start="reversing", letter=b"v"),
            ),
            (attempt(CHARGE, "reversal"),),
            "failed",
            None,
            "reversed",
        ),
        (
            (
                outcome(CHARGE, 3, "reversing", result="partial", approved_minor=10),
                outcome(CHARGE, 5, "reversed", start="reversing", letter=b"v"),
            ),
            (attempt(CHARGE, "reversal"),),
            "failed",
            None,
            "reversed",
        ),
    ],
)
def test_doubts_and_reversals_are_recomputed(
    outcomes: Any, attempts: Any, status: str, live: bytes | None, expected: str
) -> None:
    """Every way through a doubt leads where the ledger's own tables lead, and books nothing."""
    history = History(
        intent(status, live_transaction_id=live),
        (transaction(CHARGE, "charge"),),
        (attempt(CHARGE), *attempts),
        outcomes,
    )
    [state] = states(history)
    assert (state.status, state.breaks) == (expected, "")
    assert status in intent_statuses(history, [state])
    assert amounts(history, [state]).captured_minor == 0
    assert judge(history).violations == ()
