"""Answers made wrong before they are packed."""

from __future__ import annotations

import pytest

from network_sim.faults import Alter, Unsolicited
from network_sim.faults.alterations import altered, other_value
from switch.iso8583 import Dialect
from tests.support.network import sale


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("000123", "000124"),
        ("000129", "000120"),
        ("ABCDEA", "ABCDEB"),
        ("ABCDEB", "ABCDEA"),
        ("ABCDEZ", "ABCDEA"),
        ("SHOP1     ", "SHOP2     "),
        ("          ", "         A"),
    ],
)
def test_another_value_has_the_same_form(text: str, other: str) -> None:
    """Digits stay digits, letters letters, and the length is kept."""
    assert other_value(text) == other


def test_elements_are_changed_put_in_and_taken_out(dialect: Dialect) -> None:
    """What is put in is filled to its width; the original stays as it was."""
    answer = sale()
    changed = altered(
        answer, Alter(set={42: "OTHER SHOP", 39: "00"}, remove=(43, 44), wrong=(11, 90)), dialect
    )
    assert (changed[42], changed[39], changed[11]) == ("OTHER SHOP     ", "00", "000124")
    assert 43 not in changed
    assert answer == sale()


def test_a_stray_answer_has_other_numbers(dialect: Dialect) -> None:
    """STAN and RRN, unless something else is said."""
    stray = altered(sale(), Unsolicited(), dialect)
    assert (stray[11], stray[37], stray[4]) == ("000124", "0ABCDEF12346", sale()[4])
    assert altered(sale(), Unsolicited(wrong=(), set={0: "0410"}), dialect)[0] == "0410"
