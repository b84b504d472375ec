"""What an operator may be called and write."""

from __future__ import annotations

import pytest

from ledger.operators import (
    NOTE_CHARACTERS_MAX,
    OPERATOR_CHARACTERS_MAX,
    OperatorError,
    check_answer,
    check_texts,
)


def test_names_and_notes_pass() -> None:
    """Up to their limits, in any script."""
    check_texts("Łukasz", "")
    check_texts("ada", "J. of vsim, +1 555 0100, says RRN 00253HVJ6Z4C is reversed")
    check_texts("a" * OPERATOR_CHARACTERS_MAX, "n" * NOTE_CHARACTERS_MAX)


@pytest.mark.parametrize(
    ("operator", "note"),
    [
        ("", ""),
        ("a" * (OPERATOR_CHARACTERS_MAX + 1), ""),
        ("a\x1b[31m", ""),
        ("ada", "n" * (NOTE_CHARACTERS_MAX + 1)),
        ("ada", "card 4242 4242 4242 4242 was charged"),
        ("4242424242424242", ""),
    ],
)
def test_other_texts_are_refused(operator: str, note: str) -> None:
    """Nobody, control characters, whatever no column takes, and cards."""
    with pytest.raises(OperatorError):
        check_texts(operator, note)


@pytest.mark.parametrize("answer", ["not_waiting", "not_manual", "not_refusable", "not_open"])
def test_a_refusal_says_why(answer: str) -> None:
    """Each word of the guarded functions has a sentence."""
    with pytest.raises(OperatorError, match=" "):
        check_answer(answer)
    check_answer("")
