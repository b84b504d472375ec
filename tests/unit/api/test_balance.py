"""Accounts as the API shows them."""

from __future__ import annotations

import json

import msgspec

from api.balance import balance
from ledger.postings.accounts import PURPOSES


def test_each_account_of_a_merchant_is_shown_once() -> None:
    """Every purpose that is a merchant's has a member, and an account that is missing is 0."""
    purposes = [name for name, purpose in PURPOSES.items() if purpose.owner == "merchant"]
    sums = {"usd": {name: number for number, name in enumerate(purposes, start=1)}, "eur": {}}
    shown = json.loads(msgspec.json.encode(balance(sums)))["data"]
    assert [one["currency"] for one in shown] == ["eur", "usd"]
    assert [value for name, value in shown[0].items() if name != "currency"] == [0] * len(purposes)
    values = sorted(value for name, value in shown[1].items() if name != "currency")
    assert values == list(range(1, len(purposes) + 1))
    assert shown[1]["amountHeld"] == sums["usd"]["auth_hold"]
    assert shown[1]["amountOwed"] == sums["usd"]["merchant_receivable"]
