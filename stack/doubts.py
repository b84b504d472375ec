"""What `turnout doubts` shows: messages whose outcome is unknown, while the switch finds it out.

A doubt never waits for a person. Within its window the network is asked; an answer that decides it
ends it, and when the window closes a reversal takes its place, which is an advice: repeated until
it is acknowledged, and put aside for an operator where the network rejects it (`stack.saf`). So
there is nothing to do about a doubt but to see to what keeps it from ending: a link that is down,
a network that the settings do not name any more.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from ledger.connection import Connection
from ledger.ids import public_id
from ledger.operators import OperatorError
from ledger.verifications import (
    Doubt,
    VerificationCount,
    count_verifications,
    list_doubts,
    show_doubt,
)
from stack.acting import Document
from stack.instants import rfc3339
from stack.running import RunningStack

NO_SUCH_DOUBT: Final = (
    "no such message is in doubt: an answer has decided it, or a reversal has taken its place"
)
INQUIRY: Final = "inquiry"
REVERSAL: Final = "reversal"


async def list_open(stack: RunningStack, session: Connection, *, limit: int) -> Document:
    """How much is in doubt, and the oldest of it."""
    counts = await count_verifications(session)
    doubts = await list_doubts(session, limit=limit + 1)
    known = stack.settings.networks
    return {
        "counts": [count_document(count) for count in counts],
        "doubts": [doubt_document(doubt, known) for doubt in doubts[:limit]],
        "more": len(doubts) > limit,
    }


async def show(stack: RunningStack, session: Connection, *, attempt_id: bytes) -> Document:
    """One doubt.

    Raises:
        OperatorError: this message is in none.
    """
    doubt = await show_doubt(session, attempt_id)
    if doubt is None:
        raise OperatorError(NO_SUCH_DOUBT)
    return doubt_document(doubt, stack.settings.networks)


def count_document(count: VerificationCount) -> Document:
    """How much is in doubt, of one network."""
    return {
        "network": count.network,
        "open": count.waiting,
        "oldest_at": rfc3339(count.oldest_at_us),
    }


def doubt_document(doubt: Doubt, known: Collection[str]) -> Document:
    """A doubt as the CLI's JSON shows it.

    Args:
        doubt: of the ledger.
        known: the networks that the settings name.
    """
    step = INQUIRY if doubt.due_at_us < doubt.window_ends_at_us else REVERSAL
    return {
        "attempt": public_id("att", doubt.attempt_id),
        "intent": public_id("pi", doubt.intent_id),
        "transaction": public_id("txn", doubt.transaction_id),
        "network": doubt.network,
        "mti": doubt.mti,
        "stan": doubt.stan,
        "rrn": doubt.rrn,
        "de7": doubt.de7,
        "acquirer_id": doubt.acquirer_id,
        "amount_in_cents": doubt.amount_minor,
        "currency": doubt.currency,
        "inquiries": doubt.inquiries,
        "next": step if doubt.network in known else None,
        "due_at": rfc3339(doubt.due_at_us),
        "window_ends_at": rfc3339(doubt.window_ends_at_us),
        "created_at": rfc3339(doubt.created_at_us),
        "switch": doubt.owner,
    }
