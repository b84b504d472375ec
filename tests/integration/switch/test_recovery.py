"""Recovery on a real ledger: what a killed switch left behind of every operation."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from ledger.deciding.records import IntentView
from ledger.deciding.views import read_views
from ledger.ids import UUID7Source
from ledger.leases import begin_epoch
from ledger.records import ChargeToRecord
from ledger.recovery import OpenAttempt, open_attempts, open_captures
from ledger.saf import due_saf
from switch.core.lease import DrawnIds
from switch.core.operations.records import Context, Order, Spare
from switch.core.operations.steps import Admit, Inquire
from switch.recovery import Recovery
from switch.responsibility import Responsibility
from tests.support.ledger import IDS, LIMITS, NOW_US, LedgerHarness, charge, open_ledger, outcome
from tests.support.operations import RULES
from tests.support.postgres import LedgerDSN

SECOND_US = 1_000_000
_NUMBERS = count(500_000)


def spare(network: str, attempt_id: bytes) -> Spare:
    """Numbers of their own for one message."""
    number = next(_NUMBERS)
    return Spare(
        attempt_id=attempt_id,
        network=network,
        acquirer_id="400001",
        stan=f"{number:06d}",
        de7="0102030406",
        rrn=f"0REC{number:08d}",
        deadline_at_us=NOW_US + 2 * SECOND_US,
    )


def context(actor: str = "api") -> Context:
    """Who decides, with numbers for what a decision may call for."""
    return Context(NOW_US, NOW_US, actor, RULES, spare("vsim", IDS.next()))


class Crashed:
    """A ledger whose switch died, and the next process of that switch."""

    def __init__(self, ledger: LedgerHarness) -> None:
        self.ledger = ledger

    async def held(self, **changes: Any) -> ChargeToRecord:
        """An intent that was charged manually and may be captured."""
        [of] = await self.ledger.created(1, capture_method="manual")
        row = charge(of, mti="0100", **changes)
        await self.ledger.charges.record([row], lane="fast")
        authorized = outcome(row, intent_to="authorized", capture_before_us=NOW_US + 10**12)
        await self.ledger.outcomes.settle([authorized])
        return row

    async def ordered(self, row: ChargeToRecord, type_: Any, amount_minor: int = 0) -> bytes:
        """An order about a payment whose message left, or did not; its transaction's id."""
        order = Order(
            type=type_,
            intent_id=row.intent_id,
            merchant_id=row.merchant_id,
            live=row.live,
            amount_minor=amount_minor,
            final_capture=True,
            key_digest=os.urandom(16),
            request_hash=bytes(16),
            request_id=os.urandom(16),
            transaction_id=IDS.next(),
        )
        [admitted] = await self.ledger.decisions.run([Admit(order, context())])
        assert admitted.letter is not None
        return order.transaction_id

    async def recover(self) -> int:
        """Begin the next epoch, and settle what the last one left."""
        session = await self.ledger.connect()
        lease = await begin_epoch(session, self.ledger.switch, ttl_s=10)
        recovery = Recovery(session, batch_max=2, now_us=lambda: NOW_US, steady_us=lambda: NOW_US)
        recovery.equip({"vsim": RULES}, spare)
        responsibility = Responsibility(
            lease=lease,
            ids=UUID7Source(lambda: NOW_US, os.urandom, above=IDS.next()),
            newest_rrn="",
            connect=self.ledger.connect,
            limits=LIMITS,
            drawn=DrawnIds(60.0),
        )
        return await recovery.settle(responsibility)

    async def open(self) -> list[OpenAttempt]:
        """What has no first result."""
        session = await self.ledger.connect()
        name = self.ledger.switch
        return await open_attempts(session, name) + await open_captures(session, name)

    async def view(self, row: ChargeToRecord) -> IntentView:
        """An intent as it stands."""
        return (await read_views(self.ledger.superuser, [row.intent_id]))[row.intent_id]


@pytest.fixture
async def crashed(ledger_dsn: LedgerDSN) -> AsyncIterator[Crashed]:
    """A switch that is about to leave something behind."""
    async with open_ledger(ledger_dsn) as ledger:
        yield Crashed(ledger)


async def test_a_refund_is_in_doubt_and_its_amount_stays_reserved(crashed: Crashed) -> None:
    """The intent's status is left alone, and the refund is asked about."""
    [row] = await crashed.ledger.charged()
    refund = await crashed.ordered(row, "refund", 1_000)
    assert await crashed.recover() == 1
    view = await crashed.view(row)
    assert (view.status, view.refund_pending_minor, view.refunded_minor) == ("succeeded", 1_000, 0)
    assert view.transactions[-1].status == "pending_verification"
    assert [each.transaction_id for each in view.verification] == [refund]
    assert view.attempts[-1].result == "unknown"


async def test_a_cancel_is_followed_up_by_a_reversal(crashed: Crashed) -> None:
    """Nobody knows whether the 0400 came; the 0420 with numbers of its own will tell."""
    row = await crashed.held()
    await crashed.ordered(row, "cancel")
    assert await crashed.recover() == 1
    view = await crashed.view(row)
    assert (view.status, view.transactions[-1].status) == (
        "pending_verification",
        "pending_verification",
    )
    asked, follows = view.attempts[-2:]
    assert (asked.mti, asked.result) == ("0400", "unknown")
    assert (follows.mti, follows.kind, follows.rrn, follows.result) == (
        "0420",
        "request",
        row.rrn,
        "",
    )
    assert follows.stan != asked.stan
    session = await crashed.ledger.connect()
    due = await due_saf(session, crashed.ledger.switch, now_us=NOW_US, limit=9, networks=["vsim"])
    assert [each.attempt_id for each in due] == [follows.attempt_id]


async def test_a_capture_shows_that_it_is_in_doubt(crashed: Crashed) -> None:
    """Store-and-forward goes on with it as if nothing had happened."""
    row = await crashed.held()
    await crashed.ordered(row, "capture")
    before = await crashed.view(row)
    assert before.status == "processing"
    assert await crashed.recover() == 1
    view = await crashed.view(row)
    assert (view.status, view.transactions[-1].status, view.attempts[-1].result) == (
        "pending_verification",
        "pending_verification",
        "unknown",
    )
    assert view.saf == before.saf


async def test_a_verification_is_over(crashed: Crashed) -> None:
    """It moved no money: the merchant may ask again, and is told so."""
    [of] = await crashed.ledger.created()
    row = charge(of, type="verification", mti="0100")
    await crashed.ledger.charges.record([row], lane="fast")
    assert await crashed.recover() == 1
    view = await crashed.view(row)
    told = view.transactions[-1]
    assert (view.status, view.live_transaction_id) == ("created", None)
    assert (told.status, told.decline_code, told.advice) == (
        "failed",
        "not_confirmed",
        "retry_later",
    )


async def test_an_inquiry_was_asked_in_vain(crashed: Crashed) -> None:
    """The doubt goes on; the next inquiry is due when it would have been."""
    [of] = await crashed.ledger.created()
    row = charge(of)
    await crashed.ledger.charges.record([row], lane="fast")
    doubtful = outcome(row, "unknown", verify_at_us=NOW_US, verify_until_us=NOW_US + 30 * SECOND_US)
    await crashed.ledger.outcomes.settle([doubtful])
    [letter] = await crashed.ledger.decisions.run(
        [Inquire(row.intent_id, row.attempt_id, context("switch"))]
    )
    before = await crashed.view(row)
    assert await crashed.recover() == 1
    view = await crashed.view(row)
    assert view.attempts[-1].attempt_id == letter.attempt_id
    assert view.attempts[-1].result == "unknown"
    assert view.transactions == before.transactions
    assert [(each.inquiries, each.due_at_us) for each in view.verification] == [
        (each.inquiries, each.due_at_us) for each in before.verification
    ]


async def test_all_of_it_at_once_is_settled_once(crashed: Crashed) -> None:
    """Of one intent and of many; the next recovery begins above all of it."""
    ledger = crashed.ledger
    rows = [charge(of) for of in await ledger.created(5)]
    await ledger.charges.record(rows, lane="fast")
    [refunded] = await ledger.charged()
    for _ in range(3):
        await crashed.ordered(refunded, "refund", 100)
    for type_ in ("capture", "cancel", "cancel"):
        await crashed.ordered(await crashed.held(), type_)
    assert len(await crashed.open()) == 11
    assert await crashed.recover() == 11
    assert await crashed.open() == []
    assert (await crashed.view(refunded)).refund_pending_minor == 300
    assert await crashed.recover() == 0
    [(mark,)] = await ledger.rows(
        f"SELECT recover_from FROM switch_leases WHERE switch = '{ledger.switch}'"
    )
    assert mark > max(row.attempt_id for row in rows)
