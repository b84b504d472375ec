"""Rules of a fault script: which messages, which of them, and what happens. Pure.

A rule matches a request by what stands in it. Of the matching ones it takes all, or those that
`nth` names, counted from the rule's beginning:

    2            the second
    "2.."        from the second on
    "1..3"       the first three
    "every 5"    the fifth, the tenth, …

and of those, where `probability` says so, a part that the script's seed draws.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Final, Self

from msgspec import Meta, Struct, field

from network_sim.faults.actions import Action, ElementNumber
from switch.iso8583 import DE

Fields = Mapping[int, str]
Patterns = str | tuple[str, ...]  # `*` and `?` as in file names; any of several

_RANGE: Final = re.compile(r"([1-9][0-9]*)\.\.([1-9][0-9]*)?")
_EVERY: Final = re.compile(r"every ([1-9][0-9]*)")


class Match(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request must look like; whatever is left out may be anything."""

    mti: Patterns = ()
    pan: Patterns = ()  # DE 2
    amount: int | tuple[int, int] | None = None  # DE 4 in minor units; two: from, to
    function: Patterns = ()  # DE 70: three digits, or the name of a function in the dialect
    elements: dict[ElementNumber, Patterns] = field(default_factory=dict)
    connection: Annotated[int, Meta(ge=1)] | None = None  # in order of acceptance, from 1

    def fits(self, fields: Fields, connection: int, functions: Mapping[str, str]) -> bool:
        """Whether a request is one of these.

        Args:
            fields: of the request.
            connection: number of the connection it came by.
            functions: names of the values of DE 70 in the dialect.
        """
        if self.connection not in (None, connection):
            return False
        for number, patterns in ((DE.MTI, self.mti), (DE.PAN, self.pan), *self.elements.items()):
            if patterns and not _any_fits(patterns, fields.get(number)):
                return False
        if self.function:
            function = fields.get(DE.NETWORK_FUNCTION)
            name = None if function is None else functions.get(function)
            if not (_any_fits(self.function, function) or _any_fits(self.function, name)):
                return False
        return self.amount is None or _in_range(self.amount, fields.get(DE.AMOUNT))


class Nth(Struct, frozen=True):
    """Which of the matching messages, counted from 1."""

    first: int = 1
    last: int | None = None  # None = no end
    every: int = 1

    @classmethod
    def of(cls, said: int | str | None) -> Self:
        """Read what a rule says; None = all of them.

        Raises:
            ValueError: it says nothing of the kind above.
        """
        if said is None:
            return cls()
        if isinstance(said, int):
            if said < 1:
                raise ValueError("nth counts from 1")
            return cls(said, said)
        if span := _RANGE.fullmatch(said):
            first, last = int(span[1]), int(span[2]) if span[2] else None
            if last is None or first <= last:
                return cls(first, last)
        if step := _EVERY.fullmatch(said):
            return cls(first=int(step[1]), every=int(step[1]))
        raise ValueError("nth is a number, `2..`, `1..3` or `every 5`")

    def takes(self, count: int) -> bool:
        """Whether the matching message of this number is meant."""
        if count < self.first or (self.last is not None and count > self.last):
            return False
        return (count - self.first) % self.every == 0


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to some messages.

    Give one `action`, or several as `actions`.

    Raises:
        ValueError: `nth` makes no sense, or there is nothing to do.
    """

    name: str = ""  # shown where the rule applies; default its place in the script
    match: Match = field(default_factory=Match)
    nth: int | str | None = None
    probability: Annotated[float, Meta(gt=0, le=1)] = 1.0
    action: Action | None = None
    actions: tuple[Action, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a rule that could never do anything."""
        Nth.of(self.nth)
        if not self.all_actions:
            raise ValueError("a rule has an action, or actions")

    @property
    def all_actions(self) -> tuple[Action, ...]:
        """Everything it does."""
        return self.actions if self.action is None else (self.action, *self.actions)


def _any_fits(patterns: Patterns, text: str | None) -> bool:
    if text is None:
        return False
    several = (patterns,) if isinstance(patterns, str) else patterns
    return any(fnmatchcase(text, pattern) for pattern in several)


def _in_range(said: int | tuple[int, int], amount: str | None) -> bool:
    if amount is None:
        return False
    first, last = (said, said) if isinstance(said, int) else said
    return first <= int(amount) <= last
