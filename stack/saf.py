"""What `turnout saf` shows and does: advices that a network still owes an acknowledgment for.

Every advice is one of five kinds of message, and each leaves a person with one question: did the
network do it? What an operator may answer, and what becomes of the payment then, stands in
`PURPOSES`. The operator changes no payment: the answer is noted beside the advice, with who gave it
and why, and the switch that owns the advice acts on it within seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import frozen

from ledger.connection import Connection
from ledger.ids import public_id
from ledger.operators import OperatorError
from ledger.saf import (
    SafCount,
    SafDetail,
    SafEntry,
    count_saf,
    saf_list,
    saf_resolve,
    saf_retry,
    saf_show,
)
from stack.acting import Document
from stack.deeds import action_document
from stack.exceptions import advice_state, exception_document
from stack.instants import rfc3339
from stack.running import RunningStack

NO_SUCH_ADVICE: Final = "no such advice is waiting: it was acknowledged, or never was one"


@frozen
class Word:
    """An answer that an operator may give.

    Attributes:
        resolution: the ledger's word for it, see `ledger.lifecycle.SAF_RESOLUTIONS`.
        effect: what becomes of the payment, in words.
    """

    resolution: str
    effect: str


@frozen
class Purpose:
    """What an advice is for.

    Attributes:
        meaning: in words.
        words: the answers that make sense, and what each does.
    """

    meaning: str
    words: Mapping[str, Word]


PURPOSES: Final[Mapping[str, Purpose]] = MappingProxyType(
    {
        "reversal": Purpose(
            "undoes a charge or a refund: its outcome is unknown, or nobody wants it any more",
            {
                "reversed": Word(
                    "acknowledged",
                    "a charge ends failed, or canceled where that was asked for; a refund ends "
                    "reversed, and its amount may be refunded again",
                )
            },
        ),
        "cancel": Purpose(
            "gives an authorization back, because the merchant asked or its time was over",
            {
                "reversed": Word("acknowledged", "the payment is canceled"),
                "declined": Word("refused", "the payment is authorized, as before"),
            },
        ),
        "release": Purpose(
            "gives back what a final capture left of an authorization",
            {
                "reversed": Word("acknowledged", "none: the capture has succeeded long since"),
                "declined": Word("refused", "none: the cardholder's hold runs out by itself"),
            },
        ),
        "capture": Purpose(
            "collects an authorized amount",
            {
                "approved": Word("acknowledged", "the capture succeeds"),
                "declined": Word("refused", "the capture fails; the payment is authorized"),
            },
        ),
        "completion": Purpose(
            "has the network post an automatic charge that it has authorized",
            {
                "approved": Word("acknowledged", "none: the charge has succeeded long since"),
                "declined": Word(
                    "refused",
                    "none: the merchant was told that the charge succeeded, but the network owes "
                    "the amount; an exception is opened",
                ),
            },
        ),
    }
)


class ResolutionError(OperatorError):
    """A word that does not answer the question of this advice; says which do."""


def purpose_of(entry: SafEntry) -> str:
    """What an advice is for: one of `PURPOSES`."""
    if entry.row.kind != "request":
        return entry.row.kind
    return "cancel" if entry.mti[1] == "4" else "capture"


def resolution_of(entry: SafEntry, word: str) -> str:
    """The ledger's word for an operator's about this advice.

    Raises:
        ResolutionError: it answers no question of such an advice.
    """
    purpose = purpose_of(entry)
    words = PURPOSES[purpose].words
    if word not in words:
        raise ResolutionError(
            f"a {purpose} is resolved as {' or '.join(words)}, not {word}: "
            f"it {PURPOSES[purpose].meaning}"
        )
    return words[word].resolution


# ------------------------------------------------------------------------------------- the actions


async def list_queue(
    _stack: RunningStack, session: Connection, *, manual_only: bool, limit: int
) -> Document:
    """The queue's depth, and its oldest advices."""
    counts = await count_saf(session)
    entries = await saf_list(session, manual_only=manual_only, limit=limit + 1)
    return {
        "counts": [count_document(count) for count in counts],
        "advices": [entry_document(entry) for entry in entries[:limit]],
        "more": len(entries) > limit,
    }


async def show(_stack: RunningStack, session: Connection, *, attempt_id: bytes) -> Document:
    """One advice, with what was done about it.

    Raises:
        OperatorError: no such advice is waiting.
    """
    return detail_document(await _waiting(session, attempt_id))


async def retry(
    _stack: RunningStack, session: Connection, *, attempt_id: bytes, operator: str, note: str
) -> Document:
    """Have an advice sent at once.

    Raises:
        OperatorError: no such advice is waiting, or the texts cannot be kept.
    """
    await saf_retry(session, attempt_id, operator=operator, note=note)
    return {"advice": public_id("att", attempt_id), "action": "retry", "operator": operator}


async def resolve(
    _stack: RunningStack,
    session: Connection,
    *,
    attempt_id: bytes,
    word: str,
    operator: str,
    note: str,
) -> Document:
    """Say what became of an advice that waits for an operator.

    Raises:
        OperatorError: it does not wait for one, the word does not fit, or the texts cannot be kept.
    """
    entry = (await _waiting(session, attempt_id)).entry
    resolution = resolution_of(entry, word)
    await saf_resolve(session, attempt_id, resolution, operator=operator, note=note)
    return {
        "advice": public_id("att", attempt_id),
        "action": "resolve",
        "resolution": word,
        "effect": PURPOSES[purpose_of(entry)].words[word].effect,
        "operator": operator,
    }


async def _waiting(session: Connection, attempt_id: bytes) -> SafDetail:
    shown = await saf_show(session, attempt_id)
    if shown is None:
        raise OperatorError(NO_SUCH_ADVICE)
    return shown


# ----------------------------------------------------------------------------------- the documents


def count_document(count: SafCount) -> Document:
    """How many advices wait, of one network and kind."""
    return {
        "network": count.network,
        "kind": count.kind,
        "waiting": count.waiting,
        "manual": count.manual,
        "oldest_at": rfc3339(count.oldest_at_us),
    }


def entry_document(entry: SafEntry) -> Document:
    """An advice as the CLI's JSON shows it."""
    row = entry.row
    return {
        "advice": public_id("att", row.attempt_id),
        "intent": public_id("pi", row.intent_id),
        "transaction": public_id("txn", row.transaction_id),
        "purpose": purpose_of(entry),
        "network": row.network,
        "mti": entry.mti,
        "stan": entry.stan,
        "rrn": entry.rrn,
        "de7": entry.de7,
        "acquirer_id": entry.acquirer_id,
        "amount_in_cents": entry.amount_minor,
        "currency": entry.currency,
        "state": advice_state(manual=row.manual, resolution=row.resolution),
        "sends": row.repeats,
        "due_at": rfc3339(row.due_at_us) if row.due_at_us else None,  # none: at once
        "created_at": rfc3339(row.created_at_us),
        "switch": row.owner,
    }


def detail_document(detail: SafDetail) -> Document:
    """An advice with its history."""
    return entry_document(detail.entry) | {
        "resolutions": list(PURPOSES[purpose_of(detail.entry)].words),
        "actions": [action_document(action) for action in detail.actions],
        "exceptions": [exception_document(row) for row in detail.exceptions],
    }
