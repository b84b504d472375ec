"""`turnout cards`: the test cards and what each one does."""

from __future__ import annotations

import json
from typing import Any

import click

from network_sim.cards import load_cards, load_ranges


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def cards(*, as_json: bool) -> None:
    """List the test cards and what each one does.

    Use any future expiry date and any three digits as CVC.
    """
    document = cards_document()
    click.echo(json.dumps(document) if as_json else _table(document))


def cards_document() -> dict[str, list[dict[str, Any]]]:
    """What `turnout cards --json` prints."""
    return {
        "cards": [
            {
                "number": card.number,
                "brand": card.brand,
                "outcome": card.outcome,
                "description": card.description,
            }
            for card in load_cards()
        ],
        "ranges": [
            {
                "first": entry.first,
                "last": entry.last,
                "brand": entry.brand,
                "outcome": entry.outcome,
                "description": entry.description,
            }
            for entry in load_ranges()
        ],
    }


def _table(document: dict[str, list[dict[str, Any]]]) -> str:
    lines = [
        f"{card['number']}  {card['brand']:<10}  {card['description']}"
        for card in document["cards"]
    ]
    lines += ["", "For load, every number of these ranges, right check digit or not:"]
    lines += [
        f"{entry['first']} to {entry['last']}  {entry['brand']:<10}  {entry['description']}"
        for entry in document["ranges"]
    ]
    return "\n".join(lines)
