"""Which cards may not be tried again: the rules of money.md 2 on declines, in memory. Pure.

A card that an issuer declined for good is refused for the merchant that tried it, for 30 days. And
a card may be declined only so often within 30 days, whoever tries it, as its scheme demands
(iso8583.md 2.3). What the memory holds is rebuilt from the ledger's table of declines when a switch
starts; it is bounded, and forgets the cards that it has known longest first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from msgspec import Struct

KEPT_US: Final = 30 * 86_400_000_000
SCHEME_CAPS: Final = {"visa": 15, "mastercard": 35}  # declines of one card within 30 days
CAP: Final = 15  # of every other scheme

DECLINED_BEFORE: Final = "card_declined_before"
LIMIT_REACHED: Final = "retry_limit_reached"


class _Card(Struct, gc=False):
    """What is remembered of a card: few items, for a card is hardly declined twice."""

    at_us: list[int]  # of every decline, oldest first
    hard: list[tuple[bytes, int]]  # merchant, and when it was declined for good there


class DeclineMemory:
    """Cards by fingerprint.

    Args:
        cards_max: that are remembered.
        exempt: card numbers that are never refused, such as those of simulated networks.
    """

    __slots__ = ("_cards", "_cards_max", "_exempt")

    def __init__(self, cards_max: int, exempt: Collection[str] = ()) -> None:
        self._cards: OrderedDict[bytes, _Card] = OrderedDict()
        self._cards_max = cards_max
        self._exempt = frozenset(exempt)

    def __len__(self) -> int:
        """Cards remembered."""
        return len(self._cards)

    def note(self, merchant_id: bytes, fingerprint: bytes, decline_class: str, at_us: int) -> None:
        """Remember a decline; `decline_class` as in `ledger.lifecycle.DECLINE_CLASSES`."""
        card = self._cards.get(fingerprint)
        if card is None:
            card = self._cards[fingerprint] = _Card([], [])
            if len(self._cards) > self._cards_max:
                self._cards.popitem(last=False)
        since_us = at_us - KEPT_US
        card.at_us = [at for at in card.at_us if at > since_us]
        card.at_us.append(at_us)
        if decline_class == "hard":
            card.hard = [(who, at) for who, at in card.hard if at > since_us]
            card.hard.append((merchant_id, at_us))

    def refusal(
        self, merchant_id: bytes, fingerprint: bytes, brand: str, pan: str, now_us: int
    ) -> str:
        """Why this card may not be tried by this merchant now: an error code, or empty."""
        card = self._cards.get(fingerprint)
        if card is None or pan in self._exempt:
            return ""
        since_us = now_us - KEPT_US
        if any(who == merchant_id and at > since_us for who, at in card.hard):
            return DECLINED_BEFORE
        declines = sum(at > since_us for at in card.at_us)
        return LIMIT_REACHED if declines >= SCHEME_CAPS.get(brand, CAP) else ""
