"""The fence of a bucket: who creates on which side of a move, and what waits for what."""

from __future__ import annotations

import trio

from ledger.pgtypes import int4_array
from ledger.records import Created, IntentReplay, Lost, Moved
from ledger.shards.buckets import bucket_of
from ledger.statements import QUERIES
from tests.support.ledger import intent
from tests.support.shards import (
    DEED,
    FIRST,
    ShardsHarness,
    intent_at,
    merchant_in,
)


async def test_a_moved_bucket_creates_on_its_new_shard_alone(two: ShardsHarness) -> None:
    """Under the new epoch; the old one is refused on both sides."""
    merchant_id = merchant_in(FIRST)
    before = await two.place(bucket_of(merchant_id))
    await two.move(merchant_id, 1)
    after = await two.place(bucket_of(merchant_id))
    assert (after.shard, after.epoch) == (1, before.epoch + 1)
    assert isinstance(await two.create(intent_at(merchant_id, before), 0), Moved)
    assert isinstance(await two.create(intent_at(merchant_id, before), 1), Moved)
    assert isinstance(await two.create(intent_at(merchant_id, after), 1), Created)


async def test_a_map_from_before_a_move_there_and_back_is_refused(two: ShardsHarness) -> None:
    """The owner is the same again, but a key may stand on the other shard by now."""
    merchant_id = merchant_in(FIRST)
    before = await two.place(bucket_of(merchant_id))
    await two.move(merchant_id, 1)
    away = await two.place(bucket_of(merchant_id))
    row = intent_at(merchant_id, away)
    assert isinstance(await two.create(row, 1), Created)
    await two.move(merchant_id, 0)
    again = intent_at(merchant_id, before, key_digest=row.key_digest, request_hash=row.request_hash)
    assert isinstance(await two.create(again, 0), Moved)


async def test_a_former_owner_answers_for_keys_and_references(two: ShardsHarness) -> None:
    """The first intent, a key that was used otherwise, a reference in use; or nothing."""
    merchant_id = merchant_in(FIRST)
    row = intent_at(
        merchant_id, await two.place(bucket_of(merchant_id)), merchant_reference="order-1"
    )
    assert isinstance(await two.create(row, 0), Created)
    await two.move(merchant_id, 1)
    asked = [
        intent(merchant_id, key_digest=row.key_digest, request_hash=row.request_hash),
        intent(merchant_id, key_digest=row.key_digest),
        intent(merchant_id, merchant_reference="order-1"),
        intent(merchant_id, merchant_reference="order-2"),
    ]
    replay, reused, in_use, nothing = await two.intents[0].look_up(asked)
    assert isinstance(replay, IntentReplay)
    assert replay.intent.intent_id == row.intent_id
    assert reused == Lost("idempotency_key_reused")
    assert in_use == Lost("merchant_reference_in_use", row.intent_id)
    assert nothing is None


async def test_a_creation_under_way_holds_off_whoever_takes_its_bucket(
    two: ShardsHarness,
) -> None:
    """The fence closes behind it, not before it: what it creates is there when the bucket goes."""
    merchant_id = merchant_in(FIRST)
    place = await two.place(bucket_of(merchant_id))
    api = two.apis[0]
    await two.shards.plan([bucket_of(merchant_id)], 1, **DEED)
    await api.script("BEGIN")
    assert isinstance(await two.create(intent_at(merchant_id, place), 0), Created)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(two.shards.finish)
        await two.awaited("AccessExclusiveLock")
        assert (await two.place(bucket_of(merchant_id))).shard == 0
        await api.script("COMMIT")
    assert (await two.place(bucket_of(merchant_id))).shard == 1


async def test_a_creation_that_waited_for_the_fence_sees_it_closed(two: ShardsHarness) -> None:
    """Its snapshot is younger than its lock, with a prepared statement and a generic plan too."""
    merchant_id = merchant_in(FIRST)
    bucket = bucket_of(merchant_id)
    place = await two.place(bucket)
    for _ in range(7):  # plans are generic from the first or the sixth run on
        assert isinstance(await two.create(intent_at(merchant_id, place), 0), Created)
    await two.shards.plan([bucket], 1, **DEED)
    await two.apis[0].script("SET lock_timeout = '10s'")  # it is to wait, not to come again
    session = two.superusers[0]
    await session.script("BEGIN")
    await session.run(
        QUERIES["take_buckets"], [int4_array([bucket]), int4_array([place.epoch + 1])]
    )
    verdicts: list[object] = []

    async def create() -> None:
        verdicts.append(await two.create(intent_at(merchant_id, place), 0))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(create)
        await two.awaited("AccessShareLock")
        await session.script("COMMIT")
    assert verdicts == [Moved()]
    assert two.intents[0].repeats == 0
    await two.shards.finish()


async def test_a_move_waits_for_whoever_holds_the_fence(two: ShardsHarness) -> None:
    """A long look at the table delays a move and breaks nothing; creations go on meanwhile."""
    mover, other = merchant_in(FIRST), merchant_in(FIRST)
    place = await two.place(bucket_of(other))
    await two.shards.plan([bucket_of(mover)], 1, **DEED)
    session = two.superusers[0]
    await session.script("BEGIN; SELECT FROM bucket_fence LIMIT 1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(two.shards.finish)
        for _ in range(2):  # the second time, it has been tried in vain
            await two.awaited("AccessExclusiveLock")
            assert isinstance(await two.create(intent_at(other, place), 0), Created)
        assert (await two.place(bucket_of(mover))).shard == 0
        await session.script("ROLLBACK")
    assert (await two.place(bucket_of(mover))).shard == 1
