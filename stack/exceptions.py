"""What `turnout exceptions` shows and does: records that contradict each other, for a person.

An exception stops nothing and moves no money. Closing one says that somebody has looked into it and
what came of it; the payment is as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import frozen

from ledger.connection import Connection
from ledger.exceptions import (
    ExceptionAdvice,
    ExceptionDetail,
    ExceptionMessage,
    ExceptionRow,
    close_exception,
    count_exceptions,
    list_exceptions,
    show_exception,
)
from ledger.ids import public_id
from ledger.operators import OperatorError
from stack.acting import Document
from stack.deeds import action_document
from stack.instants import rfc3339
from stack.running import RunningStack


@frozen
class Kind:
    """A kind of exception.

    Attributes:
        meaning: what happened.
        remedy: what a person does about it.
    """

    meaning: str
    remedy: str


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "approval_without_attempt": Kind(
            "a network approved what the ledger does not know",
            "ask the network at once, by the RRN",
        ),
        "second_answer_approved": Kind(
            "the network declined first and approved then; the first answer stands, and a "
            "reversal is under way",
            "see that the reversal is acknowledged",
        ),
        "second_answer_declined": Kind(
            "the network approved first and declined then; the first answer stands",
            "ask the network which holds",
        ),
        "late_approval": Kind(
            "an approval came after the reversal was on its way; the merchant never hears of it",
            "see that the reversal is acknowledged",
        ),
        "capture_not_found": Kind(
            "the network had nothing to capture; the capture failed",
            "ask the network what became of the authorization",
        ),
        "capture_contradicted": Kind(
            "a capture was answered twice, and the second answer says the opposite; the first "
            "stands, and nothing is reversed",
            "ask the network which holds; what it captured and we did not count, have it undo",
        ),
        "completion_not_posted": Kind(
            "the network posted nothing of a charge that succeeded",
            "have the network post it, or refund the merchant's customer",
        ),
        "advice_rejected": Kind(
            "the network rejects an advice for good; it waits for an operator",
            "call the network, then retry or resolve the advice",
        ),
        "totals_out_of_balance": Kind(
            "a settlement day's figures of the network differ from ours",
            "compare the day's payments with the network's list",
        ),
        "relay_refused": Kind(
            "the event stream was fed from another database than this one, or from a newer state "
            "of it; nothing is streamed",
            "see turnout relay status; if this database is the right one, turnout relay repair",
        ),
        "relay_repaired": Kind(
            "the event stream had a gap, which was closed from the tables; of payment intents "
            "only the present version could be read",
            "find out what became of the replication slot; where `not_in_tables` is above zero, "
            "the database has lost rows that the stream holds",
        ),
        "attempt_unfinished": Kind(
            "an attempt was recorded and nobody has finished it: past its deadline and a grace "
            "there is no outcome, not even an unknown one",
            "see that its switch runs, or that another takes its payments over; ask the network by "
            "the numbers below",
        ),
        "history_changed": Kind(
            "a row that is never changed was changed or deleted in the database; the event stream "
            "has the change",
            "find out who was logged in to the database, by the time of that commit",
        ),
        "invariant_violated": Kind(
            "a payment's rows contradict its history, or its postings do; `invariant` and `rule` "
            "name what is broken, `expected` what the history says",
            "stop nothing; read the payment's events in the stream, and find out who or what wrote "
            "the row that differs",
        ),
        "postings_missing": Kind(
            "money moved, and nothing is booked for it",
            "turnout stream parked list: its event may have been put aside, with the reason",
        ),
        "books_unbalanced": Kind(
            "debits and credits differ, summed over all accounts of a mode and currency",
            "turnout ledger trial-balance --full names the accounts that are wrong",
        ),
    }
)
UNKNOWN_KIND: Final = Kind(
    "a kind that this release does not know: another one opened it", "read its release's pages"
)


async def list_open(
    _stack: RunningStack,
    session: Connection,
    *,
    closed_too: bool,
    kind: str,
    above: int,
    limit: int,
) -> Document:
    """How many are open, and a page of them, oldest first."""
    counts = await count_exceptions(session)
    rows = await list_exceptions(
        session, closed_too=closed_too, kind=kind, above=above, limit=limit + 1
    )
    return {
        "counts": [{"kind": name, "open": count} for name, count in counts.items()],
        "exceptions": [exception_document(row) for row in rows[:limit]],
        "more": len(rows) > limit,
    }


async def show(_stack: RunningStack, session: Connection, *, number: int) -> Document:
    """One exception, with its message, what its payment waits for, and what operators did.

    Raises:
        OperatorError: there is none of this number.
    """
    shown = await show_exception(session, number)
    if shown is None:
        raise OperatorError(f"there is no exception {number}")
    return detail_document(shown)


async def close(
    _stack: RunningStack, session: Connection, *, number: int, operator: str, note: str
) -> Document:
    """Close an exception that was looked into.

    Raises:
        OperatorError: none of this number is open, or the texts cannot be kept.
    """
    await close_exception(session, number, operator=operator, note=note)
    return {"exception": number, "action": "close", "operator": operator}


# ----------------------------------------------------------------------------------- the documents


def exception_document(row: ExceptionRow) -> Document:
    """An exception as the CLI's JSON shows it."""
    return {
        "exception": row.number,
        "kind": row.kind,
        "network": row.network,
        "intent": row.intent_id and public_id("pi", row.intent_id),
        "transaction": row.transaction_id and public_id("txn", row.transaction_id),
        "attempt": row.attempt_id and public_id("att", row.attempt_id),
        "detail": row.detail,
        "opened_at": rfc3339(row.opened_at_us),
        "closed_at": None if row.closed_at_us is None else rfc3339(row.closed_at_us),
        "closed_by": row.closed_by,
        "note": row.note or None,
    }


def detail_document(shown: ExceptionDetail) -> Document:
    """An exception with what helps to look into it."""
    kind = KINDS.get(shown.row.kind, UNKNOWN_KIND)
    return exception_document(shown.row) | {
        "meaning": kind.meaning,
        "remedy": kind.remedy,
        "message": shown.message and _message_document(shown.message),
        "advices": [_advice_document(advice) for advice in shown.advices],
        "actions": [action_document(action) for action in shown.actions],
    }


def _message_document(message: ExceptionMessage) -> Document:
    return {
        "kind": message.kind,
        "mti": message.mti,
        "stan": message.stan,
        "rrn": message.rrn,
        "de7": message.de7,
        "acquirer_id": message.acquirer_id,
        "amount_in_cents": message.amount_minor,
        "currency": message.currency,
    }


def _advice_document(advice: ExceptionAdvice) -> Document:
    return {
        "advice": public_id("att", advice.attempt_id),
        "kind": advice.kind,
        "state": advice_state(manual=advice.manual, resolution=advice.resolution),
        "sends": advice.repeats,
    }


def advice_state(*, manual: bool, resolution: str) -> str:
    """Where an advice stands: `waiting`, `manual`, or `resolved` and not yet acted on."""
    return "manual" if manual else "resolved" if resolution else "waiting"
