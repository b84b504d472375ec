"""Store-and-forward for people: the queue as a table, one advice with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from ledger.money import format_amount
from stack.instants import age, times
from stack.saf import PURPOSES
from stack.show import list_table, make_console, print_whole, summary_box

COLUMNS: Final = ("advice", "purpose", "network", "amount", "RRN", "sends", "age", "state")


def queue(document: dict[str, Any]) -> None:
    """Print `turnout saf list`: how much waits, then the advices."""
    console = make_console()
    if not document["counts"]:
        console.print("nothing waits: networks have acknowledged every advice")
        return
    for count in document["counts"]:
        console.print(_depth(count))
    if not document["advices"]:
        return
    table = list_table(COLUMNS, right=("amount", "sends", "age"))
    now = datetime.now(tz=UTC)
    for each in document["advices"]:
        table.add_row(*_cells(each, now))
    console.print()
    print_whole(console, table)
    if document["more"]:
        console.print("… and more: --limit N shows them, --manual only what waits for you")


def advice(document: dict[str, Any]) -> None:
    """Print `turnout saf show`."""
    console = make_console()
    console.print(summary_box(document["advice"], list(_facts(document))))
    for line in (*_history(document), *_ways_on(document)):
        console.print(line, soft_wrap=True)


def _depth(count: dict[str, Any]) -> str:
    waits = [f"{count['waiting']} repeated"] if count["waiting"] else []
    waits += [f"{count['manual']} waiting for an operator"] if count["manual"] else []
    of = f"{count['network']}, {count['kind']}"
    return f"{of}: {', '.join(waits)}; the oldest since {count['oldest_at']}"


def _cells(each: dict[str, Any], now: datetime) -> Iterator[str]:
    yield each["advice"]
    yield each["purpose"]
    yield each["network"]
    yield format_amount(each["amount_in_cents"], each["currency"])
    yield each["rrn"]
    yield str(each["sends"])
    yield age((now - datetime.fromisoformat(each["created_at"])).total_seconds())
    yield "operator" if each["state"] == "manual" else each["state"]


def _facts(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    amount = format_amount(document["amount_in_cents"], document["currency"])
    yield "purpose", f"{document['purpose']}: {PURPOSES[document['purpose']].meaning}"
    yield "payment", f"{document['intent']}, {document['transaction']}"
    yield "message", f"{document['mti']} to {document['network']}, {amount}"
    yield "ask by", f"RRN {document['rrn']}, STAN {document['stan']}, DE 7 {document['de7']}"
    yield "acquirer", document["acquirer_id"]
    yield "since", document["created_at"]
    yield "sent", f"{times(document['sends'])}, by {document['switch']}"
    match document["state"]:
        case "manual":
            yield "state", "waits for an operator; not sent any more"
        case "resolved":
            yield "state", f"resolved; {document['switch']} acts on it when it next looks"
        case _:
            due = f"next at {document['due_at']}" if document["due_at"] else "next at once"
            yield "state", f"repeated until it is acknowledged; {due}"


def _history(document: dict[str, Any]) -> Iterator[str]:
    for each in document["exceptions"]:
        said = f", DE 39 = {code}" if (code := each["detail"].get("response_code")) else ""
        closed = f", closed {each['closed_at']}" if each["closed_at"] else ""
        yield f"{each['opened_at']}  exception {each['exception']}: {each['kind']}{said}{closed}"
    for each in document["actions"]:
        resolution = f" {each['resolution']}" if each["resolution"] else ""
        line = f"{each['at']}  {each['operator']}: {each['action']}{resolution}  {each['note']}"
        yield line.rstrip()


def _ways_on(document: dict[str, Any]) -> Iterator[str]:
    """What may be done now, as commands to paste."""
    name, words = document["advice"], PURPOSES[document["purpose"]].words
    if document["state"] == "resolved":
        return
    yield ""
    yield f"turnout saf retry {name}"
    yield "    sends it at once; a network takes a repeat for what it is"
    if document["state"] != "manual":
        return
    for word, meaning in words.items():
        yield f"turnout saf resolve {name} {word} --note …"
        yield f"    if the network says so; effect on the payment: {meaning.effect}"
