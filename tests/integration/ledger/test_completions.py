"""Acknowledgments of completions: recorded once, without the intent's lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from msgspec.structs import replace

from ledger.completions import Acknowledgment, CompletionCommitter
from ledger.connection import Connection
from ledger.deciding.records import Plan
from ledger.dsn import hot_settings
from ledger.leases import LeaseLostError, begin_epoch
from ledger.records import CompletionToRecord
from tests.support.cutting_proxy import CuttingProxy
from tests.support.deciding import Decide, attempt, reverse, saf_row
from tests.support.ledger import IDS, LIMITS, NOW_US, charge, outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ledger.records import ChargeToRecord
    from tests.support.ledger import LedgerHarness


def _committer(
    ledger: LedgerHarness, connect: Callable[[], Awaitable[Connection]] | None = None
) -> CompletionCommitter:
    return CompletionCommitter(
        connect or ledger.connect, ledger.switch, ledger.lease.epoch, limits=LIMITS
    )


@pytest.fixture
async def committer(ledger: LedgerHarness) -> AsyncIterator[CompletionCommitter]:
    """A committer of the harness's lease."""
    made = _committer(ledger)
    yield made
    await made.aclose()


async def _completed(ledger: LedgerHarness, count: int = 1) -> list[tuple[ChargeToRecord, bytes]]:
    """Charges on a dual-message network, each with the id of its completion."""
    rows = [charge(of) for of in await ledger.created(count)]
    await ledger.charges.record(rows, lane="fast")
    messages = [
        CompletionToRecord(IDS.next(), "0220", "000009", "0102030407", NOW_US) for _ in rows
    ]
    told = [outcome(row, completion=m) for row, m in zip(rows, messages, strict=True)]
    await ledger.outcomes.settle(told)
    return [(row, m.attempt_id) for row, m in zip(rows, messages, strict=True)]


def _acknowledgment(row: ChargeToRecord, attempt_id: bytes) -> Acknowledgment:
    return Acknowledgment(
        attempt_id, row.intent_id, "00", "network:msim", NOW_US + 9, "A1B2C3", "2026-11-23"
    )


async def test_an_acknowledgment_empties_the_queue(
    ledger: LedgerHarness, committer: CompletionCommitter
) -> None:
    """One outcome, no row left to repeat, the intent untouched; again is no second one."""
    [(row, attempt_id)] = await _completed(ledger)
    told = _acknowledgment(row, attempt_id)
    for _ in range(2):
        assert await committer.acknowledge([told]) == [True]
    assert await ledger.count("store_and_forward", row) == 0
    [stored] = await ledger.rows(
        "SELECT o.phase, o.result, o.from_status, o.to_status, o.intent_status, o.intent_version,"
        " o.response_code, o.approval_code, o.actor, o.at, o.settles_on, o.request_id, o.owner,"
        " o.epoch, p.version FROM outcomes o JOIN payment_intents p ON p.id = o.intent_id"
        " WHERE o.attempt_id = $1::uuid",
        attempt_id,
    )
    moved = (1, "approved", "succeeded", "succeeded", "succeeded", 3)
    said = ("00", "A1B2C3", "network:msim", NOW_US + 9, 9823, row.request_id)
    assert stored == (*moved, *said, ledger.switch, ledger.lease.epoch, 3)


async def test_a_charge_keeps_its_own_codes(
    ledger: LedgerHarness, committer: CompletionCommitter
) -> None:
    """What the network says of the completion is not what it said of the charge."""
    [(row, attempt_id)] = await _completed(ledger)
    told = replace(_acknowledgment(row, attempt_id), approval_code="OTHER1", response_code="11")
    assert await committer.acknowledge([told]) == [True]
    [state] = await ledger.rows(
        "SELECT status, response_code, approval_code FROM transaction_states"
        " WHERE intent_id = $1::uuid",
        row.intent_id,
    )
    assert state == ("succeeded", "00", "A1B2C3")


async def test_a_locked_intent_does_not_hold_acknowledgments_up(
    ledger: LedgerHarness, committer: CompletionCommitter
) -> None:
    """They take no intent's lock: whoever sits on one delays none of them."""
    [(row, attempt_id)] = await _completed(ledger)
    session = await ledger.session("superuser")
    await session.script(
        f"BEGIN; SELECT 1 FROM payment_intents WHERE id = '{row.intent_id.hex()}' FOR UPDATE"
    )
    with trio.fail_after(1):
        assert await committer.acknowledge([_acknowledgment(row, attempt_id)]) == [True]
    await session.script("ROLLBACK")


async def test_only_completions_and_releases_are_acknowledged_so(
    ledger: LedgerHarness, committer: CompletionCommitter
) -> None:
    """A reversal moves its transaction, so it takes a decision; strangers are nobody's."""
    [doubt] = await ledger.charged(result="unknown")
    message, closing = reverse(doubt)
    await ledger.decisions.run([Decide(doubt.intent_id, closing)])
    [(row, attempt_id)] = await _completed(ledger)
    batch = [
        _acknowledgment(doubt, message.attempt_id),
        _acknowledgment(row, attempt_id),
        _acknowledgment(row, IDS.next()),
    ]
    assert await committer.acknowledge(batch) == [False, True, False]
    assert await ledger.count("store_and_forward", doubt) == 1


async def test_one_bad_acknowledgment_is_its_own(
    ledger: LedgerHarness, committer: CompletionCommitter
) -> None:
    """A code that fits no column leaves its advice in the queue, and its neighbors done."""
    found = await _completed(ledger, 4)
    batch = [_acknowledgment(row, attempt_id) for row, attempt_id in found]
    batch[2] = replace(batch[2], response_code="0000")
    assert await committer.acknowledge(batch) == [True, True, False, True]
    left = [await ledger.count("store_and_forward", row) for row, _ in found]
    assert left == [0, 0, 1, 0]
    assert committer.poisoned == 1


async def test_an_older_epoch_acknowledges_nothing(
    ledger: LedgerHarness, committer: CompletionCommitter
) -> None:
    """Its queue belongs to another process now."""
    [(row, attempt_id)] = await _completed(ledger)
    await begin_epoch(await ledger.connect(), ledger.switch, ttl_s=10)
    with pytest.raises(LeaseLostError):
        await committer.acknowledge([_acknowledgment(row, attempt_id)])
    assert await ledger.count("store_and_forward", row) == 1


@pytest.mark.parametrize("mode", ["request", "answer", "hang_up"])
async def test_a_cut_wire_acknowledges_each_once(
    ledger: LedgerHarness, nursery: trio.Nursery, mode: str
) -> None:
    """Lost before, after or during the commit: recorded once, and said so."""
    proxy = CuttingProxy(ledger.dsn("turnout_switch"))
    await nursery.start(proxy.run)

    async def connect() -> Connection:
        settings = hot_settings(LIMITS) | {"lock_timeout": "5s"}
        return await Connection.open(proxy.dsn, role_settings=settings, connect_timeout_s=10)

    committer = _committer(ledger, connect)
    warm, *found = await _completed(ledger, 3)
    await committer.acknowledge([_acknowledgment(*warm)])
    proxy.mode = mode  # type: ignore[assignment]
    batch = [_acknowledgment(row, attempt_id) for row, attempt_id in found]
    assert await committer.acknowledge(batch) == [True, True]
    assert proxy.cuts == 1
    assert [await ledger.count("outcomes", row) for row, _ in found] == [2, 2]
    await committer.aclose()


async def test_a_release_is_acknowledged_like_a_completion(
    ledger: LedgerHarness, committer: CompletionCommitter
) -> None:
    """The rest of an authorization given back moves no transaction either."""
    [row] = await ledger.charged()
    message = attempt(row.transaction_id, "release", mti="0420")

    release = Plan(attempts=[message], saf_add=[saf_row(message)])
    await ledger.decisions.run([Decide(row.intent_id, lambda _: release)])
    assert await committer.acknowledge([_acknowledgment(row, message.attempt_id)]) == [True]
    assert await ledger.count("store_and_forward", row) == 0
