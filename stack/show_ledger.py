"""The books for people: balances and the trial balance as tables."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console
from rich.table import Table

from ledger.money import format_amount
from stack.show import list_table, make_console, print_whole

BALANCES: Final = ("merchant", "mode", "account", "balance")
LINES: Final = ("mode", "account", "debits", "credits", "balance", "accounts")


def balances(document: dict[str, Any]) -> None:
    """Print `turnout ledger balance`."""
    console = make_console()
    if not document["balances"]:
        console.print("nothing is booked")
        return
    table = list_table(BALANCES, right=("balance",))
    _add_balances(table, document["balances"])
    print_whole(console, table)
    for shard in _several(document):
        if shard["balances"]:
            table = list_table(BALANCES, right=("balance",))
            _add_balances(table, shard["balances"])
            console.print(f"of these on shard {shard['shard']}:")
            print_whole(console, table)


def trial(document: dict[str, Any]) -> None:
    """Print `turnout ledger trial-balance`."""
    console = make_console()
    _trial(console, document)
    for shard in _several(document):
        console.print(f"shard {shard['shard']}:")
        _trial(console, shard)


def _add_balances(table: Table, balances_: list[dict[str, Any]]) -> None:
    for one in balances_:
        for purpose, amount_minor in one["amounts"].items():
            shown = format_amount(amount_minor, one["currency"])
            table.add_row(one["merchant"], one["mode"], purpose, shown)


def _several(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a sum, where there are more than one."""
    shards: list[dict[str, Any]] = document["shards"]
    return shards if len(shards) > 1 else []


def _trial(console: Console, document: dict[str, Any]) -> None:
    table = list_table(LINES, right=("debits", "credits", "balance", "accounts"))
    for line in document["lines"]:
        amounts = [
            format_amount(line[side], line["currency"]) for side in ("debits", "credits", "balance")
        ]
        table.add_row(line["mode"], line["purpose"], *amounts, str(line["accounts"]))
    print_whole(console, table)
    for one in document["totals"]:
        if not one["balanced"]:
            difference = format_amount(abs(one["debits"] - one["credits"]), one["currency"])
            what = "memo accounts" if one["memo"] else "accounts"
            console.print(f"{one['mode']} {what}: debits and credits differ by {difference}")
    for one in document["differences"]:
        console.print(
            f"account {one['account']}: its sums are {one['debits']}/{one['credits']}, its "
            f"postings {one['posted_debits']}/{one['posted_credits']}"
        )
    if document["balanced"]:
        console.print("debits equal credits")
