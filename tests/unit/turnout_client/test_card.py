"""A card in memory shows as little as it can."""

from __future__ import annotations

import copy
import pickle

import pytest

from turnout_client import Card, Turnout
from turnout_client.on_trio import TrioTurnout

CARD = Card(number="4242424242424242", exp_month=12, exp_year=2030, cvc="987", name="A HOLDER")


def test_a_card_shows_its_last_four_digits_only() -> None:
    """In every way to print it."""
    assert {repr(CARD), str(CARD), f"{CARD}", f"{CARD!r}"} == {"Card(****4242)"}


@pytest.mark.parametrize("number", ["", "4242", "42424242424"])
def test_what_is_too_short_for_a_card_is_not_shown_at_all(number: str) -> None:
    """Its last four digits could be most of it."""
    assert repr(Card(number=number, exp_month=1, exp_year=2030)) == "Card(****)"


@pytest.mark.parametrize("copier", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_card_is_not_serialized(copier: object) -> None:
    """Nor copied, which works in the same way."""
    with pytest.raises(TypeError, match="cannot be pickled"):
        copier(CARD)  # type: ignore[operator]


@pytest.mark.parametrize("client", [Turnout, TrioTurnout])
def test_a_client_does_not_show_its_secret(client: type[Turnout | TrioTurnout]) -> None:
    """The publishable key names it well enough."""
    shown = repr(client("pk_test_docs", "sk_test_docs"))
    assert "pk_test_docs" in shown
    assert "sk_test" not in shown
