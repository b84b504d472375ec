"""Accounts are named by what they are, and their ids follow from their names."""

from __future__ import annotations

from itertools import product

from ledger.postings.accounts import NOBODY, PURPOSES, Account, Parties

MERCHANT = bytes(range(16))


def test_ids_differ_where_names_differ() -> None:
    """Owner, mode, network, purpose and currency each make another account."""
    accounts = [
        Account(*name)
        for name in product(
            (MERCHANT, NOBODY), (True, False), ("", "vsim"), ("fees", "suspense"), ("usd", "jpy")
        )
    ]
    assert len({account.id for account in accounts}) == len(accounts)


def test_an_id_is_the_same_for_ever() -> None:
    """Rows of years ago are found again: the digest is part of the data's format."""
    account = Account(MERCHANT, live=False, network="", purpose="merchant_pending", currency="usd")
    assert account.id.hex() == "8c7f9898166eae4c09c6a22f8e2087a7"


def test_an_account_belongs_to_one_of_the_parties() -> None:
    """A merchant's money, a network's debt and our own income are kept apart."""
    parties = Parties(MERCHANT, live=True, network="vsim", currency="usd")
    for name, purpose in PURPOSES.items():
        account = parties.account(name)
        assert (account.merchant_id == MERCHANT) is (purpose.owner == "merchant")
        assert (account.network == "vsim") is (purpose.owner == "network")
        assert (account.live, account.currency) == (True, "usd")
