"""The steps of a move, decided from directory and fences."""

from __future__ import annotations

import pytest

from ledger.shards.directory import Directory, Fence
from ledger.shards.steps import (
    STEP_BUCKETS_MAX,
    Correction,
    Step,
    corrections,
    count_waiting,
    find_faults,
    next_step,
    strays,
)


def standing(
    owner: int, epoch: int, target: int | None, *fences: tuple[int, bool]
) -> tuple[Directory, list[Fence]]:
    """One bucket, and what each shard's fence says of it."""
    directory = Directory([owner], [epoch], [target], {})
    return directory, [Fence([known], [owned]) for known, owned in fences]


@pytest.mark.parametrize(
    ("things", "step"),
    [
        (standing(0, 1, None, (1, True), (0, False)), None),
        (standing(0, 1, 1, (1, True), (0, False)), Step("take", 0, (0,), (2,))),
        (standing(0, 1, 1, (2, False), (0, False)), Step("hand_over", 0, (0,), (2,))),
        (standing(1, 2, None, (2, False), (0, False)), Step("give", 1, (0,), (2,))),
        (standing(1, 2, None, (2, False), (2, True)), None),
        (standing(1, 2, 0, (2, False), (2, True)), Step("take", 1, (0,), (3,))),
        # Planned before the shard got what it was given: it never has to be open.
        (standing(1, 2, 0, (2, False), (0, False)), Step("take", 1, (0,), (3,))),
    ],
    ids=["rest", "planned", "taken", "handed over", "given", "back", "planned early"],
)
def test_the_next_step_follows_from_what_stands(
    things: tuple[Directory, list[Fence]], step: Step | None
) -> None:
    """Every state on the way has one step; at rest there is none."""
    directory, fences = things
    assert next_step(directory, fences) == step
    assert count_waiting(directory, fences) == (step is not None)
    assert find_faults(directory, fences) == []


def test_what_is_nearly_over_comes_first() -> None:
    """Buckets that nobody may create in are given before others are taken."""
    directory = Directory([0, 0, 1], [1, 1, 2], [1, 1, None], {})
    fences = [Fence([1, 2, 2], [True, False, False]), Fence([0, 0, 0], [False] * 3)]
    assert next_step(directory, fences) == Step("give", 1, (2,), (2,))
    given = [fences[0], Fence([0, 0, 2], [False, False, True])]
    assert next_step(directory, given) == Step("hand_over", 0, (1,), (2,))


def test_a_step_is_bounded() -> None:
    """Half of all buckets move, but only so many are closed at a time."""
    count = STEP_BUCKETS_MAX + 1
    directory = Directory([0] * count, [1] * count, [1] * count, {})
    fences = [Fence([1] * count, [True] * count), Fence([0] * count, [False] * count)]
    step = next_step(directory, fences)
    assert step is not None
    assert step.buckets == tuple(range(STEP_BUCKETS_MAX))


@pytest.mark.parametrize(
    ("things", "word"),
    [
        (standing(0, 1, None, (1, True), (2, True)), "shard 1 knows a later owner"),
        (standing(0, 1, 1, (3, False), (0, False)), "shard 0 knows a later owner"),
        (standing(0, 2, None, (2, True), (1, True)), "shard 1 lets buckets 0 create"),
    ],
)
def test_what_no_move_explains_is_named(things: tuple[Directory, list[Fence]], word: str) -> None:
    """A directory that was set back to a backup, a fence that was meddled with."""
    [fault] = find_faults(*things)
    assert word in fault


@pytest.mark.parametrize(
    ("things", "shard", "epoch", "former"),
    [
        # Moved to 1 since the backup of the directory.
        (standing(0, 1, None, (1, True), (2, True)), 1, 2, (0,)),
        # The backup is of a move that was planned, or half done; it has gone on since.
        (standing(0, 1, 1, (1, True), (2, True)), 1, 2, (0,)),
        (standing(0, 1, 1, (2, False), (2, True)), 1, 2, (0,)),
        # There and back: nobody remembers but the fence of 1, which is closed.
        (standing(0, 1, None, (1, True), (3, False)), 0, 4, (1,)),
        # On its way to 1 then, and from there to 2 since.
        (standing(0, 1, 1, (2, False), (3, False), (3, True)), 2, 3, (0, 1)),
    ],
)
def test_a_directory_that_was_set_back_follows_the_highest_epoch(
    things: tuple[Directory, list[Fence]], shard: int, epoch: int, former: tuple[int, ...]
) -> None:
    """Whoever has it open in that epoch owns it; everybody who ever had it is asked for keys."""
    assert corrections(*things) == [Correction(0, shard, epoch, former)]


def test_what_moves_needs_no_correction() -> None:
    """Halfway through a move a fence is one epoch ahead, as it should be."""
    assert corrections(*standing(0, 1, 1, (2, False), (0, False))) == []
    assert corrections(*standing(1, 2, None, (2, False), (0, False))) == []


def test_a_shard_that_was_set_back_closes_what_it_no_longer_owns() -> None:
    """In the directory's epoch, so that what it had before counts no more."""
    things = standing(1, 4, None, (3, True), (4, True))
    assert strays(*things) == [Step("take", 0, (0,), (4,))]
    assert strays(*standing(1, 4, None, (4, False), (4, True))) == []
