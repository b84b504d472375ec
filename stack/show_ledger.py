"""The books for people: balances and the trial balance as tables."""

from __future__ import annotations

from typing import Any, Final

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
    for one in document["balances"]:
        for purpose, amount_minor in one["amounts"].items():
            shown = format_amount(amount_minor, one["currency"])
            table.add_row(one["merchant"], one["mode"], purpose, shown)
    print_whole(console, table)


def trial(document: dict[str, Any]) -> None:
    """Print `turnout ledger trial-balance`."""
    console = make_console()
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
