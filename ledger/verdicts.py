"""What became of rows that a commit did not return: pure tables of verdicts.

Theory of operation
-------------------
The two commits return the rows that went through. Why another did not cannot be told by the same
statement: a row that conflicts with it is invisible to its snapshot. So a later statement reads
what stands in the way (the findings), and the functions here turn each finding into a verdict.
They are total and the same for both lanes.

None means *undecided*: nothing that is committed explains why the row was not taken, so its intent
was locked by somebody, or it moved on between the two statements. Such a row is tried again; it is
never refused on a guess.

A row that already carries our own id counts as won: an earlier run, whose fate we never learnt,
was committed after all.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ledger.lifecycle import ADMITS
from ledger.records import (
    ChargeToRecord,
    Lost,
    OutcomeToRecord,
    Replay,
    Settled,
    TransactionRow,
    Verdict,
    Won,
)

SINGLE_MESSAGE_MTI: Final = "0200"  # authorizes and captures at once: nothing is left for later

# What a charge hears of an intent whose status admits none.
_STATUS_CODES: Final = {
    "processing": "operation_in_progress",
    "pending_verification": "operation_in_doubt",
    "authorized": "already_succeeded",
    "failed": "too_many_charges",  # a verification comes before the first charge
    "succeeded": "already_succeeded",
    "canceled": "intent_canceled",
}


class KeyFinding(Struct, gc=False, frozen=True):
    """An idempotency key that is taken; its transaction is None where none was inserted."""

    request_hash: bytes
    transaction_id: bytes | None
    transaction: TransactionRow | None
    intent_version: int | None = None  # of the intent after that transaction's commit


class IntentFinding(Struct, gc=False, frozen=True):
    """The intent row as it stands."""

    merchant_id: bytes
    live: bool
    status: str
    live_transaction_id: bytes | None
    charge_count: int
    manual: bool = False
    allow_partial: bool = False


class OutcomeFinding(Struct, gc=False, frozen=True):
    """The intent row, and the outcome that stands under the attempt and phase, if any."""

    version: int
    intent_status: str
    live_transaction_id: bytes | None
    reversing: bool
    cancel_requested: bool
    result: str | None
    actor: str | None
    at_us: int | None
    outcome_version: int | None
    outcome_intent_status: str | None
    first_result: str | None


def key_verdict(request_hash: bytes, key: KeyFinding) -> Replay | Lost:
    """What a request hears whose idempotency key is taken by another run."""
    if key.request_hash != request_hash or key.transaction_id is None:
        return Lost("idempotency_key_reused")
    if key.transaction is None:
        # Commit 1 took the key, then found the ciphertext used before on this intent.
        return Lost("card_ciphertext_reused")
    return Replay(key.transaction)


def charge_verdict(
    charge: ChargeToRecord,
    intent: IntentFinding | None,
    key: KeyFinding | None,
    *,
    charges_per_intent_max: int,
) -> Verdict | None:
    """Why commit 1 did not take a charge; None while nothing committed explains it."""
    if key is not None:
        own = key.transaction if key.transaction_id == charge.transaction_id else None
        if own is not None and key.intent_version is not None:
            manual, partial = (intent.manual, intent.allow_partial) if intent else (False, False)
            return Won(
                own.amount_minor,
                own.currency,
                own.created_at_us,
                key.intent_version,
                manual,
                partial,
            )
        return key_verdict(charge.request_hash, key)
    refusal = _refusal(charge, intent, charges_per_intent_max)
    return Lost(refusal) if refusal else None


def _refusal(
    charge: ChargeToRecord, intent: IntentFinding | None, charges_per_intent_max: int
) -> str:
    """The error code of an intent that admits no charge, or empty."""
    if intent is None or (intent.merchant_id, intent.live) != (charge.merchant_id, charge.live):
        return "not_found"
    if intent.status not in ADMITS[charge.type]:
        return _STATUS_CODES[intent.status]
    if intent.live_transaction_id is not None:
        return "operation_in_progress"  # a verification leaves the intent `created`
    if intent.manual and charge.mti == SINGLE_MESSAGE_MTI:
        return "capture_method_unavailable"
    if intent.charge_count >= charges_per_intent_max:
        return "too_many_charges"
    return ""


def outcome_verdict(outcome: OutcomeToRecord, finding: OutcomeFinding | None) -> Settled | None:
    """Why commit 2 did not advance an intent; None while it still should."""
    if finding is None:
        return Settled(advanced=False, version=0, intent_status="")
    if (finding.result, finding.actor, finding.at_us) == (
        outcome.result,
        outcome.actor,
        outcome.at_us,
    ):
        return Settled(
            advanced=True,
            version=finding.outcome_version or 0,
            intent_status=finding.outcome_intent_status or "",
        )
    if finding.result is None and _may_advance(outcome, finding):
        return None
    return Settled(advanced=False, version=finding.version, intent_status=finding.intent_status)


def _may_advance(outcome: OutcomeToRecord, finding: OutcomeFinding) -> bool:
    """The guards of commit 2, on what was read later."""
    if finding.live_transaction_id != outcome.transaction_id or finding.reversing:
        return False
    in_doubt = finding.intent_status == "pending_verification"
    if outcome.phase == 1:
        return not in_doubt
    return in_doubt and not finding.cancel_requested and finding.first_result == "unknown"
