"""Cardholders' accounts as their issuer keeps them: what is held, and what was posted. Pure.

The network knows a card by its masked number alone, since its record holds no more; cards that
share one share an account. Amounts are in the currency's minor unit. `held` is what approvals keep
back for a capture; `posted` is what left the account (sales and captures) less what came back.
No decision asks for a balance, so nobody keeps one: it is the sum of the record's last two columns.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from network_sim.journal import Entry

AccountKey = tuple[str, str]  # masked PAN, DE 49


class Balance(Struct, frozen=True):
    """An account at one instant; the two never mix."""

    held: int = 0
    posted: int = 0


def balances(entries: Iterable[Entry]) -> dict[AccountKey, Balance]:
    """Every account that anything was done to, by a network's whole record."""
    held: dict[AccountKey, int] = {}
    posted: dict[AccountKey, int] = {}
    for entry in entries:
        key = (entry.masked_pan, entry.currency)
        held[key] = held.get(key, 0) + entry.held_change
        posted[key] = posted.get(key, 0) + entry.posted_change
    return {key: Balance(held[key], posted[key]) for key in held}
