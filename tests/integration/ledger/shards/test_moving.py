"""Buckets over two ledgers: founded, moved, killed halfway, and never open on both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import hypothesis
import pytest
import trio
from hypothesis import strategies as st

from ledger.connection import Connection
from ledger.errors import DatabaseError
from ledger.merchants import NewMerchant, create_merchant, get_merchants
from ledger.operators import OperatorError
from ledger.pgtypes import int4_array
from ledger.records import Created, IntentReplay, Lost, Moved
from ledger.shards.buckets import BUCKETS, bucket_of
from ledger.shards.moving import ShardError, Shards, copy_merchants
from ledger.shards.steps import Step, count_waiting, find_faults
from ledger.statements import QUERIES
from tests.support.ledger import IDS, intent
from tests.support.postgres import LedgerDSN, PostgresServer
from tests.support.shards import ShardsHarness, intent_at, merchant_in, open_shards

FIRST, SECOND = range(BUCKETS // 2), range(BUCKETS // 2, BUCKETS)
DEED = {"operator": "ada", "note": "more room"}


@pytest.fixture(scope="module")
def founded_dsns(postgres: PostgresServer) -> list[LedgerDSN]:
    """Two ledgers of one installation, half of the buckets on each."""
    dsns = [postgres.create_database() for _ in range(2)]

    async def found() -> None:
        async with open_shards(dsns) as harness:
            await harness.shards.found()

    trio.run(found)
    return dsns


@pytest.fixture
async def two(founded_dsns: list[LedgerDSN]) -> AsyncIterator[ShardsHarness]:
    """Sessions on both."""
    async with open_shards(founded_dsns) as harness:
        yield harness


@pytest.fixture
def empty_dsns(postgres: PostgresServer) -> list[LedgerDSN]:
    """Two ledgers that nothing was said to yet."""
    return [postgres.create_database() for _ in range(2)]


async def move(two: ShardsHarness, merchant_id: bytes, to_shard: int) -> None:
    """Move a merchant's bucket, to the end."""
    await two.shards.plan([bucket_of(merchant_id)], to_shard, **DEED)
    assert await two.shards.finish() == 1


async def test_each_shard_gets_its_share_at_the_first_start(two: ShardsHarness) -> None:
    """Half of the buckets each, and nobody is asked for keys that there cannot be."""
    directory, fences = await two.shards.look()
    assert [directory.shards.count(shard) for shard in (0, 1)] == [BUCKETS // 2] * 2
    assert [sum(fence.owned) for fence in fences] == [BUCKETS // 2] * 2
    assert directory.tenures.get(SECOND[7]) is None
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


async def test_a_start_with_too_few_shards_is_refused(two: ShardsHarness) -> None:
    """Merchants of the shard that is missing could not create anything."""
    with pytest.raises(ShardError, match="shard 1 owns merchants"):
        await Shards(list(two.shards.runners[:1])).found()


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
        await move(harness, merchant_id, 1)
        assert (await harness.place(bucket_of(merchant_id))).key_holders == (0,)


async def test_a_ledger_whose_keys_have_expired_is_remembered(empty_dsns: list[LedgerDSN]) -> None:
    """Its payments are in the merchant's lists for as long as they are there."""
    async with open_shards(empty_dsns) as harness:
        merchant_id = merchant_in(SECOND)
        await Shards(list(harness.shards.runners[:1])).found()
        assert isinstance(await harness.create(intent(merchant_id), 0), Created)
        await harness.superusers[0].script("DELETE FROM idempotency")
        await harness.shards.found()
        await move(harness, merchant_id, 1)
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


async def test_a_moved_bucket_creates_on_its_new_shard_alone(two: ShardsHarness) -> None:
    """Under the new epoch; the old one is refused on both sides."""
    merchant_id = merchant_in(FIRST)
    before = await two.place(bucket_of(merchant_id))
    await move(two, merchant_id, 1)
    after = await two.place(bucket_of(merchant_id))
    assert (after.shard, after.epoch) == (1, before.epoch + 1)
    assert isinstance(await two.create(intent_at(merchant_id, before), 0), Moved)
    assert isinstance(await two.create(intent_at(merchant_id, before), 1), Moved)
    assert isinstance(await two.create(intent_at(merchant_id, after), 1), Created)


async def test_a_map_from_before_a_move_there_and_back_is_refused(two: ShardsHarness) -> None:
    """The owner is the same again, but a key may stand on the other shard by now."""
    merchant_id = merchant_in(FIRST)
    before = await two.place(bucket_of(merchant_id))
    await move(two, merchant_id, 1)
    away = await two.place(bucket_of(merchant_id))
    row = intent_at(merchant_id, away)
    assert isinstance(await two.create(row, 1), Created)
    await move(two, merchant_id, 0)
    again = intent_at(merchant_id, before, key_digest=row.key_digest, request_hash=row.request_hash)
    assert isinstance(await two.create(again, 0), Moved)


async def test_a_former_owner_answers_for_keys_and_references(two: ShardsHarness) -> None:
    """The first intent, a key that was used otherwise, a reference in use; or nothing."""
    merchant_id = merchant_in(FIRST)
    row = intent_at(
        merchant_id, await two.place(bucket_of(merchant_id)), merchant_reference="order-1"
    )
    assert isinstance(await two.create(row, 0), Created)
    await move(two, merchant_id, 1)
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


@pytest.mark.parametrize("steps_done", [0, 1, 2])
async def test_a_move_that_was_killed_is_resumed(two: ShardsHarness, steps_done: int) -> None:
    """Between any two steps: nobody creates in two places, others go on, the next look ends it."""
    merchant_id, other = merchant_in(FIRST), merchant_in(FIRST)
    bucket = bucket_of(merchant_id)
    before = await two.place(bucket)
    await two.shards.plan([bucket], 1, **DEED)
    for _ in range(steps_done):
        step = await two.shards.decide()
        assert step is not None
        await two.shards.perform(step)
    place = await two.place(bucket)
    verdicts = [
        await two.create(intent_at(merchant_id, at), shard)
        for at in {before, place}
        for shard in (0, 1)
    ]
    created = sum(isinstance(verdict, Created) for verdict in verdicts)
    assert created == (1 if steps_done == 0 else 0)
    assert isinstance(
        await two.create(intent_at(other, await two.place(bucket_of(other))), 0), Created
    )
    directory, fences = await two.shards.look()
    assert count_waiting(directory, fences) == 1
    assert find_faults(directory, fences) == []
    assert await two.shards.finish() == 1
    after = await two.place(bucket)
    assert isinstance(await two.create(intent_at(merchant_id, after), 1), Created)


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
    await move(two, away, 1)
    await move(two, back, 0)
    after = [await two.place(bucket) for bucket in buckets]
    await two.superusers[set_back].script(restore)
    assert find_faults(*await two.shards.look())
    await two.shards.found()
    for merchant_id, bucket, old, new in zip((away, back), buckets, before, after, strict=True):
        place = await two.place(bucket)
        assert place.epoch >= new.epoch
        assert await two.creators(bucket) == [place.shard]
        assert place.key_holders == (1 - place.shard,)
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
    assert (place.shard, place.epoch, place.key_holders) == (1, after.epoch, (0,))
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


async def test_a_wish_is_kept_with_whose_it_was(two: ShardsHarness) -> None:
    """Operator, buckets, target and note; what cannot be done leaves no trace."""
    merchant_id = merchant_in(FIRST)
    bucket = bucket_of(merchant_id)
    await two.shards.plan([bucket], 1, **DEED)
    newest = (await two.shards.moves())[0]
    assert (newest.operator, newest.action, newest.resolution, newest.note) == (
        "ada",
        "shard_move",
        f"{bucket} to 1",
        "more room",
    )
    refusals = [([bucket], 1, "all on that shard"), ([bucket], 7, "shards 0 to 1")]
    for buckets, to_shard, reason in refusals:
        with pytest.raises(OperatorError, match=reason):
            await two.shards.plan(buckets, to_shard, **DEED)
    assert (await two.shards.moves())[0] == newest
    await two.shards.finish()


async def test_a_bucket_on_its_way_goes_nowhere_else(postgres: PostgresServer) -> None:
    """With three shards, a second wish waits for the first to be carried out."""
    dsns = await trio.to_thread.run_sync(lambda: [postgres.create_database() for _ in range(3)])
    async with open_shards(dsns) as three:
        await three.shards.found()
        await three.shards.plan([5], 1, **DEED)
        with pytest.raises(OperatorError, match="on its way to another shard"):
            await three.shards.plan([5], 2, **DEED)
        await three.shards.finish()
        assert (await three.place(5)).shard == 1


@pytest.mark.parametrize("function", ["shard_take", "shard_give", "shard_hand_over"])
async def test_nobody_but_the_administrator_moves(two: ShardsHarness, function: str) -> None:
    """The api reads fence and directory, and changes neither."""
    for sql in (f"SELECT {function}('{{1}}', '{{9}}')", "UPDATE bucket_fence SET owned = true"):
        with pytest.raises(DatabaseError) as caught:
            await two.apis[0].script(sql)
        assert caught.value.sqlstate == "42501"


async def test_a_step_that_is_repeated_or_late_changes_nothing(two: ShardsHarness) -> None:
    """There, back and there again; after each step every earlier one comes once more."""
    bucket = bucket_of(merchant_in(FIRST))
    done: list[Step] = []
    for to_shard in (1, 0, 1):
        await two.shards.plan([bucket], to_shard, **DEED)
        while (step := await two.shards.decide()) is not None:
            await two.shards.perform(step)
            done.append(step)
            stands = await two.shards.look()
            for late in done:
                await two.shards.perform(late)
                assert await two.shards.look() == stands, late
    assert [step.kind for step in done] == ["take", "hand_over", "give"] * 3


# A mover takes the next step, looks and falls asleep, or wakes and does what it decided on then.
ACTIONS = st.lists(
    st.one_of(
        st.sampled_from(["plan", "go", "go", "go", "decide"]),
        st.integers(0, 20),
    ),
    min_size=6,
    max_size=24,
)


@hypothesis.settings(
    max_examples=10,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(ACTIONS)
def test_whatever_the_order_of_steps_one_shard_at_most_creates(
    founded_dsns: list[LedgerDSN], actions: list[str | int]
) -> None:
    """Movers die, sleep and wake: a step that was once decided on may be done at any later time."""
    trio.run(partial(_play, founded_dsns, actions))


async def _play(dsns: list[LedgerDSN], actions: list[str | int]) -> None:
    async with open_shards(dsns) as two:
        bucket = bucket_of(merchant_in(FIRST))
        decided: list[Step] = []
        for action in actions:
            if action == "plan":
                await _plan_elsewhere(two, bucket)
            elif isinstance(action, int):
                if decided:
                    await two.shards.perform(decided[action % len(decided)])
            elif (step := await two.shards.decide()) is not None:
                decided.append(step)
                if action == "go":
                    await two.shards.perform(step)
            place = await two.place(bucket)
            assert await two.creators(bucket) in ([], [place.shard])
        await two.shards.finish()
        place = await two.place(bucket)
        assert await two.creators(bucket) == [place.shard]
        assert find_faults(*await two.shards.look()) == []


async def _plan_elsewhere(two: ShardsHarness, bucket: int) -> None:
    try:
        await two.shards.plan([bucket], 1 - (await two.place(bucket)).shard, **DEED)
    except OperatorError:
        return  # it is on its way
