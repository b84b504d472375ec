"""A card on its way to being sealed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Card:
    """A card as its holder typed it; shows its last four digits only, and is never pickled.

    Attributes:
        number: 12 to 19 digits, no spaces.
        exp_month: 1 to 12.
        exp_year: four digits.
        cvc: three or four digits, or empty.
        name: the cardholder's.
    """

    number: str
    exp_month: int
    exp_year: int
    cvc: str = field(default="")
    name: str = field(default="")

    def __repr__(self) -> str:
        """Never the card."""
        return f"Card(****{self.number[-4:] if len(self.number) >= 12 else ''})"

    def __reduce__(self) -> NoReturn:
        """A card is not serialized."""
        raise TypeError("Card holds card data and cannot be pickled")
