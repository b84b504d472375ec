"""What a start sees to over two ledgers: which shard each is, and what a backup has forgotten."""

from __future__ import annotations

import pytest
import trio

from ledger.connection import Connection
from ledger.merchants import NewMerchant, create_merchant, get_merchants
from ledger.pgtypes import bool_, int4_
from ledger.records import Created, Moved
from ledger.shards.buckets import BUCKETS, bucket_of
from ledger.shards.moving import ShardError, Shards, copy_merchants
from ledger.shards.steps import find_faults
from ledger.statements import QUERIES
from tests.support.ledger import IDS, intent
from tests.support.postgres import LedgerDSN, PostgresServer
from tests.support.shards import (
    DEED,
    FIRST,
    SECOND,
    ShardsHarness,
    intent_at,
    merchant_in,
    open_shards,
)


async def test_each_shard_gets_its_share_at_the_first_start(two: ShardsHarness) -> None:
    """Half of the buckets each, and nobody is asked for keys that there cannot be."""
    directory, fences = await two.shards.look()
    assert [directory.shards.count(shard) for shard in (0, 1)] == [BUCKETS // 2] * 2
    assert [sum(fence.owned) for fence in fences] == [BUCKETS // 2] * 2
    assert directory.former.get(SECOND[7]) is None
    low, high = merchant_in(FIRST), merchant_in(SECOND)
    for merchant_id, home in ((low, 0), (high, 1)):
        place = await two.place(bucket_of(merchant_id))
        assert place.shard == home
        assert isinstance(await two.create(intent_at(merchant_id, place), home), Created)
        assert isinstance(await two.create(intent_at(merchant_id, place), 1 - home), Moved)


async def test_founding_again_changes_nothing(two: ShardsHarness) -> None:
    """Every start does it."""
    before = await two.shards.look()
    await two.shards.found()
    assert await two.shards.look() == before


async def test_a_ledger_by_itself_owns_everything(ledger_dsn: LedgerDSN) -> None:
    """One shard needs no founding, and founding it leaves all with it."""
    async with open_shards([ledger_dsn]) as alone:
        assert isinstance(await alone.create(intent(IDS.next()), 0), Created)
        await alone.shards.found()
        assert isinstance(await alone.create(intent(IDS.next()), 0), Created)


async def test_shards_that_change_places_are_refused(two: ShardsHarness) -> None:
    """Two addresses in the wrong order are found before anything is created on the wrong side."""
    swapped = Shards(list(reversed(list(two.shards.runners))))
    with pytest.raises(ShardError, match="the ledger given for shard 1 is another shard's"):
        await swapped.found()


@pytest.mark.parametrize("still_owns", [True, False])
async def test_a_start_with_too_few_shards_is_refused(
    empty_dsns: list[LedgerDSN], *, still_owns: bool
) -> None:
    """Merchants of the shard that is missing could not create there, or not reach what they did."""
    async with open_shards(empty_dsns) as harness:
        await harness.shards.found()
        if not still_owns:
            await harness.shards.plan(SECOND, 0, **DEED)
            await harness.shards.finish()
        with pytest.raises(ShardError, match="shard 1 owns merchants or has owned some"):
            await Shards(list(harness.shards.runners[:1])).found()


async def test_a_ledger_with_payments_becomes_no_other_shard(empty_dsns: list[LedgerDSN]) -> None:
    """Its payments' ids say that they are elsewhere."""
    async with open_shards(empty_dsns) as harness:
        assert isinstance(await harness.create(intent(IDS.next()), 1), Created)
        with pytest.raises(ShardError, match="shard 1 holds payments already"):
            await harness.shards.found()


@pytest.mark.parametrize("still_owns", [True, False])
async def test_an_empty_ledger_does_not_stand_in_for_a_shard_that_was(
    postgres: PostgresServer, empty_dsns: list[LedgerDSN], *, still_owns: bool
) -> None:
    """Its keys and references would be lost, and charges made twice; asking again does not help."""
    async with open_shards(empty_dsns) as harness:
        await harness.shards.found()
        if not still_owns:
            await harness.shards.plan(SECOND, 0, **DEED)
            await harness.shards.finish()
    replaced = [empty_dsns[0], await trio.to_thread.run_sync(postgres.create_database)]
    async with open_shards(replaced) as harness:
        for _ in range(2):
            with pytest.raises(ShardError, match="shard 1 is an empty one"):
                await harness.shards.found()
    async with open_shards(empty_dsns) as harness:
        await harness.shards.found()


async def test_an_empty_ledger_does_not_stand_in_for_the_first_shard(
    postgres: PostgresServer, empty_dsns: list[LedgerDSN]
) -> None:
    """It would be taken for a very first start, and the directory be anew with all keys lost."""
    async with open_shards(empty_dsns) as harness:
        await harness.shards.found()
    replaced = [await trio.to_thread.run_sync(postgres.create_database), empty_dsns[1]]
    async with open_shards(replaced) as harness:
        for _ in range(2):
            with pytest.raises(ShardError, match="given for shard 0 is an empty one"):
                await harness.shards.found()
    async with open_shards(empty_dsns) as harness:
        await harness.shards.found()


async def test_a_first_start_that_was_killed_halfway_is_taken_up(
    empty_dsns: list[LedgerDSN],
) -> None:
    """Shard 1 has its number, and shard 0 none yet: nobody has owned anything."""
    async with open_shards(empty_dsns) as harness:
        number, known = int4_(1), bool_(False)
        await harness.shards.runners[1].run(QUERIES["claim_shard"], [number, known])
        await harness.shards.found()
        _, fences = await harness.shards.look()
        assert [sum(fence.owned) for fence in fences] == [BUCKETS // 2] * 2


async def test_a_ledger_from_before_shards_stays_alone(empty_dsns: list[LedgerDSN]) -> None:
    """The ids of its payments name any shard."""
    async with open_shards(empty_dsns) as harness:
        await harness.superusers[0].script("UPDATE shard_identity SET alone = true")
        with pytest.raises(ShardError, match="it stays the only one"):
            await harness.shards.found()
        await Shards(list(harness.shards.runners[:1])).found()


async def test_a_shard_that_is_added_later_starts_empty(empty_dsns: list[LedgerDSN]) -> None:
    """Nothing moves unless an operator says so; then former owners are remembered."""
    async with open_shards(empty_dsns) as harness:
        merchant_id = merchant_in(SECOND)
        await Shards(list(harness.shards.runners[:1])).found()
        assert isinstance(await harness.create(intent(merchant_id), 0), Created)
        await harness.shards.found()
        _, fences = await harness.shards.look()
        assert [sum(fence.owned) for fence in fences] == [BUCKETS, 0]
        await harness.move(merchant_id, 1)
        assert (await harness.place(bucket_of(merchant_id))).former == (0,)


async def test_a_ledger_whose_keys_have_expired_is_remembered(empty_dsns: list[LedgerDSN]) -> None:
    """Its payments are in the merchant's lists for as long as they are there."""
    async with open_shards(empty_dsns) as harness:
        merchant_id = merchant_in(SECOND)
        await Shards(list(harness.shards.runners[:1])).found()
        assert isinstance(await harness.create(intent(merchant_id), 0), Created)
        await harness.superusers[0].script("DELETE FROM idempotency")
        await harness.shards.found()
        await harness.move(merchant_id, 1)
        directory, _ = await harness.shards.look()
        assert directory.holders(bucket_of(merchant_id)) == {0, 1}


async def test_merchants_are_copied_and_brought_up_to_date(two: ShardsHarness) -> None:
    """A shard's own statements find the merchant as shard 0 knows it, its creation too."""
    merchant_id = IDS.next()
    await create_merchant(
        two.superusers[0],
        NewMerchant(
            merchant_id=merchant_id,
            name="Shop",
            country="840",
            settlement_currency="usd",
            mcc="5999",
            terminal_id="T1",
            card_acceptor_id="SHOP1",
            name_location="SHOP",
            browser_origins=["https://shop.test"],
        ),
    )
    for status in ("active", "suspended"):
        await two.superusers[0].script(
            f"UPDATE merchants SET status = '{status}' WHERE id = '{merchant_id.hex()}'"
        )
        await copy_merchants(two.shards.runners[0], two.shards.runners[1])
        first, second = [await get_merchants(one, [merchant_id]) for one in two.superusers]
        assert first == second
        assert first[merchant_id].status == status


async def test_a_start_goes_on_beside_a_move_that_cannot_be_ended(
    empty_dsns: list[LedgerDSN],
) -> None:
    """Its bucket stays closed, which is no reason to serve nobody; a later start ends it."""
    async with open_shards(empty_dsns) as harness:
        await harness.shards.found()
        mover, other = merchant_in(FIRST), merchant_in(FIRST)
        await harness.shards.plan([bucket_of(mover)], 1, **DEED)
        await harness.superusers[0].script(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
            "CREATE TRIGGER keep BEFORE UPDATE ON bucket_fence FOR EACH ROW EXECUTE FUNCTION keep()"
        )
        with pytest.raises(ShardError, match="do not move on at take"):
            await harness.shards.finish()
        await harness.shards.found()
        place = await harness.place(bucket_of(other))
        assert isinstance(await harness.create(intent_at(other, place), 0), Created)
        await harness.superusers[0].script("DROP TRIGGER keep ON bucket_fence")
        await harness.shards.found()
        assert (await harness.place(bucket_of(mover))).shard == 1


@pytest.mark.parametrize("set_back", [0, 1])
async def test_a_start_puts_right_what_a_restored_ledger_has_forgotten(
    two: ShardsHarness, set_back: int
) -> None:
    """Two moves that one of the ledgers knows nothing of any more: one shard at most creates."""
    away, back = merchant_in(FIRST), merchant_in(SECOND)
    buckets = [bucket_of(away), bucket_of(back)]
    restore = await _remember(two.superusers[set_back], buckets)
    before = [await two.place(bucket) for bucket in buckets]
    await two.move(away, 1)
    await two.move(back, 0)
    after = [await two.place(bucket) for bucket in buckets]
    await two.superusers[set_back].script(restore)
    assert find_faults(*await two.shards.look())
    await two.shards.found()
    for merchant_id, bucket, old, new in zip((away, back), buckets, before, after, strict=True):
        place = await two.place(bucket)
        assert place.epoch >= new.epoch
        assert await two.creators(bucket) == [place.shard]
        assert place.former == (1 - place.shard,)
        assert isinstance(await two.create(intent_at(merchant_id, old), old.shard), Moved)
        assert isinstance(await two.create(intent_at(merchant_id, place), place.shard), Created)


@pytest.mark.parametrize("steps_done", [0, 1])
async def test_a_directory_that_was_set_back_into_a_move_knows_its_end(
    two: ShardsHarness, steps_done: int
) -> None:
    """The backup has the plan; the other shard's fence, which is open, has how it went."""
    merchant_id = merchant_in(FIRST)
    bucket = bucket_of(merchant_id)
    before = await two.place(bucket)
    await two.shards.plan([bucket], 1, **DEED)
    for _ in range(steps_done):
        step = await two.shards.decide()
        assert step is not None
        await two.shards.perform(step)
    restore = await _remember(two.superusers[0], [bucket])
    assert await two.shards.finish() == 1
    after = await two.place(bucket)
    assert isinstance(await two.create(intent_at(merchant_id, after), 1), Created)
    await two.superusers[0].script(restore)
    await two.shards.found()
    place = await two.place(bucket)
    assert (place.shard, place.epoch, place.former) == (1, after.epoch, (0,))
    assert await two.creators(bucket) == [1]
    assert isinstance(await two.create(intent_at(merchant_id, before), 0), Moved)


async def _remember(session: Connection, buckets: list[int]) -> str:
    """A script that sets what a ledger says of these buckets back to now, as a backup would."""
    among = f"bucket IN ({', '.join(map(str, buckets))})"
    await session.script(
        f"DROP TABLE IF EXISTS fence_then, owners_then;"
        f"CREATE TABLE fence_then AS SELECT * FROM bucket_fence WHERE {among};"
        f"CREATE TABLE owners_then AS SELECT * FROM bucket_owners WHERE {among}"
    )
    return (
        f"DELETE FROM bucket_fence WHERE {among}; INSERT INTO bucket_fence TABLE fence_then;"
        f"DELETE FROM bucket_owners WHERE {among}; INSERT INTO bucket_owners TABLE owners_then;"
        f"DELETE FROM bucket_tenures WHERE {among};"
        "DROP TABLE fence_then, owners_then"
    )
