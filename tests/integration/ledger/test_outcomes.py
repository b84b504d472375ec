"""Commit 2 against Postgres: one advance per attempt, late and second answers change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from msgspec.structs import replace

from ledger.connection import Connection
from ledger.dsn import hot_settings
from ledger.leases import LeaseLostError, begin_epoch
from ledger.records import ChargeToRecord, Settled
from tests.support.cutting_proxy import CuttingProxy
from tests.support.ledger import IDS, LIMITS, charge, outcome

if TYPE_CHECKING:
    from ledger.records import IntentToCreate
    from tests.support.ledger import LedgerHarness


async def _charged(ledger: LedgerHarness, count: int = 1) -> list[ChargeToRecord]:
    batch = [charge(of) for of in await ledger.created(count)]
    await ledger.charges.record(batch, lane="fast")
    return batch


async def _doubtful(ledger: LedgerHarness) -> ChargeToRecord:
    [row] = await _charged(ledger)
    await ledger.outcomes.settle([outcome(row, "unknown")])
    return row


async def _set(ledger: LedgerHarness, row: ChargeToRecord | IntentToCreate, change: str) -> None:
    sql = f"UPDATE payment_intents SET {change} WHERE id = $1::uuid RETURNING id"
    await ledger.rows(sql, row.intent_id)


@pytest.mark.parametrize(
    ("result", "status", "live", "captured"),
    [
        ("approved", "succeeded", False, 2499),
        ("declined", "failed", False, 0),
        ("not_sent", "failed", False, 0),
        ("unknown", "pending_verification", True, 0),
    ],
)
async def test_each_first_result_moves_the_intent(
    ledger: LedgerHarness,
    result: str,
    status: str,
    live: bool,  # noqa: FBT001
    captured: int,
) -> None:
    """Final results free the mutex, an unknown one keeps it; only approval captures."""
    [row] = await _charged(ledger)
    told = outcome(row, result)
    assert await ledger.outcomes.settle([told]) == [Settled(True, 3, status)]
    [stored] = await ledger.rows(
        "SELECT status, live_transaction_id, captured_minor FROM payment_intents"
        " WHERE id = $1::uuid",
        row.intent_id,
    )
    assert stored == (status, row.transaction_id if live else None, captured)
    [written] = await ledger.rows(
        "SELECT attempt_id, phase, result, from_status, to_status, intent_status, actor,"
        " request_id, at, response_code, decline_code, owner, epoch, intent_version"
        " FROM outcomes WHERE intent_id = $1::uuid",
        row.intent_id,
    )
    assert written == (
        row.attempt_id,
        1,
        result,
        "pending",
        told.to_status,
        status,
        told.actor,
        row.request_id,
        told.at_us,
        told.response_code,
        told.decline_code,
        ledger.switch,
        ledger.lease.epoch,
        3,
    )


async def test_a_partial_approval_captures_its_part(ledger: LedgerHarness) -> None:
    """What the issuer approved is what was captured, and the outcome says how much."""
    [row] = await _charged(ledger)
    [settled] = await ledger.outcomes.settle([outcome(row, "partial", approved_minor=1000)])
    assert settled.advanced
    [stored] = await ledger.rows(
        "SELECT i.captured_minor, o.approved_minor FROM payment_intents i"
        " JOIN outcomes o ON o.intent_id = i.id WHERE i.id = $1::uuid",
        row.intent_id,
    )
    assert stored == (1000, 1000)


async def test_a_second_answer_changes_nothing(ledger: LedgerHarness) -> None:
    """The first result stands; whatever comes after hears where the intent is."""
    [row] = await _charged(ledger)
    await ledger.outcomes.settle([outcome(row, "declined")])
    for later in (outcome(row, "approved"), outcome(row, "approved", phase=2)):
        assert await ledger.outcomes.settle([later]) == [Settled(False, 3, "failed")]
    assert await ledger.count("outcomes", row) == 1
    assert await ledger.status(row) == "failed"


@pytest.mark.parametrize(("result", "status"), [("approved", "succeeded"), ("declined", "failed")])
async def test_a_late_answer_resolves_an_unknown(
    ledger: LedgerHarness, result: str, status: str
) -> None:
    """Phase 2 is adopted by compare-and-set, once."""
    row = await _doubtful(ledger)
    late = outcome(row, result, phase=2)
    assert await ledger.outcomes.settle([late]) == [Settled(True, 4, status)]
    again = outcome(row, "approved", phase=2)
    assert await ledger.outcomes.settle([again]) == [Settled(False, 4, status)]
    assert await ledger.count("outcomes", row) == 2


@pytest.mark.parametrize("change", ["reversing = true", "cancel_requested = true"])
async def test_no_late_answer_is_adopted_against_a_reversal_or_a_cancel(
    ledger: LedgerHarness, change: str
) -> None:
    """Once a reversal is recorded or a cancel asked for, an approval must not win."""
    row = await _doubtful(ledger)
    await _set(ledger, row, change)
    settled = await ledger.outcomes.settle([outcome(row, "approved", phase=2)])
    assert settled == [Settled(False, 3, "pending_verification")]
    assert await ledger.count("outcomes", row) == 1


async def test_a_first_result_is_not_written_over_an_unknown(ledger: LedgerHarness) -> None:
    """After recovery called it unknown, the answer may come only as its resolution."""
    row = await _doubtful(ledger)
    settled = await ledger.outcomes.settle([outcome(row, "approved")])
    assert settled == [Settled(False, 3, "pending_verification")]


async def test_a_resolution_needs_an_unknown_of_the_same_attempt(ledger: LedgerHarness) -> None:
    """Phase 2 of another attempt, or of another transaction, advances nothing."""
    row = await _doubtful(ledger)
    late = outcome(row, "approved", phase=2)
    for stranger in (
        replace(late, attempt_id=IDS.next()),
        replace(late, transaction_id=IDS.next()),
    ):
        settled = await ledger.outcomes.settle([stranger])
        assert settled == [Settled(False, 3, "pending_verification")]
    assert await ledger.count("outcomes", row) == 1


async def test_results_of_a_mixed_batch_stand_in_order(ledger: LedgerHarness) -> None:
    """Late rows and unknown intents do not disturb those that advance."""
    rows = await _charged(ledger, 4)
    await ledger.outcomes.settle([outcome(rows[1], "declined")])
    absent = replace(outcome(rows[0]), intent_id=IDS.next())
    batch = [outcome(rows[3]), outcome(rows[1]), absent, outcome(rows[0])]
    assert await ledger.outcomes.settle(batch) == [
        Settled(True, 3, "succeeded"),
        Settled(False, 3, "failed"),
        Settled(False, 0, ""),
        Settled(True, 3, "succeeded"),
    ]
    with pytest.raises(ValueError, match="at most one"):
        await ledger.outcomes.settle([batch[0], batch[0]])


async def test_commit_2_waits_for_locks(ledger: LedgerHarness) -> None:
    """A locked intent is not a late one: its outcome is recorded when the lock is free."""
    intents = await ledger.created(3)
    rows = [charge(of) for of in intents]
    await ledger.charges.record(rows, lane="fast")
    settled: list[Settled] = []

    async def settle() -> None:
        settled.extend(await ledger.outcomes.settle([outcome(row) for row in rows]))

    async with trio.open_nursery() as nursery, ledger.held(intents[1]):
        nursery.start_soon(settle)
        with trio.fail_after(5):
            while await ledger.status(rows[2]) != "succeeded":
                await trio.sleep(0.005)
        assert not settled, "the locked row's fate is open, so nothing is reported"
        await trio.sleep(0.2)  # longer than several lock time-outs
    assert settled == [Settled(True, 3, "succeeded")] * 3


async def test_held_intents_are_left_out_and_never_late(ledger: LedgerHarness) -> None:
    """The others settle without them; when the locks are free the same rows advance."""
    intents = await ledger.created(8)
    rows = [charge(of) for of in intents]
    await ledger.charges.record(rows, lane="fast")
    batch = [outcome(row) for row in rows]
    committer = ledger.outcome_committer(lock_timeout_ms=5)
    async with ledger.held(intents[2], intents[5]):
        with trio.fail_after(1):
            settled = await committer.settle_free(batch)
        assert [result is None for result in settled] == [n in {2, 5} for n in range(8)]
        assert [result for result in settled if result] == [Settled(True, 3, "succeeded")] * 6
        assert await committer.settle_free([batch[2]]) == [None]
    again = await committer.settle_free([batch[2], batch[5]])
    assert again == [Settled(True, 3, "succeeded")] * 2
    await committer.aclose()


async def test_rows_of_a_batch_that_waits_for_something_else_are_left_out(
    ledger: LedgerHarness,
) -> None:
    """A takeover that holds the lease's row keeps every intent undecided, for a bounded time."""
    rows = await _charged(ledger, 3)
    committer = ledger.outcome_committer(lock_timeout_ms=5)
    session = await ledger.session("superuser")
    await session.script(
        f"BEGIN; SELECT epoch FROM switch_leases WHERE switch = '{ledger.switch}' FOR UPDATE"
    )
    with trio.fail_after(2):
        assert await committer.settle_free([outcome(row) for row in rows]) == [None] * 3
    await session.script("ROLLBACK")
    await committer.aclose()


@pytest.mark.parametrize("bad", [{"approval_code": "1234567"}, {"response_code": "0\0"}])
async def test_an_outcome_that_cannot_be_stored_becomes_unknown(
    ledger: LedgerHarness, bad: dict[str, object]
) -> None:
    """The attempt ends visibly, counts as not advanced, and its neighbors are settled."""
    rows = await _charged(ledger, 5)
    batch = [outcome(row) for row in rows]
    batch[2] = replace(batch[2], **bad)
    settled = await ledger.outcomes.settle(batch)
    good = Settled(True, 3, "succeeded")
    assert settled == [good, good, Settled(False, 3, "pending_verification"), good, good]
    [(result, approval_code)] = await ledger.rows(
        "SELECT result, approval_code FROM outcomes WHERE intent_id = $1::uuid", rows[2].intent_id
    )
    assert (result, approval_code) == ("unknown", "")


async def test_a_resolution_that_cannot_be_stored_leaves_the_doubt(ledger: LedgerHarness) -> None:
    """Phase 2 has no unknown to fall back to: the intent stays as it is."""
    row = await _doubtful(ledger)
    bad = outcome(row, "approved", phase=2, approval_code="1234567")
    assert await ledger.outcomes.settle([bad]) == [Settled(False, 0, "")]
    assert await ledger.status(row) == "pending_verification"


@pytest.mark.parametrize("mode", ["request", "answer", "hang_up"])
async def test_a_cut_wire_settles_each_outcome_once(ledger: LedgerHarness, mode: str) -> None:
    """Lost before, after or during the commit: the repeat finds or makes it, and says advanced."""
    rows = await _charged(ledger, 4)

    async def connect() -> Connection:
        settings = hot_settings(LIMITS) | {"lock_timeout": "5s"}
        return await Connection.open(proxy.dsn, role_settings=settings, connect_timeout_s=10)

    async with trio.open_nursery() as nursery:
        proxy = CuttingProxy(ledger.dsn("turnout_switch"))
        await nursery.start(proxy.run)
        committer = ledger.outcome_committer(connect=connect)
        await committer.settle([outcome(rows[0])])
        proxy.mode = mode  # type: ignore[assignment]
        batch = [outcome(row, result) for row, result in zip(rows[1:], RESULTS, strict=True)]
        settled = await committer.settle(batch)
        assert proxy.cuts == 1
        await committer.aclose()
        nursery.cancel_scope.cancel()
    assert settled == [Settled(True, 3, told.intent_to) for told in batch]
    for row in rows:
        assert await ledger.count("outcomes", row) == 1


RESULTS = ("approved", "declined", "unknown")


async def test_adoption_and_reversal_exclude_each_other(ledger: LedgerHarness) -> None:
    """A reversal recorded while the adoption waits for the lock makes the answer a late one."""
    row = await _doubtful(ledger)
    committer = ledger.outcome_committer(connect=ledger.connect_patiently)
    settled: list[Settled] = []

    async def adopt() -> None:
        settled.extend(await committer.settle([outcome(row, "approved", phase=2)]))

    session = await ledger.session("superuser")
    async with trio.open_nursery() as nursery:
        await session.script(
            "BEGIN; UPDATE payment_intents SET reversing = true, version = version + 1"
            f" WHERE id = '{row.intent_id.hex()}'"
        )
        nursery.start_soon(adopt)
        await ledger.waiting_backends()
        await session.script("COMMIT")
    assert settled == [Settled(False, 4, "pending_verification")]
    assert await ledger.count("outcomes", row) == 1


async def test_an_older_epoch_settles_nothing(ledger: LedgerHarness) -> None:
    """Once another process has begun an epoch, outcomes are its to record."""
    [row] = await _charged(ledger)
    await begin_epoch(await ledger.connect(), ledger.switch, ttl_s=10)
    with pytest.raises(LeaseLostError):
        await ledger.outcomes.settle([outcome(row)])
    assert await ledger.status(row) == "processing"
