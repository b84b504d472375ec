"""Which public test numbers live mode refuses."""

from __future__ import annotations

import tomllib
from importlib import resources

from chassis.masking import passes_luhn
from switch.core.sandbox_cards import PUBLISHED, SIMULATED, refused_pans


def test_live_refuses_every_card_that_the_simulated_networks_know() -> None:
    """The list is the simulator's own, number by number."""
    text = (resources.files("network_sim") / "cards.toml").read_text(encoding="utf-8")
    assert {card["number"] for card in tomllib.loads(text)["cards"]} == SIMULATED
    assert refused_pans("live") == SIMULATED | PUBLISHED


def test_the_published_numbers_are_card_numbers() -> None:
    """A mistyped one would refuse nothing: its check digit tells."""
    assert all(map(passes_luhn, PUBLISHED | SIMULATED))


def test_test_mode_refuses_none() -> None:
    """They are what test mode is for."""
    assert refused_pans("test") == frozenset()
