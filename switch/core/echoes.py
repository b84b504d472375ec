"""Whether an answer repeats what it answers (iso8583.md 3.10).

Any difference means that it is the answer to something else, or a garbled one: the outcome of what
was asked is then unknown, never declined. Which elements come back is the dialect's to say; two of
them have exceptions that hold for every dialect: DE 2 may be absent, and DE 4 of a partial approval
is lower.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

PAN: Final = 2
AMOUNT: Final = 4
ORIGINAL_DATA: Final = 90


class Echoes:
    """The comparison for one dialect, prepared once."""

    __slots__ = ("_together", "elements")

    def __init__(self, elements: Sequence[int]) -> None:
        self.elements = tuple(de for de in elements if de != PAN)
        self._together: Any = itemgetter(*self.elements)  # nearly every answer is an exact echo

    def mismatch(
        self, sent: dict[int, str], answer: dict[int, str], *, pan: str = "", partial: bool = False
    ) -> int | None:
        """The first element in which `answer` is no echo of `sent`, or None.

        Args:
            sent: what was asked, with or without the card.
            answer: what came back.
            pan: the card's number while it is in memory; a late answer is checked without it, and
                RRN, STAN and DE 7 remain.
            partial: whether DE 4 may differ.
        """
        together = self._together
        try:
            same = together(sent) == together(answer)
        except KeyError:
            same = False
        if not same:
            for de in self.elements:
                if sent.get(de) != answer.get(de) and not (partial and de == AMOUNT):
                    return de
        if pan and answer.get(PAN, pan) != pan:
            return PAN
        return None


def original_echo_mismatch(sent: dict[int, str], answer: dict[int, str]) -> bool:
    """Whether a 0610 speaks of another original than the 0600 asked about: DE 90 must be there."""
    return answer.get(ORIGINAL_DATA) != sent[ORIGINAL_DATA]
