"""Moves of buckets between two ledgers: killed, resumed, repeated, and never open on both."""

from __future__ import annotations

from functools import partial

import hypothesis
import pytest
import trio
from hypothesis import strategies as st

from ledger.errors import DatabaseError
from ledger.operators import OperatorError
from ledger.records import Created
from ledger.shards.buckets import bucket_of
from ledger.shards.steps import Step, count_waiting, find_faults
from tests.support.postgres import LedgerDSN, PostgresServer
from tests.support.shards import (
    DEED,
    FIRST,
    ShardsHarness,
    intent_at,
    merchant_in,
    open_shards,
)


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
