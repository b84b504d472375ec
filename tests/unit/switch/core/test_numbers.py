"""STAN, DE 7 and RRN: unique in spite of wraps, crashes and clocks that step back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.core.numbers import (
    NumbersExhaustedError,
    RRNSource,
    StanAllocator,
    StanBlock,
    format_de7,
    is_rrn,
    rrn_time_us,
)

NOON = 1_790_000_000


def allocator(*blocks: StanBlock) -> StanAllocator:
    """An allocator with these blocks."""
    made = StanAllocator()
    for block in blocks:
        made.add(block)
    return made


def block(first: int, count: int, floor_s: int = NOON, ceiling_s: int = NOON + 60) -> StanBlock:
    """A block valid for a minute from noon."""
    return StanBlock(first=first, count=count, floor_s=floor_s, ceiling_s=ceiling_s)


def test_stans_run_through_the_blocks_in_order() -> None:
    """Blocks are used one after the other, with six digits."""
    made = allocator(block(999_998, 2), block(1, 2))
    assert [made.next(NOON)[0] for _ in range(4)] == ["999998", "999999", "000001", "000002"]
    assert made.usable(NOON) == 0


def test_no_block_means_no_number() -> None:
    """Without a block nothing may be sent."""
    made = allocator(block(1, 1))
    made.next(NOON)
    with pytest.raises(NumbersExhaustedError):
        made.next(NOON)


def test_de7_never_goes_back_with_the_clock() -> None:
    """A clock stepped back an hour leaves DE 7 where it was."""
    made = allocator(block(1, 10))
    assert made.next(NOON + 5)[1] == format_de7(NOON + 5)
    assert made.next(NOON - 3_600)[1] == format_de7(NOON + 5)


def test_de7_respects_the_floor_of_a_block() -> None:
    """A block that may have been used until its floor is not used with an earlier second."""
    assert allocator(block(1, 10, floor_s=NOON + 30)).next(NOON)[1] == format_de7(NOON + 30)


def test_a_block_is_not_used_past_its_ceiling() -> None:
    """Past the second that the ledger vouched for, the rest of a block is skipped."""
    made = allocator(block(1, 10), block(11, 10, ceiling_s=NOON + 600))
    assert made.next(NOON)[0] == "000001"
    assert made.next(NOON + 61)[0] == "000011"


def test_usable_counts_what_may_still_be_used() -> None:
    """What was drawn and what lies past its ceiling does not count."""
    made = allocator(block(1, 10), block(11, 10, ceiling_s=NOON + 600))
    made.next(NOON)
    assert made.usable(NOON) == 19
    assert made.usable(NOON + 61) == 10
    assert made.usable(NOON + 601) == 0


def test_usable_looks_ahead() -> None:
    """A block counts up to the very second of its ceiling, reckoned ahead, and not past it."""
    made = allocator(block(1, 10))
    assert made.usable(NOON + 50, ahead_s=10) == 10
    assert made.usable(NOON + 50, ahead_s=11) == 0
    assert made.next(NOON + 50)[0] == "000001"


def test_expired_blocks_are_let_go_and_others_kept() -> None:
    """A block goes with the second after its ceiling; what lies behind it moves up."""
    made = allocator(block(1, 10), block(11, 10, ceiling_s=NOON + 600))
    made.forget_expired(NOON + 60)
    assert made.blocks == 2
    made.forget_expired(NOON + 61)
    assert (made.blocks, made.next(NOON + 61)[0]) == (1, "000011")
    made.forget_expired(NOON + 601)
    assert (made.blocks, made.usable(NOON)) == (0, 0)


def test_a_block_expires_by_de7_where_the_clock_has_stepped_back() -> None:
    """Seconds already used count, not the clock behind them."""
    made = allocator(block(1, 10, ceiling_s=NOON + 60), block(11, 10, ceiling_s=NOON + 600))
    made.next(NOON + 61)
    made.add(block(21, 10, ceiling_s=NOON + 60))
    assert made.usable(NOON) == 9


@pytest.mark.parametrize(("first", "count"), [(0, 10), (1, 0), (999_999, 2), (-5, 10)])
def test_blocks_outside_six_digits_are_refused(first: int, count: int) -> None:
    """000000 is unused and STANs end at 999999."""
    with pytest.raises(ValueError, match="STAN block"):
        StanBlock(first=first, count=count, floor_s=0, ceiling_s=1)


@given(st.lists(st.integers(min_value=NOON - 10_000, max_value=NOON + 50), max_size=60))
def test_numbers_are_unique_and_ordered_whatever_the_clock_does(clock: list[int]) -> None:
    """No (DE 7, STAN) repeats and DE 7 never decreases, for any sequence of clock readings."""
    made = allocator(block(1, 30), block(31, 30))
    drawn = [made.next(now) for now in clock]
    assert len(set(drawn)) == len(drawn)
    assert [de7 for _, de7 in drawn] == sorted(de7 for _, de7 in drawn)


def test_rrns_grow_though_the_clock_stands_or_steps_back() -> None:
    """Every RRN is above the one before it."""
    readings = iter([1_790_000_000_000_000, 1_790_000_000_000_000, 1_700_000_000_000_000])
    source = RRNSource(3, lambda: next(readings))
    drawn = [source.next() for _ in range(3)]
    assert drawn == sorted(set(drawn))
    assert all(len(rrn) == 12 and rrn[0] == "3" for rrn in drawn)


def test_rrn_carries_its_time_and_goes_on_after_a_restart() -> None:
    """A restart with the clock behind starts after the newest RRN in the ledger."""
    source = RRNSource(0, lambda: 1_790_000_000_123_456)
    first = source.next()
    assert rrn_time_us(first) == 1_790_000_000_123_456
    assert RRNSource(0, lambda: 1_700_000_000_000_000, newest=first).next() > first


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("0ABCDEFGHIJK", True),
        ("000000000000", True),
        ("0ABCDEFGHIJ", False),
        ("0ABCDEFGHIJKL", False),
        ("0abcdefghijk", False),
        ("0ABCDE_GHIJK", False),
        ("0ABCDEFGHIJ ", False),
        ("0ABCDEFGHIJ²", False),
        ("", False),
    ],
)
def test_an_rrn_of_ours_is_told_by_its_form(text: str, ours: bool) -> None:  # noqa: FBT001
    """Networks may send anything in DE 37; only twelve base-36 digits can be read back."""
    assert is_rrn(text) is ours
    if ours:
        assert rrn_time_us(text) > 0


def test_two_switches_never_draw_the_same_rrn() -> None:
    """Ranges are disjoint by their first character."""
    assert RRNSource(0, lambda: 1_790_000_000_000_000).next() != (
        RRNSource(1, lambda: 1_790_000_000_000_000).next()
    )
