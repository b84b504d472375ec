"""Which card gets which answer: `cards.toml` as data, and a pure look-up.

Theory of operation. A number is looked up in this order, first hit wins:

1. a listed card of this network, by the whole number;
2. a listed range of this network, by prefix: for load, so check digits are not looked at;
3. a number outside the network's own prefixes: 15, no such issuer;
4. a number whose Luhn check digit is wrong: 14, invalid card number;
5. anything else: approved.

The expiry date is the issuer's business, not the card's: see `network_sim.issuer`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Literal

import msgspec
from msgspec import Struct

Delivery = Literal["at_once", "delayed", "late", "silent"]

RANGE_DIGITS = 16  # the length of every number in a range
_DOUBLED = str.maketrans("0123456789", "0246813579")  # digit d -> digit sum of 2 d


class CardsError(ValueError):
    """The card file contradicts itself; the text names the entry by outcome or position."""


class Outcome(Struct, frozen=True, forbid_unknown_fields=True):
    """What the issuer decides and how the answer travels."""

    response_code: str  # DE 39
    delivery: Delivery = "at_once"
    delay_s: float = 0.0  # with delivery = "delayed" only
    inquiries: Literal["answered", "silent"] = "answered"  # into what became of the message

    def __post_init__(self) -> None:
        """Refuse a code that DE 39 cannot carry, and a delay that would not be observed."""
        if len(self.response_code) != 2 or not self.response_code.isalnum():
            raise ValueError("response_code must be two letters or digits")
        if (self.delivery == "delayed") != (self.delay_s > 0):
            raise ValueError("delay_s belongs to delivery = 'delayed', and must be positive there")

    @property
    def approved(self) -> bool:
        """Whether the issuer lets the money move."""
        return self.response_code == "00"


class Card(Struct, frozen=True, forbid_unknown_fields=True):
    """One listed test card. Its number is public: it is the name of the test it triggers."""

    number: str
    brand: str
    outcome: str
    description: str


class CardRange(Struct, frozen=True, forbid_unknown_fields=True):
    """Every 16-digit number that begins with `prefix`."""

    prefix: str
    brand: str
    outcome: str
    description: str

    @property
    def first(self) -> str:
        """The lowest number of the range."""
        return self.prefix.ljust(RANGE_DIGITS, "0")

    @property
    def last(self) -> str:
        """The highest number of the range."""
        return self.prefix.ljust(RANGE_DIGITS, "9")


class CardFile(Struct, frozen=True, forbid_unknown_fields=True):
    """`cards.toml` as read: outcomes by name, cards and ranges that refer to them."""

    outcomes: dict[str, Outcome]
    cards: tuple[Card, ...]
    ranges: tuple[CardRange, ...]


APPROVED = Outcome("00")
INVALID_NUMBER = Outcome("14")
NO_SUCH_ISSUER = Outcome("15")


def parse_card_file(text: str) -> CardFile:
    """Read the text of a card file and check what its shape cannot express.

    Raises:
        CardsError: not TOML of the expected shape, an unknown outcome, a number or prefix that is
            no number or is listed twice, ranges of unequal prefix length.
    """
    try:
        file = msgspec.toml.decode(text, type=CardFile)
    except msgspec.DecodeError as error:
        raise CardsError(str(error)) from error
    used = [card.outcome for card in file.cards] + [entry.outcome for entry in file.ranges]
    for outcome in used:
        if outcome not in file.outcomes:
            raise CardsError(f"unknown outcome {outcome!r}")
    numbers = [card.number for card in file.cards]
    prefixes = [card_range.prefix for card_range in file.ranges]
    for kind, digits in (("card number", numbers), ("range prefix", prefixes)):
        for position, text_digits in enumerate(digits):
            if not (text_digits.isascii() and text_digits.isdigit()):
                raise CardsError(f"{kind} at position {position} is not digits")
        if len(set(digits)) != len(digits):
            raise CardsError(f"a {kind} is listed twice")
    if len({len(prefix) for prefix in prefixes}) > 1:
        raise CardsError("range prefixes must all have the same length")
    return file


@cache
def load_card_file() -> CardFile:
    """The card file that ships with the simulator."""
    return parse_card_file(resources.files(__package__).joinpath("cards.toml").read_text("utf-8"))


def load_cards() -> tuple[Card, ...]:
    """The listed test cards in the file's order: number, brand, outcome, description."""
    return load_card_file().cards


def load_ranges() -> tuple[CardRange, ...]:
    """The ranges for load, in the file's order."""
    return load_card_file().ranges


class CardBook:
    """The look-up of one network.

    Args:
        file: the card file.
        own_prefixes: PAN prefixes of this network's issuers; empty = every number is its own.
    """

    __slots__ = ("_by_number", "_by_prefix", "_own_prefixes", "_prefix_digits")

    def __init__(self, file: CardFile, own_prefixes: tuple[str, ...]) -> None:
        self._own_prefixes = own_prefixes or ("",)  # every string starts with ""
        self._by_number = {
            card.number: file.outcomes[card.outcome]
            for card in file.cards
            if card.number.startswith(self._own_prefixes)
        }
        self._by_prefix = {
            entry.prefix: file.outcomes[entry.outcome]
            for entry in file.ranges
            if entry.prefix.startswith(self._own_prefixes)
        }
        self._prefix_digits = len(file.ranges[0].prefix) if file.ranges else 0

    @property
    def codes(self) -> frozenset[str]:
        """Every response code that a look-up can lead to."""
        outcomes = {*self._by_number.values(), *self._by_prefix.values()}
        outcomes |= {APPROVED, INVALID_NUMBER, NO_SUCH_ISSUER}
        return frozenset(outcome.response_code for outcome in outcomes)

    def outcome(self, pan: str) -> Outcome:
        """What happens to a request on this number (12 to 19 digits)."""
        listed = self._by_number.get(pan)
        if listed is None and len(pan) == RANGE_DIGITS:
            listed = self._by_prefix.get(pan[: self._prefix_digits])
        if listed is not None:
            return listed
        if not pan.startswith(self._own_prefixes):
            return NO_SUCH_ISSUER
        return APPROVED if passes_luhn(pan) else INVALID_NUMBER


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1, annex B)."""
    if not (digits.isascii() and digits.isdigit()):
        return False
    plain, doubled = digits[-1::-2], digits[-2::-2].translate(_DOUBLED)
    return sum(map(int, plain + doubled)) % 10 == 0
