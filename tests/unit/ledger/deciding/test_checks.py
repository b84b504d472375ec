"""What no plan may do, each rule with its good case beside the bad one."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ledger.deciding.checks import CHANGEABLE, PlanError, check_plan, moves
from ledger.deciding.records import IntentView, NewKey, Plan, SafRow, VerificationRow
from ledger.verdicts import KeyFinding
from tests.support.deciding import attempt, new_transaction, outcome, remark, saf_row
from tests.support.intent_views import attempt_view, intent_view, transaction_view
from tests.support.ledger import IDS

CHARGE, REQUEST, REVERSAL = IDS.next(), IDS.next(), IDS.next()
KEY = NewKey(IDS.next(), IDS.next(), IDS.next(), CHARGE)
NAME = (KEY.merchant_id, KEY.key_digest)
DOUBT = VerificationRow(REQUEST, CHARGE, "vsim", 1, 2)
ADVICE = SafRow(REVERSAL, CHARGE, "reversal", "vsim", 1)
RESOLUTION = {"phase": 2, "from_status": "pending_verification"}


UNKNOWN = attempt_view(REQUEST, CHARGE, result="unknown")
IN_DOUBT = intent_view(
    IDS.next(),
    merchant_id=KEY.merchant_id,
    status="pending_verification",
    version=3,
    live_transaction_id=CHARGE,
    transactions=[transaction_view(CHARGE, "pending_verification")],
    attempts=[UNKNOWN],
    verification=[DOUBT],
)
REVERSING = replace(
    IN_DOUBT,
    reversing=True,
    transactions=[transaction_view(CHARGE, "reversing")],
    attempts=[UNKNOWN, attempt_view(REVERSAL, CHARGE, "reversal")],
    saf=[ADVICE],
)
PAID = replace(
    IN_DOUBT,
    status="succeeded",
    live_transaction_id=None,
    captured_minor=2499,
    transactions=[transaction_view(CHARGE, "succeeded")],
    attempts=[replace(UNKNOWN, resolution="approved")],
)
REFUND = new_transaction("refund")
MESSAGE = attempt(REFUND.transaction_id)
BACK = {"from_status": "reversing", "to_status": "reversed"}

GOOD = {
    "adopt": (
        IN_DOUBT,
        Plan(
            intent={"status": "succeeded", "live_transaction_id": None, "captured_minor": 2499},
            outcomes=[outcome(REQUEST, CHARGE, "approved", **RESOLUTION)],
            verify_drop=[REQUEST],
        ),
    ),
    "reverse": (IN_DOUBT, Plan(intent={"reversing": True}, attempts=[attempt(CHARGE, "reversal")])),
    "inquire": (IN_DOUBT, Plan(attempts=[attempt(CHARGE, "inquiry")], verify_update=[DOUBT])),
    "end a reversal": (
        REVERSING,
        Plan(
            intent={"status": "failed", "live_transaction_id": None, "reversing": False},
            outcomes=[
                outcome(REQUEST, CHARGE, "reversed", phase=2, **BACK),
                outcome(REVERSAL, CHARGE, "approved", **BACK),
            ],
            saf_drop=[REVERSAL],
        ),
    ),
    "refund": (PAID, Plan(transactions=[REFUND], attempts=[MESSAGE], saf_add=[saf_row(MESSAGE)])),
    "take a key": (PAID, Plan(key=KEY)),
    "nothing": (PAID, Plan(value=1)),
}

BAD = {
    "an intent": (None, Plan()),
    "may change: amount_minor": (PAID, Plan(intent={"amount_minor": 1})),
    "may change: version": (PAID, Plan(intent={"version": 1})),
    "no way leads from succeeded": (PAID, Plan(intent={"status": "failed"})),
    "no way leads from pending_verification": (IN_DOUBT, Plan(intent={"status": "processing"})),
    "has a live transaction": (IN_DOUBT, Plan(intent={"live_transaction_id": None})),
    "only a canceled intent": (PAID, Plan(free_reference=True)),
    "no way leads from reversing": (
        REVERSING,
        Plan(outcomes=[outcome(REQUEST, CHARGE, "approved", phase=2, from_status="reversing")]),
    ),
    "is not pending_verification": (
        REVERSING,
        Plan(outcomes=[outcome(REQUEST, CHARGE, "approved", **RESOLUTION)]),
    ),
    "has a first result": (
        IN_DOUBT,
        Plan(outcomes=[remark(REQUEST, CHARGE, "unknown", "pending_verification")]),
    ),
    "no unknown to resolve": (
        replace(IN_DOUBT, attempts=[replace(UNKNOWN, result="declined")]),
        Plan(outcomes=[outcome(REQUEST, CHARGE, "approved", **RESOLUTION)]),
    ),
    "no unknown to resolve again": (
        replace(IN_DOUBT, attempts=[replace(UNKNOWN, resolution="manual")]),
        Plan(outcomes=[outcome(REQUEST, CHARGE, "approved", **RESOLUTION)]),
    ),
    "belongs to no attempt": (
        IN_DOUBT,
        Plan(outcomes=[outcome(IDS.next(), CHARGE, "approved", **RESOLUTION)]),
    ),
    "of another transaction": (
        PAID,
        Plan(
            transactions=[REFUND],
            outcomes=[outcome(REQUEST, REFUND.transaction_id, "approved")],
        ),
    ),
    "transaction of the plan is there": (
        PAID,
        Plan(transactions=[replace(REFUND, transaction_id=CHARGE)]),
    ),
    "attempt of the plan is there": (
        PAID,
        Plan(attempts=[attempt(CHARGE, attempt_id=REQUEST)]),
    ),
    "belongs to no transaction": (PAID, Plan(attempts=[MESSAGE])),
    "queue's row belongs to no attempt": (PAID, Plan(saf_add=[saf_row(MESSAGE)])),
    "queue's row belongs to none": (PAID, Plan(verify_add=[replace(DOUBT, attempt_id=CHARGE)])),
    "advice is not in its queue": (PAID, Plan(saf_drop=[REVERSAL])),
    "advice is not in the queue": (PAID, Plan(saf_update=[ADVICE])),
    "doubt is not in its queue": (REVERSING, Plan(verify_drop=[REVERSAL])),
    "doubt is not in the queue": (
        replace(PAID, verification=[]),
        Plan(verify_update=[DOUBT]),
    ),
    "key is taken": (replace(PAID, key=KeyFinding(bytes(16), None, None)), Plan(key=KEY)),
    "key is not the step's": (PAID, Plan(key=replace(KEY, key_digest=bytes(16)))),
}


@pytest.mark.parametrize("name", GOOD)
def test_plans_of_money_2_pass(name: str) -> None:
    """What the operations do is allowed."""
    view, plan = GOOD[name]
    check_plan(view, plan, NAME)


@pytest.mark.parametrize("name", BAD)
def test_a_plan_against_the_rules_is_refused(name: str) -> None:
    """Before anything is written; the error names the rule and no data."""
    view, plan = BAD[name]
    with pytest.raises(PlanError) as refused:
        check_plan(view, plan, NAME)
    words = name.removesuffix(" again").removesuffix(" none").replace("the queue", "its queue")
    assert words in str(refused.value)
    assert "4242" not in str(refused.value)


def test_the_changeable_columns_are_fields_of_a_view() -> None:
    """A plan names columns as a view does."""
    assert set(CHANGEABLE) < set(IntentView.__struct_fields__)


@pytest.mark.parametrize(
    ("plan", "moved"),
    [
        (Plan(), False),
        (Plan(intent={"cancel_requested": True}), True),
        (Plan(transactions=[REFUND]), True),
        (Plan(outcomes=[outcome(REQUEST, CHARGE, "approved", **RESOLUTION)]), True),
        (Plan(outcomes=[remark(REQUEST, CHARGE, "unknown", "pending_verification")]), False),
        (Plan(attempts=[attempt(CHARGE, "inquiry")]), False),
        (Plan(attempts=[attempt(CHARGE, "reversal")]), True),
        (Plan(saf_update=[ADVICE], verify_update=[DOUBT], expire_at_us=5), False),
    ],
)
def test_a_version_is_raised_by_what_a_reader_sees(plan: Plan, moved: bool) -> None:  # noqa: FBT001
    """Remarks, inquiries and queues change nothing of the intent."""
    assert moves(plan, IN_DOUBT) is moved


def test_reversing_what_is_over_changes_nothing_visible() -> None:
    """The 0420 against a contradicting second answer leaves its transaction as it was."""
    over = replace(IN_DOUBT, transactions=[transaction_view(CHARGE, "failed")])
    assert not moves(Plan(attempts=[attempt(CHARGE, "reversal")]), over)
