"""Books of several shards added up."""

from __future__ import annotations

from ledger.postings.balances import Line, MerchantBalance
from stack.ledger import added_balances, added_lines

SHOP, OTHER = b"\x01" * 16, b"\x02" * 16


def test_a_merchants_balances_add_up_over_shards() -> None:
    """By mode, currency and purpose; what one shard has alone stands as it is."""
    total = added_balances(
        [
            [
                MerchantBalance(SHOP, False, "usd", {"merchant_pending": 100, "auth_hold": 3}),
                MerchantBalance(OTHER, False, "usd", {"merchant_pending": 1}),
            ],
            [
                MerchantBalance(SHOP, False, "usd", {"merchant_pending": -40}),
                MerchantBalance(SHOP, True, "usd", {"merchant_pending": 7}),
            ],
        ]
    )
    assert total == [
        MerchantBalance(SHOP, False, "usd", {"merchant_pending": 60, "auth_hold": 3}),
        MerchantBalance(SHOP, True, "usd", {"merchant_pending": 7}),
        MerchantBalance(OTHER, False, "usd", {"merchant_pending": 1}),
    ]


def test_lines_of_the_trial_balance_add_up_over_shards() -> None:
    """Debits with debits, credits with credits, accounts counted on each."""
    total = added_lines(
        [
            [Line(False, "usd", "fees", 10, 20, 1)],
            [Line(False, "usd", "fees", 1, 2, 1), Line(False, "eur", "fees", 5, 0, 3)],
        ]
    )
    assert total == [Line(False, "usd", "fees", 11, 22, 2), Line(False, "eur", "fees", 5, 0, 3)]
