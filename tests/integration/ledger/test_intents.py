"""Creating, reading and listing intents: idempotent, by merchant, without surprises."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio
from msgspec.structs import replace

from ledger.connection import Connection
from ledger.intents import Intents
from ledger.records import Created, CreationVerdict, IntentReplay, Lost
from tests.support.cutting_proxy import CuttingProxy
from tests.support.ledger import IDS, LIMITS, charge, intent, kinds, outcome

if TYPE_CHECKING:
    from tests.support.ledger import LedgerHarness


async def test_created_intents_read_back_as_they_were_answered(ledger: LedgerHarness) -> None:
    """What create says of a new intent is what a read finds, details included."""
    plain = intent(ledger.merchant_id)
    full = intent(
        ledger.merchant_id,
        live=True,
        amount_minor=999_999_999_999,
        currency="jpy",
        allow_partial=True,
        description="Order #1234, ü",
        metadata=b'{"order": "1234"}',
        merchant_reference="order-1234",
    )
    verdicts = await ledger.intents.create([full, plain])
    assert kinds(verdicts) == ["Created", "Created"]
    read = await ledger.intents.get_many(
        [(ledger.merchant_id, full.intent_id), (ledger.merchant_id, plain.intent_id)]
    )
    assert [v.intent for v in verdicts if isinstance(v, Created)] == read
    assert read[0] is not None
    assert (read[0].status, read[0].version, read[0].description, read[0].metadata) == (
        "created",
        1,
        "Order #1234, ü",
        b'{"order": "1234"}',
    )
    assert read[1] is not None
    assert (read[1].description, read[1].metadata, read[1].merchant_reference) == (None,) * 3
    [(due_at,)] = await ledger.rows(
        "SELECT due_at FROM intent_expiry WHERE intent_id = $1::uuid", plain.intent_id
    )
    assert due_at == plain.expires_at_us


async def test_absent_and_foreign_intents_are_not_read(ledger: LedgerHarness) -> None:
    """Another merchant's intent looks like none; places of the batch are kept."""
    [mine] = await ledger.created()
    found = await ledger.intents.get_many(
        [
            (ledger.merchant_id, IDS.next()),
            (ledger.merchant_id, mine.intent_id),
            (IDS.next(), mine.intent_id),
        ]
    )
    assert [row.intent_id if row else None for row in found] == [None, mine.intent_id, None]


async def test_a_read_shows_the_latest_transaction(ledger: LedgerHarness) -> None:
    """After a decline and a new charge, the intent shows the new one and its amounts."""
    [of] = await ledger.created()
    for result in ("declined", "approved"):
        row = charge(of)
        await ledger.charges.record([row], lane="fast")
        await ledger.outcomes.settle([outcome(row, result)])
    [found] = await ledger.intents.get_many([(of.merchant_id, of.intent_id)])
    assert found is not None
    assert (found.status, found.version, found.captured_minor) == ("succeeded", 5, 2499)
    assert found.latest_transaction is not None
    assert found.latest_transaction.transaction_id == row.transaction_id
    assert found.latest_transaction.status == "succeeded"


async def test_the_same_creation_again_shows_the_intent_as_it_is_now(
    ledger: LedgerHarness,
) -> None:
    """Same key and hash: the first intent, in its present state, and nothing new."""
    first = intent(ledger.merchant_id, merchant_reference="again")
    await ledger.intents.create([first])
    row = charge(first)
    await ledger.charges.record([row], lane="fast")
    again = replace(first, intent_id=IDS.next())
    [verdict] = await ledger.intents.create([again])
    assert isinstance(verdict, IntentReplay)
    assert (verdict.intent.intent_id, verdict.intent.status) == (first.intent_id, "processing")
    assert await ledger.count("payment_intent_details", again) == 0


async def test_another_creation_under_the_key_is_refused(ledger: LedgerHarness) -> None:
    """Another body, or a key that a charge used; a claim made on the way is given up."""
    first = intent(ledger.merchant_id)
    await ledger.intents.create([first])
    charged = charge(first)
    await ledger.charges.record([charged], lane="fast")
    other_body = intent(
        ledger.merchant_id, key_digest=first.key_digest, merchant_reference="given up"
    )
    charge_key = intent(
        ledger.merchant_id, key_digest=charged.key_digest, request_hash=charged.request_hash
    )
    verdicts = await ledger.intents.create([other_body, charge_key])
    assert kinds(verdicts) == ["idempotency_key_reused"] * 2
    [verdict] = await ledger.intents.create(
        [intent(ledger.merchant_id, merchant_reference="given up")]
    )
    assert isinstance(verdict, Created)


async def test_a_merchant_reference_belongs_to_one_intent(ledger: LedgerHarness) -> None:
    """The second claim hears who holds it; another mode or merchant claims its own."""
    reference = "order-7"
    holder = intent(ledger.merchant_id, merchant_reference=reference)
    refused = intent(ledger.merchant_id, merchant_reference=reference)
    other_mode = intent(ledger.merchant_id, merchant_reference=reference, live=True)
    other_merchant = intent(IDS.next(), merchant_reference=reference)
    await ledger.intents.create([holder])
    verdicts = await ledger.intents.create([refused, other_mode, other_merchant])
    assert kinds(verdicts) == ["merchant_reference_in_use", "Created", "Created"]
    assert verdicts[0] == Lost("merchant_reference_in_use", holder.intent_id)
    assert await ledger.count("idempotency", refused) == 0, "a refused creation keeps its key free"


async def test_twenty_creations_of_one_key_at_once_make_one(ledger: LedgerHarness) -> None:
    """Over four sessions, with a reference in play, one is created and all see it."""
    first = intent(ledger.merchant_id, merchant_reference="at once")
    writers = [Intents(await ledger.session("turnout_api"), limits=LIMITS) for _ in range(4)]
    verdicts: list[CreationVerdict] = []

    async def create(writer: Intents) -> None:
        for _ in range(5):
            verdicts.extend(await writer.create([replace(first, intent_id=IDS.next())]))

    async with trio.open_nursery() as nursery:
        for writer in writers:
            nursery.start_soon(create, writer)
    assert sorted(kinds(verdicts)) == ["Created"] + ["IntentReplay"] * 19
    assert len({v.intent.intent_id for v in verdicts if not isinstance(v, Lost)}) == 1


async def test_a_creation_that_cannot_be_stored_harms_only_itself(ledger: LedgerHarness) -> None:
    """Text that Postgres refuses, found by halving."""
    batch = [intent(ledger.merchant_id, merchant_reference=f"poison-{n}") for n in range(5)]
    batch[3] = replace(batch[3], description="nul \0")
    verdicts = await ledger.intents.create(batch)
    assert kinds(verdicts) == ["Created"] * 3 + ["internal_error", "Created"]
    [free] = await ledger.intents.create(
        [intent(ledger.merchant_id, merchant_reference="poison-3")]
    )
    assert isinstance(free, Created)


async def test_batches_with_a_key_or_reference_twice_are_our_fault(ledger: LedgerHarness) -> None:
    """Callers make batches distinct; nothing is tried."""
    one, two = (intent(ledger.merchant_id, merchant_reference="twice") for _ in range(2))
    with pytest.raises(ValueError, match="merchant reference"):
        await ledger.intents.create([one, two])
    with pytest.raises(ValueError, match="idempotency key"):
        await ledger.intents.create([one, replace(two, key_digest=one.key_digest)])


async def test_a_lost_answer_of_a_creation_is_found_again(ledger: LedgerHarness) -> None:
    """Cut after the commit, the caller hears of it; the same request then finds its intent."""
    async with trio.open_nursery() as nursery:
        proxy = CuttingProxy(ledger.dsn("turnout_api"))
        await nursery.start(proxy.run)

        class Reconnecting:
            """The part of a pool that matters here: a new session after a loss."""

            session: Connection | None = None

            async def _open(self) -> Connection:
                if self.session is None or self.session.closed:
                    self.session = await Connection.open(proxy.dsn, connect_timeout_s=10)
                return self.session

            async def run(self, *args: object) -> object:
                return await (await self._open()).run(*args)  # type: ignore[arg-type]

            async def pipeline(self, *args: object) -> object:
                return await (await self._open()).pipeline(*args)  # type: ignore[arg-type]

        runner = Reconnecting()
        writer = Intents(runner, limits=LIMITS)  # type: ignore[arg-type]
        await writer.create([intent(ledger.merchant_id)])
        proxy.mode = "answer"
        cut = intent(ledger.merchant_id, merchant_reference="cut")
        [verdict] = await writer.create([cut])
        assert proxy.cuts == 1
        assert isinstance(verdict, Created)
        assert verdict.intent.intent_id == cut.intent_id
        assert runner.session is not None
        await runner.session.aclose()
        nursery.cancel_scope.cancel()


async def test_keys_of_two_merchants_are_two_keys(ledger: LedgerHarness) -> None:
    """The digest is unique per merchant only."""
    key = os.urandom(16)
    verdicts = await ledger.intents.create(
        [intent(ledger.merchant_id, key_digest=key), intent(IDS.next(), key_digest=key)]
    )
    assert kinds(verdicts) == ["Created", "Created"]
