"""Payments for people: timelines, the fields of messages, and the box with what to try next."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, TextIO

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Table

from ledger.money import format_amount
from stack.messages import Exchange, table_rows
from stack.payments import Attempt, Payment
from switch.iso8583 import Dialect
from turnout_client import TimelineEvent

PLAIN_WIDTH: Final = 110  # columns where there is no terminal to ask
WIDTH_MAX: Final = 500  # of a table that may be wider than its terminal
_RESULTS: Final = {
    "approved": "approved",
    "partial": "approved in part",
    "declined": "declined",
    "not_sent": "no message left",
    "unknown": "no answer that decides it: the outcome is unknown",
    "reversed": "reversed",
    "manual": "decided by an operator",
}
# Of messages that ask for nothing new: by their kind, then as above.
_RESULTS_OF_KIND: Final = {
    ("inquiry", "approved"): "the network had approved it",
    ("inquiry", "partial"): "the network had approved it in part",
    ("inquiry", "declined"): "the network had declined it",
    ("inquiry", "unknown"): "the network does not say",
    ("completion", "approved"): "acknowledged",
    ("release", "approved"): "acknowledged",
    ("reversal", "approved"): "acknowledged",
}


def make_console(stream: TextIO | None = None) -> Console:
    """A console on a stream, stdout unless given; lines never fold where programs read them."""
    stream = stream or sys.stdout
    width = None if stream.isatty() else PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def timeline_lines(payment: Payment) -> Iterator[str]:
    """Who did what and when, one line an event; times are UTC, with the seconds since the first."""
    started_at = payment.events[0].at
    for event in payment.events:
        elapsed_s = (event.at - started_at).total_seconds()
        yield (
            f"{event.at:%H:%M:%S}.{event.at.microsecond // 1000:03d} {elapsed_s:+8.3f} s  "
            f"{event.actor:<13}  {name(event):<20}  {describe(event)}".rstrip()
        )


def name(event: TimelineEvent) -> str:
    """What happened, in a word or two: the intent's new status, or what else began or ended."""
    subject, _, verb = event.type.partition(".")
    match subject:
        case "transaction":
            return f"{event.data['transactionType']} {verb}"
        case "attempt":
            return f"{event.data['kind']} {verb}"
    return verb


def describe(event: TimelineEvent) -> str:
    """One event in words."""
    data = event.data
    if result := data.get("result"):
        return ", ".join(_outcome_parts(result, data))
    if data.get("rrn"):
        return ", ".join(_message_parts(data))
    if "amountInCents" in data:
        return format_amount(data["amountInCents"], data["currency"])
    return ""


def _message_parts(data: Mapping[str, Any]) -> Iterator[str]:
    yield f"{data['mti']} to {data['network']}"
    yield f"STAN {data['stan']}"
    yield f"RRN {data['rrn']}"
    if data.get("sends", 0) > 1:
        yield f"sent {data['sends']} times"
    if data.get("manual"):
        yield "waits for an operator"


def _outcome_parts(result: str, data: Mapping[str, Any]) -> Iterator[str]:
    yield _RESULTS_OF_KIND.get((data.get("kind", ""), result)) or _RESULTS.get(result, result)
    if code := data.get("responseCode"):
        yield f"DE 39 = {code}"
    if code := data.get("approvalCode"):
        yield f"approval code {code}"
    if (decline := data.get("declineCode")) and data.get("kind") != "reversal":
        advice = data.get("advice")
        yield f"{decline} ({advice})" if advice else decline
    if data.get("sends", 0) > 1:
        yield f"sent {data['sends']} times"


def message_table(attempt: Attempt, exchange: Exchange, dialect: Dialect) -> Table:
    """The fields of a request and its answer side by side, masked."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("DE", justify="right")
    table.add_column("element", no_wrap=True)
    table.add_column(f"{exchange.request[0]} to {attempt.network}", overflow="fold")
    answered = exchange.answer is not None
    table.add_column(f"answer of {attempt.network}" if answered else "no answer", overflow="fold")
    for row in table_rows(exchange, dialect):
        table.add_row(*row)
    return table


def list_table(columns: Sequence[str], *, right: Collection[str]) -> Table:
    """An empty table of one line a row; the columns in `right` are set flush right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    return table


def print_whole(console: Console, table: Table) -> None:
    """Print a table with no cell cut short: ids are there to be pasted, on narrow terminals too."""
    boundless = console.options.update(width=WIDTH_MAX)
    console.width = max(console.width, Measurement.get(console, boundless, table).maximum)
    console.print(table)


def summary_box(title: str, rows: Sequence[tuple[str, str]]) -> Panel:
    """Names and values in a box; values stand whole on their lines."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, min_width=max(len(name) for name, _ in rows))
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*row)
    return Panel(grid, title=title, title_align="left", expand=False)
