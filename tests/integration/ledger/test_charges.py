"""Commit 1 against Postgres: each verdict and its twin."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ledger.ids import lowest_id_at, uuid7_time_us
from ledger.leases import LeaseLostError, begin_epoch
from ledger.records import Replay, Won
from ledger.replays import find_replays
from tests.support.ledger import CHARGES_PER_INTENT_MAX, IDS, charge, kinds, outcome

if TYPE_CHECKING:
    from ledger.charges import Lane
    from tests.support.ledger import LedgerHarness

LANES = ["fast", "slow"]


@pytest.mark.parametrize("lane", LANES)
async def test_a_batch_is_won_with_the_ledger_s_amounts(ledger: LedgerHarness, lane: Lane) -> None:
    """Charges of idle intents are recorded; amount and currency come from the intent's row."""
    intents = await ledger.created(10, amount_minor=777, currency="eur")
    batch = [charge(of) for of in reversed(intents)]
    verdicts = await ledger.charges.record(batch, lane=lane)
    assert kinds(verdicts) == ["Won"] * 10
    for row, verdict in zip(batch, verdicts, strict=True):
        assert isinstance(verdict, Won)
        assert (verdict.amount_minor, verdict.currency, verdict.version) == (777, "eur", 2)
        assert abs(verdict.created_at_us - uuid7_time_us(row.transaction_id)) < 60_000_000
    [stored] = await ledger.rows(
        "SELECT t.amount_minor, t.sealed_card, t.fingerprint, a.stan, a.owner, a.epoch,"
        " a.deadline_at, i.status, i.live_transaction_id, i.charge_count"
        " FROM transactions t JOIN attempts a ON a.intent_id = t.intent_id"
        " AND a.transaction_id = t.id JOIN payment_intents i ON i.id = t.intent_id"
        " WHERE t.intent_id = $1::uuid",
        batch[0].intent_id,
    )
    row = batch[0]
    assert stored == (
        777,
        row.sealed_card,
        row.fingerprint,
        row.stan,
        ledger.switch,
        ledger.lease.epoch,
        row.deadline_at_us,
        "processing",
        row.transaction_id,
        1,
    )


@pytest.mark.parametrize("lane", LANES)
async def test_the_same_request_again_is_a_replay(ledger: LedgerHarness, lane: Lane) -> None:
    """Same key and hash: the transaction as it stands, nothing new, in each of its states."""
    [of] = await ledger.created()
    first = charge(of)
    await ledger.charges.record([first], lane=lane)
    again = charge(of, key_digest=first.key_digest, request_hash=first.request_hash)
    [pending] = await ledger.charges.record([again], lane=lane)
    assert isinstance(pending, Replay)
    assert pending.transaction.status == "pending"
    await ledger.outcomes.settle([outcome(first, "declined")])
    [failed] = await ledger.charges.record([again], lane=lane)
    assert isinstance(failed, Replay)
    state = failed.transaction
    assert state.transaction_id == first.transaction_id
    assert (state.type, state.status, state.amount_minor, state.currency) == (
        "charge",
        "failed",
        2499,
        "usd",
    )
    assert (state.response_code, state.decline_code, state.advice, state.card_last4) == (
        "51",
        "insufficient_funds",
        "retry_later",
        "4242",
    )
    assert await ledger.count("transactions", of) == 1


@pytest.mark.parametrize("lane", ["fast", "slow"])
async def test_what_is_captured_later_is_authorized_by_a_message_of_its_own(
    ledger: LedgerHarness, lane: Lane
) -> None:
    """A 0200 would capture at once, and is refused beside others that are not; a 0100 may hold."""
    [manual] = await ledger.created(1, capture_method="manual", allow_partial=True)
    [automatic] = await ledger.created(1)
    single, plain = charge(manual, mti="0200"), charge(automatic)
    verdicts = await ledger.charges.record([single, plain], lane=lane)
    assert kinds(verdicts) == ["capture_method_unavailable", "Won"]
    assert await ledger.status(manual) == "created"
    [won] = await ledger.charges.record([charge(manual, mti="0100")], lane=lane)
    assert isinstance(won, Won)
    assert (won.manual, won.allow_partial) == (True, True)
    taken = verdicts[1]
    assert isinstance(taken, Won)
    assert (taken.manual, taken.allow_partial) == (False, False)


async def test_another_request_under_the_key_is_refused(ledger: LedgerHarness) -> None:
    """Same key, another hash: refused, on the same intent and on another one."""
    first_intent, other_intent = await ledger.created(2)
    first = charge(first_intent)
    await ledger.charges.record([first], lane="fast")
    for of in (first_intent, other_intent):
        [verdict] = await ledger.charges.record(
            [charge(of, key_digest=first.key_digest)], lane="slow"
        )
        assert kinds([verdict]) == ["idempotency_key_reused"]
    assert await ledger.count("transactions", other_intent) == 0
    assert await ledger.status(other_intent) == "created"


async def test_a_creation_s_key_is_no_charge_s_key(ledger: LedgerHarness) -> None:
    """A key that created the intent cannot charge it, even with an equal hash."""
    [of] = await ledger.created()
    batch = [charge(of, key_digest=of.key_digest, request_hash=of.request_hash)]
    assert kinds(await ledger.charges.record(batch, lane="slow")) == ["idempotency_key_reused"]


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (None, "operation_in_progress"),
        ("unknown", "operation_in_doubt"),
        ("approved", "already_succeeded"),
    ],
)
async def test_a_busy_or_settled_intent_refuses_another_charge(
    ledger: LedgerHarness, result: str | None, code: str
) -> None:
    """At most one live operation per intent, and none after success."""
    [of] = await ledger.created()
    first = charge(of)
    await ledger.charges.record([first], lane="fast")
    if result:
        await ledger.outcomes.settle([outcome(first, result)])
    second = charge(of)
    assert kinds(await ledger.charges.record([second], lane="fast")) == [code]
    assert await ledger.count("transactions", of) == 1
    [unused] = await find_replays(
        await ledger.connect(), [(of.merchant_id, second.key_digest, second.request_hash)]
    )
    assert unused is None, "a refused charge does not consume its key"


@pytest.mark.parametrize("result", ["declined", "not_sent"])
async def test_a_failed_intent_is_charged_again(ledger: LedgerHarness, result: str) -> None:
    """A final failure frees the mutex for a new transaction."""
    [of] = await ledger.created()
    first = charge(of)
    await ledger.charges.record([first], lane="fast")
    await ledger.outcomes.settle([outcome(first, result)])
    assert await ledger.status(of) == "failed"
    [verdict] = await ledger.charges.record([charge(of)], lane="fast")
    assert isinstance(verdict, Won)
    assert verdict.version == 4


async def test_charges_per_intent_are_bounded(ledger: LedgerHarness) -> None:
    """After as many failures as the limit says the intent admits no more."""
    [of] = await ledger.created()
    for _ in range(CHARGES_PER_INTENT_MAX):
        attempt = charge(of)
        assert kinds(await ledger.charges.record([attempt], lane="fast")) == ["Won"]
        await ledger.outcomes.settle([outcome(attempt, "declined")])
    assert kinds(await ledger.charges.record([charge(of)], lane="fast")) == ["too_many_charges"]


async def test_a_canceled_intent_refuses(ledger: LedgerHarness) -> None:
    """Canceled is terminal."""
    [of] = await ledger.created()
    await ledger.rows(
        "UPDATE payment_intents SET status = 'canceled', canceled_by = 'expiry'"
        " WHERE id = $1::uuid RETURNING id",
        of.intent_id,
    )
    assert kinds(await ledger.charges.record([charge(of)], lane="fast")) == ["intent_canceled"]


async def test_a_verification_under_way_refuses(ledger: LedgerHarness) -> None:
    """A verification leaves the intent created and holds its mutex all the same."""
    [of] = await ledger.created()
    await ledger.rows(
        "UPDATE payment_intents SET live_transaction_id = $2::uuid WHERE id = $1::uuid"
        " RETURNING id",
        of.intent_id,
        IDS.next(),
    )
    verdicts = await ledger.charges.record([charge(of)], lane="fast")
    assert kinds(verdicts) == ["operation_in_progress"]


async def test_foreign_and_absent_intents_are_not_found(ledger: LedgerHarness) -> None:
    """Another merchant's, the other mode's and nobody's intents all look the same."""
    mine, live = (await ledger.created())[0], (await ledger.created(live=True))[0]
    batch = [
        charge(mine, merchant_id=IDS.next()),
        charge(live, live=False),
        charge(mine, intent_id=IDS.next()),
        charge(mine, intent_id=lowest_id_at(0)),
    ]
    assert kinds(await ledger.charges.record(batch, lane="fast")) == ["not_found"] * 4
    assert await ledger.count("idempotency", mine) == 1, "only its creation's key"


async def test_a_ciphertext_is_accepted_once_per_intent(ledger: LedgerHarness) -> None:
    """The same sealed card on the same intent is refused, on another intent it is another one."""
    of, other = await ledger.created(2)
    first = charge(of)
    await ledger.charges.record([first], lane="fast")
    await ledger.outcomes.settle([outcome(first, "declined")])
    again = charge(of, card_digest=first.card_digest)
    elsewhere = charge(other, card_digest=first.card_digest)
    verdicts = await ledger.charges.record([again, elsewhere], lane="fast")
    assert kinds(verdicts) == ["card_ciphertext_reused", "Won"]
    assert await ledger.status(of) == "failed"
    assert await ledger.count("attempts", of) == 1
    repeated = charge(
        of,
        card_digest=first.card_digest,
        key_digest=again.key_digest,
        request_hash=again.request_hash,
    )
    assert kinds(await ledger.charges.record([repeated], lane="slow")) == [
        "card_ciphertext_reused"
    ], "the same key hears the same answer"


async def test_verdicts_of_a_mixed_batch_stand_in_order(ledger: LedgerHarness) -> None:
    """Winners and losers of one batch do not disturb each other."""
    intents = await ledger.created(6)
    used = charge(intents[0])
    await ledger.charges.record([used], lane="fast")
    batch = [
        charge(intents[5]),
        charge(intents[0]),
        charge(intents[1], merchant_id=IDS.next()),
        charge(intents[2]),
        charge(intents[3], key_digest=used.key_digest),
        charge(intents[4]),
    ]
    assert kinds(await ledger.charges.record(batch, lane="fast")) == [
        "Won",
        "operation_in_progress",
        "not_found",
        "Won",
        "idempotency_key_reused",
        "Won",
    ]


async def test_a_batch_with_an_intent_or_key_twice_is_our_fault(ledger: LedgerHarness) -> None:
    """Batches are made distinct before they come here; if not, nothing is tried."""
    one, two = await ledger.created(2)
    key = os.urandom(16)
    for batch in (
        [charge(one), charge(one)],
        [charge(one, key_digest=key), charge(two, key_digest=key)],
    ):
        with pytest.raises(ValueError, match="at most one"):
            await ledger.charges.record(batch, lane="fast")
    assert await ledger.status(one) == "created"


async def test_empty_batches_are_answered_without_asking(ledger: LedgerHarness) -> None:
    """Nothing in, nothing out, for everything that takes batches."""
    assert await ledger.charges.record([], lane="fast") == []
    assert await ledger.outcomes.settle([]) == []
    assert await ledger.intents.create([]) == []
    assert await ledger.intents.get_many([]) == []
    assert await find_replays(await ledger.connect(), []) == []


async def test_keys_are_looked_up_in_batches(ledger: LedgerHarness) -> None:
    """Known keys give a replay or a refusal, unknown ones nothing; merchants do not mix."""
    one, two, three = await ledger.created(3)
    first, second = charge(one), charge(two)
    await ledger.charges.record([first, second], lane="fast")
    await ledger.outcomes.settle([outcome(second)])
    answers = await find_replays(
        await ledger.connect(),
        [
            (one.merchant_id, first.key_digest, first.request_hash),
            (one.merchant_id, os.urandom(16), first.request_hash),
            (two.merchant_id, second.key_digest, second.request_hash),
            (two.merchant_id, second.key_digest, os.urandom(16)),
            (IDS.next(), first.key_digest, first.request_hash),
            (three.merchant_id, three.key_digest, three.request_hash),
        ],
    )
    assert kinds(answers) == [
        "Replay",
        "NoneType",
        "Replay",
        "idempotency_key_reused",
        "NoneType",
        "idempotency_key_reused",
    ]
    assert isinstance(answers[0], Replay)
    assert answers[0].transaction.status == "pending"
    assert isinstance(answers[2], Replay)
    assert answers[2].transaction.approval_code == "A1B2C3"


@pytest.mark.parametrize("lane", LANES)
async def test_an_older_epoch_commits_nothing(ledger: LedgerHarness, lane: Lane) -> None:
    """Once another process has begun an epoch, ours records no charge and says why."""
    [of] = await ledger.created()
    await begin_epoch(await ledger.connect(), ledger.switch, ttl_s=10)
    with pytest.raises(LeaseLostError):
        await ledger.charges.record([charge(of)], lane=lane)
    assert await ledger.status(of) == "created"
    assert await ledger.count("transactions", of) == 0
