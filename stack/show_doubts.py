"""Doubts for people: the queue as a table, and what will be done about one of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from ledger.money import format_amount
from stack.doubts import INQUIRY
from stack.instants import age, times
from stack.show import list_table, make_console, print_whole, summary_box

COLUMNS: Final = ("attempt", "network", "amount", "RRN", "asked", "age", "next")
STUCK: Final = "nothing: its network is not in the settings"


def listed(document: dict[str, Any]) -> None:
    """Print `turnout doubts list`: how much is in doubt, then a line each."""
    console = make_console()
    if not document["counts"]:
        console.print("nothing is in doubt")
        return
    for count in document["counts"]:
        console.print(
            f"{count['network']}: {count['open']} in doubt; the oldest since {count['oldest_at']}"
        )
    if not document["doubts"]:
        return
    table = list_table(COLUMNS, right=("amount", "asked", "age"))
    now = datetime.now(tz=UTC)
    for each in document["doubts"]:
        table.add_row(*_cells(each, now))
    console.print()
    print_whole(console, table)
    if document["more"]:
        console.print("… and more: --limit N shows them")


def shown(document: dict[str, Any]) -> None:
    """Print `turnout doubts show`."""
    make_console().print(summary_box(document["attempt"], list(_facts(document))))


def _cells(each: dict[str, Any], now: datetime) -> Iterator[str]:
    yield each["attempt"]
    yield each["network"]
    yield format_amount(each["amount_in_cents"], each["currency"])
    yield each["rrn"]
    yield str(each["inquiries"])
    yield age((now - datetime.fromisoformat(each["created_at"])).total_seconds())
    yield each["next"] or STUCK


def _facts(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    amount = format_amount(document["amount_in_cents"], document["currency"])
    yield "payment", f"{document['intent']}, {document['transaction']}"
    yield "message", f"{document['mti']} to {document['network']}, {amount}"
    yield "ask by", f"RRN {document['rrn']}, STAN {document['stan']}, DE 7 {document['de7']}"
    yield "acquirer", document["acquirer_id"]
    yield "since", document["created_at"]
    yield "asked", f"{times(document['inquiries'])}, by {document['switch']}"
    if document["next"] is None:
        yield "next", f"{STUCK}; put it back until nothing waits for it"
        return
    if document["next"] == INQUIRY:
        yield "next", f"asked again at {document['due_at']}, if a link is up"
    yield "in the end", f"reversed at {document['window_ends_at']}, unless an answer decides it"
