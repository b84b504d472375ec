"""Reading intents with everything that hangs on them, a whole batch in one round trip.

Locked, the statements stand in the transaction of a decision: each takes its snapshot when it
runs, so what is read after `lock_intents` is what the locks protect. Unlocked, the same texts serve
whoever only looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from ledger.connection import Step
from ledger.deciding.records import (
    AttemptView,
    IntentView,
    SafRow,
    SealedCardRow,
    TransactionView,
    VerificationRow,
)
from ledger.pgtypes import uuid_, uuid_array
from ledger.records import TransactionRow
from ledger.result import Result
from ledger.statements import QUERIES, Runner, without_locks
from ledger.verdicts import KeyFinding

Key = tuple[bytes, bytes]  # merchant id, digest

_INTENTS: Final = QUERIES["lock_intents"]
_TRANSACTIONS: Final = QUERIES["read_transaction_views"]
_ATTEMPTS: Final = QUERIES["read_attempt_views"]
_SAF: Final = QUERIES["lock_saf_rows"]
_VERIFICATIONS: Final = QUERIES["lock_verification_rows"]
_KEYS: Final = QUERIES["read_decision_keys"]
_CARDS: Final = QUERIES["read_sealed_cards"]
_LOOK: Final = [
    without_locks(_INTENTS),
    _TRANSACTIONS,
    _ATTEMPTS,
    without_locks(_SAF),
    without_locks(_VERIFICATIONS),
]
_HISTORY: Final[tuple[tuple[str, type], ...]] = (
    ("transactions", TransactionView),
    ("attempts", AttemptView),
    ("saf", SafRow),
    ("verification", VerificationRow),
)


def locking_steps(intent_ids: Sequence[bytes], keys: Sequence[Key]) -> list[Step]:
    """The statements that lock and read a batch of intents, given in id order, and its keys."""
    queries = [_INTENTS, _TRANSACTIONS, _ATTEMPTS, _SAF, _VERIFICATIONS]
    return [*_steps(queries, intent_ids), *([_key_step(keys)] if keys else [])]


def views_of(results: Sequence[Result]) -> dict[bytes, IntentView]:
    """The views that the answers to `locking_steps` make, without their keys."""
    intents, *histories = results[:5]
    views = {row[0]: IntentView(*row) for row in intents.rows()}
    for (name, record), history in zip(_HISTORY, histories, strict=True):
        for intent_id, *row in history.rows():
            if intent_id in views:
                getattr(views[intent_id], name).append(record(*row))
    return views


def keys_of(results: Sequence[Result], keys: Sequence[Key]) -> dict[Key, KeyFinding]:
    """What the answers to `locking_steps` say of the keys: only of those that are taken."""
    if not keys:
        return {}
    return {keys[place - 1]: _finding(*row) for place, *row in results[5].rows()}


def with_key(view: IntentView, finding: KeyFinding | None) -> IntentView:
    """The view as a step with an idempotency key sees it."""
    return view if finding is None else replace(view, key=finding)


async def read_views(runner: Runner, intent_ids: Iterable[bytes]) -> dict[bytes, IntentView]:
    """Look at intents without locking them; absent ones are left out.

    The reads are one transaction but several snapshots: a change between them may show in one and
    not in the other. Decisions are made on locked views only.

    Raises:
        DatabaseError: or one of its children.
    """
    ordered = sorted(set(intent_ids))
    if not ordered:
        return {}
    return views_of(await runner.pipeline(_steps(_LOOK, ordered)))


async def sealed_cards(
    runner: Runner, charges: Sequence[tuple[bytes, bytes]]
) -> dict[bytes, SealedCardRow]:
    """The sealed cards of charges, (intent id, transaction id) each, by transaction id.

    Role: turnout_switch; for the HSM's `release_cards` alone. Transactions that have none, such as
    captures, are left out: ask with the charge's id.

    Raises:
        DatabaseError: or one of its children.
    """
    if not charges:
        return {}
    intent_ids, transaction_ids = zip(*charges, strict=True)
    result = await runner.run(_CARDS, [uuid_array(intent_ids), uuid_array(transaction_ids)])
    return {row[0]: SealedCardRow(*row) for row in result.rows()}


def _steps(queries: Sequence[Any], intent_ids: Sequence[bytes]) -> list[Step]:
    ids = uuid_array(intent_ids)
    bounded = [ids, uuid_(intent_ids[0]), uuid_(intent_ids[-1])]
    # The queues are small and not partitioned: they take no bounds.
    return [(query, bounded if place < 3 else [ids]) for place, query in enumerate(queries)]


def _key_step(keys: Sequence[Key]) -> Step:
    merchant_ids, digests = zip(*keys, strict=True)
    return _KEYS, [uuid_array(merchant_ids), uuid_array(digests)]


def _finding(
    request_hash: bytes, transaction_id: bytes | None, intent_version: int | None, *state: Any
) -> KeyFinding:
    transaction = TransactionRow(*state) if state[0] is not None else None
    return KeyFinding(request_hash, transaction_id, transaction, intent_version)
