"""Which cards may not be tried again: the rules of money.md 2 on declines, in memory. Pure.

A card that an issuer declined for good is refused for the merchant that tried it, for 30 days:
networks charge fees for such tries, and they cannot work. And after declines that ask to try later
a card may be tried only so often within 30 days, whoever tries it, as its scheme demands
(iso8583.md 2.3).

The ledger holds every decline (`ledger.declines`); this memory follows it, so that a charge costs
no query. The same decline may be noted again and again, by whoever recorded it and by whoever reads
the table. Nearly every card was never declined: one look-up says so. The declines of a card are
packed into one `bytes`, 28 each, so that half a million cards are no burden to the garbage
collector. Both bounds, on cards and on the declines of one, drop the oldest: the rules then forget
too early, and the network declines the card once more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from struct import Struct
from typing import Final, Literal

Refusal = Literal["", "card_declined_before", "retry_limit_reached"]

KEPT_US: Final = 30 * 86_400_000_000
SCHEME_CAPS: Final = {"visa": 15, "mastercard": 35}  # soft declines of one card within 30 days
CAP: Final = 15  # of every other scheme
DECLINES_MAX: Final = 64  # of one card: past the highest cap, with room for merchants
COUNTED_CLASSES: Final = frozenset({"hard", "soft"})  # the others say nothing about trying again

_ANY_MERCHANT: Final = bytes(16)  # soft declines are the card's, whoever tried it
_DECLINE: Final = Struct("!16sQ4s")  # merchant, when, the random end of the attempt's id


class DeclineMemory:
    """Cards by fingerprint.

    Args:
        cards_max: that are remembered.
        exempt: card numbers that are never refused, such as those of simulated networks.
    """

    __slots__ = ("_cards", "_cards_max", "_exempt")

    def __init__(self, cards_max: int, exempt: Collection[str] = ()) -> None:
        self._cards: OrderedDict[bytes, bytes] = OrderedDict()  # declined last: at the end
        self._cards_max = cards_max
        self._exempt = frozenset(exempt)

    def __len__(self) -> int:
        """Cards remembered."""
        return len(self._cards)

    def __contains__(self, fingerprint: bytes) -> bool:
        """Whether anything is remembered of a card."""
        return fingerprint in self._cards

    def note(
        self,
        merchant_id: bytes,
        fingerprint: bytes,
        decline_class: str,
        at_us: int,
        attempt_id: bytes,
    ) -> None:
        """Remember a decline; the same attempt's changes nothing a second time.

        Args:
            merchant_id: who tried the card.
            fingerprint: of the card.
            decline_class: as in `ledger.lifecycle.DECLINE_CLASSES`.
            at_us: when it was declined, microseconds since 1970.
            attempt_id: which try it was.
        """
        if decline_class not in COUNTED_CLASSES:
            return
        merchant = merchant_id if decline_class == "hard" else _ANY_MERCHANT
        decline = _DECLINE.pack(merchant, at_us, attempt_id[-4:])
        known = _declines(self._cards.get(fingerprint, b""))
        if any(each[-4:] == decline[-4:] for each in known):
            return
        self._cards[fingerprint] = b"".join([*known, decline][-DECLINES_MAX:])
        self._cards.move_to_end(fingerprint)
        if len(self._cards) > self._cards_max:
            self._cards.popitem(last=False)

    def refusal(
        self, merchant_id: bytes, fingerprint: bytes, brand: str, pan: str, now_us: int
    ) -> Refusal:
        """Why this card may not be tried by this merchant now: an error code, or empty."""
        declines = self._cards.get(fingerprint)
        if declines is None or pan in self._exempt:
            return ""
        since_us = now_us - KEPT_US
        soft = 0
        for merchant, at_us, _ in _DECLINE.iter_unpack(declines):
            if at_us <= since_us:
                continue
            if merchant == merchant_id:
                return "card_declined_before"
            soft += merchant == _ANY_MERCHANT
        return "retry_limit_reached" if soft >= SCHEME_CAPS.get(brand, CAP) else ""

    def forget(self, now_us: int, *, limit: int) -> int:
        """Drop at most `limit` cards whose declines no rule goes by any more; gives how many."""
        count = 0
        while self._cards and count < limit:
            oldest = next(iter(self._cards.values()))
            if any(at_us > now_us - KEPT_US for _, at_us, _ in _DECLINE.iter_unpack(oldest)):
                break
            self._cards.popitem(last=False)
            count += 1
        return count


def _declines(packed: bytes) -> list[bytes]:
    """The declines of a card, one by one."""
    return [packed[at : at + _DECLINE.size] for at in range(0, len(packed), _DECLINE.size)]
