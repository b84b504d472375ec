"""Pages and balances of several shards as one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledger.records import IntentPage, IntentRow
from ledger.shards.merging import add_balances, merge_pages
from tests.support.shards import intent_row

SHARDS = st.lists(st.sets(st.integers(1, 60), max_size=20), min_size=1, max_size=4)


def row(number: int, shard: int) -> IntentRow:
    """An intent; the number is its age, as of an id."""
    return intent_row(intent_id=bytes([number, shard]) + bytes(14))


def page(rows: list[IntentRow], after: bytes | None, limit: int, scanned_max: int) -> IntentPage:
    """What a shard answers: its rows below the cursor, of no more than it reads for a page."""
    below = [one for one in rows if after is None or one.intent_id < after]
    scanned = below[:scanned_max]
    matching = [one for one in scanned if one.intent_id[0] % 3]
    if len(matching) > limit:
        return IntentPage(matching[:limit], after=matching[limit - 1].intent_id)
    at_bound = scanned[-1].intent_id if len(scanned) == scanned_max else None
    return IntentPage(matching, after=at_bound)


@given(SHARDS, st.integers(1, 6), st.integers(1, 8))
def test_pages_go_through_all_shards_in_order(
    numbers: list[set[int]], limit: int, scanned_max: int
) -> None:
    """Following the cursor gives every intent that matches once, newest first, then ends."""
    shards = [
        [row(number, shard) for number in sorted(of, reverse=True)]
        for shard, of in enumerate(numbers)
    ]
    wanted = sorted(
        (one.intent_id for of in shards for one in of if one.intent_id[0] % 3), reverse=True
    )
    seen: list[bytes] = []
    after: bytes | None = None
    for _ in range(100):
        merged = merge_pages([page(of, after, limit, scanned_max) for of in shards], limit=limit)
        assert len(merged.intents) <= limit
        seen += [one.intent_id for one in merged.intents]
        assert merged.after is None or after is None or merged.after < after
        after = merged.after
        if after is None:
            break
    assert seen == wanted


def test_balances_add_up_by_currency_and_purpose() -> None:
    """What only one shard has booked stands as it is; the rest is a sum, below zero too."""
    total = add_balances(
        [
            {"usd": {"merchant_pending": 100, "auth_hold": 5}},
            {"usd": {"merchant_pending": -30}, "eur": {"auth_hold": 7}},
            {},
        ]
    )
    assert total == {"usd": {"merchant_pending": 70, "auth_hold": 5}, "eur": {"auth_hold": 7}}
