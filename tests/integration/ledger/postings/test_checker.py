"""The checker against a real ledger: quiet where all is well, loud where somebody meddled."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chassis.settings.tree import Postings
from ledger.connection import Connection
from ledger.ids import public_id
from ledger.postings.checker import GROUP, Checker
from ledger.postings.rules import FeeSchedule
from ledger.stream.cursors import read_cursor
from tests.support.deciding import Decide, refund, settle_refund
from tests.support.ledger import LedgerHarness, outcome
from tests.support.posting import LIMITS, ROLE, Booked, booking

PLANT_REVERSAL = (
    "INSERT INTO attempts (intent_id, id, transaction_id, amount_minor, deadline_at, epoch, owner,"
    " network, acquirer_id, mti, stan, rrn, de7, currency, kind)"
    " SELECT intent_id, uuidv7(), transaction_id, 1, now(), 1, owner, network, acquirer_id, '0420',"
    " stan, rrn, de7, currency, 'reversal' FROM attempts WHERE intent_id = $1::uuid"
)
FAST = Postings(check_intents_per_s=1_000_000, check_interval_s=0.0, trial_interval_s=0.0)


class Checked:
    """A ledger, what it has booked, and a checker whose clock can be set forward."""

    def __init__(self, booked: Booked, snapshots: Connection) -> None:
        self.booked = booked
        self.ledger = booked.ledger
        self._snapshots = snapshots
        self.checker: Checker
        self.ahead_us = 0

    async def check(self, *, book: bool = True) -> list[tuple[str, bytes | None, dict[str, Any]]]:
        """Book, then check as a process started anew; what has been told so far."""
        if book:
            await self.booked.book(fees=FeeSchedule(100, 0))
        else:
            await self.booked.stream()
        async with self.booked.backend.reader() as reader:
            self.checker = Checker(
                reader,
                self._snapshots,
                self.booked.session,
                limits=FAST,
                stream=LIMITS,
                now_us=lambda: time.time_ns() // 1_000 + self.ahead_us,
                booked=lambda: 1_000_000,
            )
            cursor = await read_cursor(self.booked.session, GROUP, 0)
            for _ in range(3):
                cursor = await self.checker.step(cursor)
        rows = await self.ledger.rows("SELECT kind, intent_id, detail FROM exceptions ORDER BY id")
        return [(kind, intent_id, msgspec.json.decode(detail)) for kind, intent_id, detail in rows]

    async def meddle(self, sql: str, intent_id: bytes) -> None:
        """Change something as nobody but a superuser can."""
        [_] = await self.ledger.rows(f"{sql} RETURNING 1", intent_id)


@pytest.fixture
async def checked(ledger: LedgerHarness, tmp_path: Path) -> AsyncIterator[Checked]:
    """Nothing booked, nothing checked; both sessions have the booking role's rights."""
    snapshots = await ledger.session(ROLE, default_transaction_isolation="repeatable read")
    async with booking(ledger, tmp_path) as booked:
        yield Checked(booked, snapshots)


async def test_ordinary_payments_break_no_rule(checked: Checked) -> None:
    """Approved, declined, in doubt, resolved, refunded: nothing is told, and all are looked at."""
    ledger = checked.ledger
    [row] = await ledger.charged(1)
    await ledger.charged(1, result="declined")
    [doubt, resolved] = await ledger.charged(2, result="unknown")
    await ledger.outcomes.settle([outcome(resolved, "approved", phase=2)])
    await ledger.created(1)
    for result in ("approved", "declined"):
        new, decide = refund(700)
        await ledger.decisions.run([Decide(row.intent_id, decide)])
        await ledger.decisions.run([Decide(row.intent_id, settle_refund(new, result))])
    _, decide = refund(99)
    await ledger.decisions.run([Decide(row.intent_id, decide)])
    assert await checked.check() == []
    assert checked.checker.figures.checked >= 5
    assert checked.checker.figures.waiting == 0
    assert doubt.intent_id != row.intent_id


@pytest.mark.parametrize(
    ("sql", "invariant", "rule"),
    [
        (
            "UPDATE payment_intents SET captured_minor = 2498 WHERE id = $1::uuid",
            "I9",
            "captured_minor",
        ),
        (
            "UPDATE payment_intents SET status = 'failed' WHERE id = $1::uuid",
            "I2",
            "status",
        ),
        (
            (
                "UPDATE payment_intents SET live_transaction_id = uuidv7(), status = 'authorized'"
                " WHERE id = $1::uuid"
            ),
            "I3",
            "mutex",
        ),
        (
            "UPDATE postings SET amount_minor = 2498 WHERE intent_id = $1::uuid AND leg = 0",
            "I9",
            "posting capture",
        ),
        (
            "UPDATE postings SET credit_account = uuidv7() WHERE intent_id = $1::uuid AND leg = 0",
            "I9",
            "accounts",
        ),
        (
            "UPDATE postings SET amount_minor = 9999 WHERE intent_id = $1::uuid AND leg = 1",
            "I9",
            "fees",
        ),
        (
            (
                "UPDATE outcomes SET from_status = 'reversing', to_status = 'reversed', phase = 2,"
                " result = 'reversed' WHERE intent_id = $1::uuid"
            ),
            "I2",
            "resolution",
        ),
        (
            PLANT_REVERSAL,
            "I5",
            "advice",
        ),
    ],
)
async def test_a_planted_violation_is_found_and_named(
    checked: Checked, capsys: pytest.CaptureFixture[str], sql: str, invariant: str, rule: str
) -> None:
    """A superuser's change of one row is told with its payment, once, and no other payment is."""
    [row] = await checked.ledger.charged(1)
    await checked.ledger.charged(2)
    assert await checked.check() == []
    await checked.meddle(sql, row.intent_id)
    told = await checked.check()
    assert {intent_id for _, intent_id, _ in told} == {row.intent_id}
    assert (invariant, rule) in {(detail["invariant"], detail["rule"]) for *_, detail in told}
    assert public_id("pi", row.intent_id) in capsys.readouterr().err
    assert checked.checker.figures.violations == len(told)
    assert await checked.check() == told


async def test_a_reversal_of_what_succeeded_is_found(checked: Checked) -> None:
    """I4: also where the reversal waits in its queue as it should."""
    [row] = await checked.ledger.charged(1)
    await checked.meddle(
        PLANT_REVERSAL,
        row.intent_id,
    )
    found = {(detail["invariant"], detail["rule"]) for *_, detail in await checked.check()}
    assert ("I4", "reversal") in found


async def test_what_is_not_booked_is_told_when_patience_ends(checked: Checked) -> None:
    """Until then it is looked at again, also by a process that was started anew."""
    [row] = await checked.ledger.charged(1)
    assert await checked.check(book=False) == []
    assert checked.checker.figures.waiting == 1
    checked.ahead_us = 60_000_000
    [(kind, intent_id, _)] = await checked.check(book=False)
    assert (kind, intent_id) == ("postings_missing", row.intent_id)


async def test_what_is_booked_late_is_not_told(checked: Checked) -> None:
    """The stream may be behind; that is for other alarms."""
    await checked.ledger.charged(1)
    assert await checked.check(book=False) == []
    await checked.booked.book()
    checked.ahead_us = 60_000_000
    assert await checked.check(book=False) == []
    assert checked.checker.figures.waiting == 0


async def test_books_that_do_not_balance_are_told(checked: Checked) -> None:
    """A changed sum, which no record of the stream tells of."""
    await checked.ledger.charged(1)
    assert await checked.check() == []
    await checked.ledger.rows(
        "UPDATE accounts SET debits_minor = debits_minor + 1"
        " WHERE purpose = 'scheme_receivable' RETURNING id"
    )
    [(kind, intent_id, detail)] = await checked.check()
    assert (kind, intent_id, detail["rule"]) == ("books_unbalanced", None, "test usd")
    assert (detail["expected"], detail["found"]) == ("2525", "2524")  # the fee is 25
