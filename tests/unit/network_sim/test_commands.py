"""`turnout cards`."""

from __future__ import annotations

import json

from click.testing import CliRunner

from network_sim.cards import load_cards
from network_sim.commands import cards


def test_every_card_stands_in_the_list() -> None:
    """One line a card: its number and what it does."""
    result = CliRunner().invoke(cards)
    assert result.exit_code == 0
    for card in load_cards():
        [line] = [line for line in result.output.splitlines() if line.startswith(card.number)]
        assert line.endswith(card.description)


def test_json_is_one_document_and_nothing_else() -> None:
    """Scripts read numbers, outcomes and ranges from it."""
    result = CliRunner().invoke(cards, ["--json"])
    document = json.loads(result.stdout)
    assert list(document) == ["cards", "ranges"]
    assert document["cards"][0] == {
        "number": "4242424242424242",
        "brand": "visa",
        "outcome": "approved",
        "description": "Approved",
    }
    assert document["ranges"][0]["first"] == "4242420000000000"
    assert document["ranges"][0]["last"] == "4242420099999999"
    assert result.stderr == ""


def test_an_unknown_option_is_a_usage_error() -> None:
    """Exit status 2, as for every command."""
    assert CliRunner().invoke(cards, ["--yaml"]).exit_code == 2
