"""Which messages a rule takes."""

from __future__ import annotations

import pytest

from network_sim.faults import Match, Rule, Withhold
from network_sim.faults.rules import Nth
from tests.support.network import management, reversal, sale

NAMES = {"301": "echo", "001": "sign_on"}


@pytest.mark.parametrize(
    "match",
    [
        Match(),
        Match(mti="0200"),
        Match(mti="02*"),
        Match(mti=("0100", "0200")),
        Match(pan="*4242"),
        Match(amount=2499),
        Match(amount=(2000, 2999)),
        Match(elements={42: "MERCHANT*", 49: ("840", "978")}),
        Match(connection=3),
        Match(mti="0?00", pan="4*", amount=(1, 9999), connection=3),
    ],
)
def test_a_message_fits(match: Match) -> None:
    """Everything that is said of it holds."""
    assert match.fits(sale(), 3, NAMES)


@pytest.mark.parametrize(
    "match",
    [
        Match(mti="0100"),
        Match(mti="0200", pan="5*"),
        Match(amount=2500),
        Match(amount=(1, 2498)),
        Match(elements={90: "*"}),
        Match(connection=2),
        Match(function="echo"),
    ],
)
def test_a_message_does_not_fit(match: Match) -> None:
    """One thing that does not hold is enough; an element that is not there fits nothing."""
    assert not match.fits(sale(), 3, NAMES)


@pytest.mark.parametrize(("said", "fits"), [("echo", True), ("301", True), ("3*", True),
                                            ("sign_on", False), ("002", False)])  # fmt: skip
def test_a_function_is_named_or_numbered(said: str, *, fits: bool) -> None:
    """By the dialect's name for it, or its digits."""
    assert Match(function=said).fits(management("301"), 1, NAMES) is fits


def test_an_amount_is_not_matched_where_there_is_none() -> None:
    """Network management has no amount."""
    assert not Match(amount=(0, 9999)).fits(management("301"), 1, NAMES)


def test_a_reversal_is_matched_by_what_it_reverses() -> None:
    """DE 90 begins with the MTI of the original."""
    assert Match(elements={90: "0200*"}).fits(reversal(sale(), {11: "000200"}), 1, NAMES)


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        (None, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (2, [2]),
        ("9..", [9, 10]),
        ("2..4", [2, 3, 4]),
        ("every 4", [4, 8]),
        ("every 1", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    ],
)
def test_nth_names_some_of_the_matching_messages(said: int | str | None, taken: list[int]) -> None:
    """Counted from one."""
    assert [count for count in range(1, 11) if Nth.of(said).takes(count)] == taken


@pytest.mark.parametrize("said", [0, -1, "", "0..", "3..2", "every 0", "every", "first"])
def test_what_names_nothing_is_refused(said: int | str) -> None:
    """When the rule is made, not when it should apply."""
    with pytest.raises(ValueError, match="nth"):
        Rule(nth=said, action=Withhold())


def test_a_rule_does_something() -> None:
    """One action, or several; none is a mistake."""
    assert Rule(action=Withhold()).all_actions == (Withhold(),)
    with pytest.raises(ValueError, match="a rule has an action"):
        Rule(match=Match(mti="0200"))
