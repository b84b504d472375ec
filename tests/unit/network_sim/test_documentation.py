"""The page on the simulator says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from network_sim.cards import load_cards, load_ranges
from network_sim.journal import COLUMNS

PAGE = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text("utf-8")


def test_every_card_and_range_is_described() -> None:
    """In the order of the card file, and no other number."""
    assert re.findall(r"^\| (\d{16}) \|", PAGE, re.MULTILINE) == [c.number for c in load_cards()]
    assert re.findall(r"^\| (\d{16}) to (\d{16}) \|", PAGE, re.MULTILINE) == [
        (entry.first, entry.last) for entry in load_ranges()
    ]


def test_every_column_of_the_record_is_described() -> None:
    """By its number and name."""
    described = re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE, re.MULTILINE)
    assert described == [(str(number), name) for number, name in enumerate(COLUMNS, start=1)]
