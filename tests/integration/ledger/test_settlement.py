"""What outcomes of commit 2 bring with them: doubts, expiry, declines, completions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from ledger.connection import Connection
from ledger.dsn import hot_settings
from ledger.records import CompletionToRecord, Lost, Settled, Won
from tests.support.cutting_proxy import CuttingProxy
from tests.support.ledger import IDS, LIMITS, NOW_US, charge, kinds, outcome

if TYPE_CHECKING:
    import trio

    from ledger.records import ChargeToRecord, OutcomeToRecord
    from tests.support.ledger import LedgerHarness

SOON_US = NOW_US + 1_000_000
LATER_US = NOW_US + 30_000_000
LEFT = Settled(advanced=False, version=3, intent_status="failed")


async def _charged(ledger: LedgerHarness, **changes: Any) -> ChargeToRecord:
    [of] = await ledger.created(**changes)
    row = charge(of)
    await ledger.charges.record([row], lane="fast")
    return row


async def _verified(ledger: LedgerHarness, **changes: Any) -> ChargeToRecord:
    [of] = await ledger.created(**changes)
    row = charge(of, type="verification", mti="0100")
    assert kinds(await ledger.charges.record([row], lane="fast")) == ["Won"]
    return row


def _unknown(row: ChargeToRecord, **changes: Any) -> OutcomeToRecord:
    return outcome(row, "unknown", verify_at_us=SOON_US, verify_until_us=LATER_US, **changes)


def _authorized(row: ChargeToRecord, **changes: Any) -> OutcomeToRecord:
    return outcome(row, intent_to="authorized", capture_before_us=LATER_US, **changes)


def _completed(row: ChargeToRecord, **changes: Any) -> OutcomeToRecord:
    message = CompletionToRecord(IDS.next(), "0220", "000009", "0102030407", due_at_us=SOON_US)
    return outcome(row, completion=message, **changes)


async def _intent(ledger: LedgerHarness, row: ChargeToRecord, columns: str) -> tuple[Any, ...]:
    sql = f"SELECT {columns} FROM payment_intents WHERE id = $1::uuid"
    return (await ledger.rows(sql, row.intent_id))[0]


async def test_an_unknown_opens_a_doubt(ledger: LedgerHarness) -> None:
    """In the same commit, so that no crash leaves a charge in doubt that nobody looks into."""
    row = await _charged(ledger)
    await ledger.outcomes.settle([_unknown(row)])
    doubts = await ledger.rows(
        "SELECT attempt_id, transaction_id, due_at, window_ends_at, inquiries, epoch, owner,"
        " network FROM verifications WHERE intent_id = $1::uuid",
        row.intent_id,
    )
    owned = (ledger.lease.epoch, ledger.switch, "vsim")
    assert doubts == [(row.attempt_id, row.transaction_id, SOON_US, LATER_US, 0, *owned)]


async def test_a_late_answer_closes_its_doubt(ledger: LedgerHarness) -> None:
    """Whoever adopts takes it out of the queue; another intent's stays."""
    rows = [await _charged(ledger) for _ in range(2)]
    await ledger.outcomes.settle([_unknown(row) for row in rows])
    await ledger.outcomes.settle([outcome(rows[0], phase=2)])
    assert [await ledger.count("verifications", row) for row in rows] == [0, 1]


async def test_a_manual_approval_may_be_captured_for_a_time(ledger: LedgerHarness) -> None:
    """Authorized: nothing captured yet, the mutex free, and a timer at the end of it."""
    row = await _charged(ledger, capture_method="manual")
    [settled] = await ledger.outcomes.settle([_authorized(row)])
    assert settled == Settled(True, 3, "authorized")
    columns = "status, live_transaction_id, capturable_minor, captured_minor, capture_before"
    assert await _intent(ledger, row, columns) == ("authorized", None, 2499, 0, LATER_US)
    timers = await ledger.rows(
        "SELECT due_at FROM intent_expiry WHERE intent_id = $1::uuid ORDER BY due_at", row.intent_id
    )
    assert (LATER_US,) in timers
    assert len(timers) == 2


async def test_a_part_may_be_captured_of_a_partial_approval(ledger: LedgerHarness) -> None:
    """What the issuer approved is what there is to capture."""
    row = await _charged(ledger, capture_method="manual", allow_partial=True)
    partial = replace(_authorized(row), result="partial", approved_minor=1000)
    await ledger.outcomes.settle([partial])
    assert await _intent(ledger, row, "capturable_minor, captured_minor") == (1000, 0)


async def test_a_late_manual_approval_is_authorized_too(ledger: LedgerHarness) -> None:
    """The resolution of a doubt brings what the first result would have brought."""
    row = await _charged(ledger, capture_method="manual")
    await ledger.outcomes.settle([_unknown(row)])
    late = _authorized(row, phase=2)
    assert await ledger.outcomes.settle([late]) == [Settled(True, 4, "authorized")]
    assert await _intent(ledger, row, "capturable_minor, capture_before") == (2499, LATER_US)
    assert await ledger.count("intent_expiry", row) == 2
    assert await ledger.count("verifications", row) == 0


async def test_a_decline_is_remembered(ledger: LedgerHarness) -> None:
    """By merchant and card, which the ledger knows itself."""
    row = await _charged(ledger)
    told = outcome(row, "declined", decline_class="hard")
    await ledger.outcomes.settle([told])
    declines = await ledger.rows(
        "SELECT at, merchant_id, fingerprint, network, class FROM declines"
        " WHERE attempt_id = $1::uuid",
        row.attempt_id,
    )
    assert declines == [(told.at_us, row.merchant_id, row.fingerprint, "vsim", "hard")]


@pytest.mark.parametrize(("approved_minor", "amount_minor"), [(0, 2499), (1000, 1000)])
async def test_a_charge_on_a_dual_message_network_is_completed(
    ledger: LedgerHarness, approved_minor: int, amount_minor: int
) -> None:
    """Attempt and advice stand with the outcome; the send that follows is counted already."""
    row = await _charged(ledger)
    told = _completed(row, approved_minor=approved_minor)
    message = told.completion
    assert message is not None
    assert (await ledger.outcomes.settle([told]))[0].advanced
    attempts = await ledger.rows(
        "SELECT id, transaction_id, kind, network, acquirer_id, mti, stan, rrn, de7, amount_minor,"
        " currency, owner, epoch, deadline_at FROM attempts"
        " WHERE intent_id = $1::uuid AND kind <> 'request'",
        row.intent_id,
    )
    sent = (row.network, row.acquirer_id, "0220", "000009", row.rrn, "0102030407")
    owned = (ledger.switch, ledger.lease.epoch)
    head = (message.attempt_id, row.transaction_id, "completion")
    assert attempts == [(*head, *sent, amount_minor, "usd", *owned, SOON_US)]
    queued = await ledger.rows(
        "SELECT attempt_id, transaction_id, kind, network, due_at, repeats, manual, owner, epoch"
        " FROM store_and_forward WHERE intent_id = $1::uuid",
        row.intent_id,
    )
    assert queued == [(*head, "vsim", SOON_US, 1, False, *owned)]
    assert await _intent(ledger, row, "status, captured_minor") == ("succeeded", amount_minor)


@pytest.mark.parametrize("brings", [_unknown, _authorized, _completed])
async def test_an_outcome_that_does_not_advance_brings_nothing(
    ledger: LedgerHarness, brings: Any
) -> None:
    """A second answer opens no doubt, starts no timer, remembers nothing, completes nothing."""
    row = await _charged(ledger)
    await ledger.outcomes.settle([outcome(row, "declined")])
    late = replace(brings(row), decline_class="soft")
    assert await ledger.outcomes.settle([late]) == [LEFT]
    tables = ("verifications", "store_and_forward", "attempts", "intent_expiry")
    assert [await ledger.count(table, row) for table in tables] == [0, 0, 1, 1]
    assert not await ledger.rows(
        "SELECT 1 FROM declines WHERE attempt_id = $1::uuid", row.attempt_id
    )


async def test_a_batch_brings_what_each_of_its_rows_brings(ledger: LedgerHarness) -> None:
    """Plain approvals among them are settled as ever."""
    rows = [await _charged(ledger) for _ in range(6)]
    batch = [
        outcome(rows[0]),
        _unknown(rows[1]),
        _authorized(rows[2]),
        _completed(rows[3]),
        outcome(rows[4], "declined", decline_class="soft"),
        outcome(rows[5]),
    ]
    settled = await ledger.outcomes.settle(batch)
    assert settled == [Settled(True, 3, told.intent_to) for told in batch]
    assert [await ledger.count("verifications", row) for row in rows] == [0, 1, 0, 0, 0, 0]
    assert [await ledger.count("store_and_forward", row) for row in rows] == [0, 0, 0, 1, 0, 0]
    assert [await ledger.count("intent_expiry", row) for row in rows] == [1, 1, 2, 1, 1, 1]


async def test_a_repeated_commit_does_not_bring_back_what_was_taken_away(
    ledger: LedgerHarness, nursery: trio.Nursery
) -> None:
    """Its answer lost, the commit stands; by the time it is repeated its doubt is closed."""
    row = await _charged(ledger)
    told = _unknown(row)
    proxy = CuttingProxy(ledger.dsn("turnout_switch"))
    await nursery.start(proxy.run)
    lost = 0

    async def connect() -> Connection:
        nonlocal lost
        lost += 1
        if lost == 2:  # the session after the cut
            await ledger.rows(
                "DELETE FROM verifications WHERE intent_id = $1::uuid RETURNING 1", row.intent_id
            )
        return await Connection.open(
            proxy.dsn, role_settings=hot_settings(LIMITS), connect_timeout_s=10
        )

    committer = ledger.outcome_committer(connect=connect)
    await committer.settle([outcome(await _charged(ledger))])
    proxy.mode = "answer"
    assert (await committer.settle([told]))[0].advanced
    assert (proxy.cuts, lost) == (1, 2)
    assert await ledger.count("verifications", row) == 0
    await committer.aclose()


async def test_a_verification_leaves_its_intent_created(ledger: LedgerHarness) -> None:
    """Amount 0, the mutex held while it is under way, no amount touched when it is over."""
    row = await _verified(ledger)
    columns = "status, live_transaction_id, captured_minor, capturable_minor"
    assert await _intent(ledger, row, columns) == ("created", row.transaction_id, 0, 0)
    told = outcome(row, intent_to="created")
    assert await ledger.outcomes.settle([told]) == [Settled(True, 3, "created")]
    assert await _intent(ledger, row, columns) == ("created", None, 0, 0)
    [stored] = await ledger.rows(
        "SELECT t.type, t.amount_minor, a.amount_minor FROM transactions t"
        " JOIN attempts a ON a.intent_id = t.intent_id WHERE t.intent_id = $1::uuid",
        row.intent_id,
    )
    assert stored == ("verification", 0, 0)


async def test_a_verification_in_doubt_has_failed(ledger: LedgerHarness) -> None:
    """No money moved: nothing is looked into, and the card may be asked about again."""
    row = await _verified(ledger)
    told = replace(outcome(row, "unknown"), to_status="failed", intent_to="created")
    assert (await ledger.outcomes.settle([told]))[0].advanced
    assert await ledger.count("verifications", row) == 0
    [of] = await ledger.created()
    again = charge(of, type="verification", intent_id=row.intent_id, merchant_id=row.merchant_id)
    assert kinds(await ledger.charges.record([again], lane="slow")) == ["Won"]


async def test_a_verification_that_cannot_be_stored_has_failed(ledger: LedgerHarness) -> None:
    """Its stand-in leaves the intent created, without a doubt."""
    row = await _verified(ledger)
    bad = outcome(row, intent_to="created", approval_code="1234567")
    assert await ledger.outcomes.settle([bad]) == [Settled(False, 3, "created")]
    assert await ledger.count("verifications", row) == 0


async def test_a_charge_that_cannot_be_stored_is_looked_into(ledger: LedgerHarness) -> None:
    """The stand-in of an outcome that no column takes opens a doubt like any unknown."""
    row = await _charged(ledger)
    bad = outcome(row, approval_code="1234567")
    assert await ledger.outcomes.settle([bad]) == [Settled(False, 3, "pending_verification")]
    [(due_at,)] = await ledger.rows(
        "SELECT due_at FROM verifications WHERE intent_id = $1::uuid", row.intent_id
    )
    assert due_at == bad.at_us


@pytest.mark.parametrize("lane", ["fast", "slow"])
async def test_verifications_and_charges_share_a_batch(ledger: LedgerHarness, lane: Any) -> None:
    """Each gets what it asked for; a failed intent can be charged, but not verified."""
    intents = await ledger.created(4)
    failed = [charge(of) for of in intents[2:]]
    await ledger.charges.record(failed, lane="fast")
    await ledger.outcomes.settle([outcome(row, "declined") for row in failed])
    types = ["charge", "verification", "charge", "verification"]
    batch = [charge(of, type=type_) for of, type_ in zip(intents, types, strict=True)]
    verdicts = await ledger.charges.record(batch, lane=lane)
    assert verdicts[3] == Lost("too_many_charges")
    amounts = [verdict.amount_minor for verdict in verdicts[:3] if isinstance(verdict, Won)]
    assert amounts == [2499, 0, 2499]
    other = charge(intents[1], key_digest=os.urandom(16))
    assert await ledger.charges.record([other], lane="slow") == [Lost("operation_in_progress")]


@pytest.mark.parametrize(
    ("told", "stored"), [("2026-11-23", 9823), ("", None), ("2026-02-30", None), ("1123", None)]
)
async def test_settlement_dates_are_kept(
    ledger: LedgerHarness, told: str, stored: int | None
) -> None:
    """DE 15 with its year; what is no date is dropped, for the outcome is worth more."""
    row = await _charged(ledger)
    assert (await ledger.outcomes.settle([outcome(row, settles_on=told)]))[0].advanced
    rows = await ledger.rows(
        "SELECT settles_on FROM outcomes WHERE intent_id = $1::uuid", row.intent_id
    )
    assert rows == [(stored,)]
