"""Exceptions for people: what is open as a table, one of them with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from ledger.money import format_amount
from stack.instants import age, times
from stack.show import list_table, make_console, print_whole, summary_box

LABELS: Final = {  # of what an exception may hold, in the order of a message's elements
    "mti": "message",
    "amount": "DE 4",
    "de7": "DE 7",
    "stan": "STAN",
    "acquirer_id": "acquirer",
    "rrn": "RRN",
    "approval_code": "DE 38",
    "response_code": "DE 39",
    "currency": "DE 49",
}
COLUMNS: Final = ("number", "kind", "network", "payment", "RRN", "age", "state")


def listed(document: dict[str, Any], *, again: str) -> None:
    """Print `turnout exceptions list`: how many are open, then a line each.

    Args:
        document: as `--json` prints it.
        again: the command that shows what follows, but for the number of the last one shown.
    """
    console = make_console()
    if document["counts"]:
        counts = (f"{each['open']} {each['kind']}" for each in document["counts"])
        console.print(f"open: {', '.join(counts)}")
    else:
        console.print("open: none")
    if not document["exceptions"]:
        return
    table = list_table(COLUMNS, right=("number", "age"))
    now = datetime.now(tz=UTC)
    for each in document["exceptions"]:
        table.add_row(*_cells(each, now))
    console.print()
    print_whole(console, table)
    if document["more"]:
        console.print(f"… and more: {again} --above {document['exceptions'][-1]['exception']}")


def shown(document: dict[str, Any]) -> None:
    """Print `turnout exceptions show`."""
    console = make_console()
    title = f"exception {document['exception']}: {document['kind']}"
    console.print(summary_box(title, list(_facts(document))))
    for line in (*_history(document), *_ways_on(document)):
        console.print(line, soft_wrap=True)


def _cells(each: dict[str, Any], now: datetime) -> Iterator[str]:
    yield str(each["exception"])
    yield each["kind"]
    yield each["network"]
    yield each["intent"] or "-"
    yield str(each["detail"].get("rrn", "-"))
    yield age((now - datetime.fromisoformat(each["opened_at"])).total_seconds())
    yield "closed" if each["closed_at"] else "open"


def _facts(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "happened", document["meaning"]
    yield "to do", document["remedy"]
    yield "network", document["network"] or "-"
    if document["intent"]:
        yield "payment", f"{document['intent']}, {document['transaction']}"
    message = document["message"]
    if message:
        amount = format_amount(message["amount_in_cents"], message["currency"])
        yield "message", f"{message['mti']} ({message['kind']}), {amount}"
        yield "ask by", f"RRN {message['rrn']}, STAN {message['stan']}, DE 7 {message['de7']}"
        yield "acquirer", message["acquirer_id"]
    told = document["detail"]
    shown_above = message or {}
    for name in (*LABELS, *sorted(told.keys() - LABELS.keys())):
        if told.get(name, "") not in ("", shown_above.get(name)):
            yield LABELS.get(name, name.replace("_", " ")), str(told[name])
    yield "opened", document["opened_at"]
    if document["closed_at"]:
        yield "closed", f"{document['closed_at']} by {document['closed_by']}: {document['note']}"


def _history(document: dict[str, Any]) -> Iterator[str]:
    for each in document["actions"]:
        yield f"{each['at']}  {each['operator']}: {each['action']}  {each['note']}"


def _ways_on(document: dict[str, Any]) -> Iterator[str]:
    """What may be done now, as commands to paste."""
    if document["closed_at"]:
        return
    yield ""
    for each in document["advices"]:
        waits = "waits for an operator" if each["state"] == "manual" else each["state"]
        yield f"turnout saf show {each['advice']}"
        sent = f"sent {times(each['sends'])}, {waits}"
        yield f"    the {each['kind']} of this payment that is not acknowledged: {sent}"
    yield f"turnout exceptions close {document['exception']} --note …"
    yield "    when it has been looked into; moves no money"
