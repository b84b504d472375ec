"""What the ledger says of one network: plain SQL over a session of our own, as plain records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg
import trio

from ledger.ids import public_id

ATTEMPTS_SQL: Final = """
SELECT a.id, a.intent_id, a.transaction_id, a.kind, a.mti, a.acquirer_id, a.stan, a.de7, a.rrn,
       a.amount_minor, (extract(epoch FROM a.created_at) * 1000000)::bigint,
       coalesce(one.result, ''), coalesce(two.result, ''),
       coalesce(two.response_code, one.response_code, ''),
       coalesce(s.repeats, -1), coalesce(s.manual, false), v.attempt_id IS NOT NULL
FROM attempts AS a
LEFT JOIN outcomes AS one
    ON one.intent_id = a.intent_id AND one.attempt_id = a.id AND one.phase = 1
LEFT JOIN outcomes AS two
    ON two.intent_id = a.intent_id AND two.attempt_id = a.id AND two.phase = 2
LEFT JOIN store_and_forward AS s ON s.attempt_id = a.id
LEFT JOIN verifications AS v ON v.attempt_id = a.id
WHERE a.network = %s
ORDER BY a.id
"""
TRANSACTIONS_SQL: Final = """
SELECT t.transaction_id, t.intent_id, t.type, t.status, t.amount_minor, t.currency,
       t.response_code, t.decline_code, t.advice, i.status, i.capture_method,
       i.capturable_minor, i.captured_minor, i.refunded_minor, i.refund_pending_minor
FROM transaction_states AS t
JOIN payment_intents AS i ON i.id = t.intent_id
WHERE t.intent_id IN (SELECT intent_id FROM attempts WHERE network = %s)
ORDER BY t.transaction_id
"""
POSTINGS_SQL: Final = """
SELECT p.intent_id, p.transaction_id, p.kind, p.amount_minor
FROM postings AS p
WHERE p.intent_id IN (SELECT intent_id FROM attempts WHERE network = %s)
"""
EXCEPTIONS_SQL: Final = "SELECT kind, detail::text FROM exceptions WHERE network = %s ORDER BY id"
# Every text that the ledger keeps of a payment; sealed cards are bytes and stand elsewhere.
TEXTS_SQL: Final = """
SELECT 'attempts' FROM attempts AS x WHERE x::text LIKE ANY (%(like)s)
UNION ALL SELECT 'outcomes' FROM outcomes AS x WHERE x::text LIKE ANY (%(like)s)
UNION ALL SELECT 'exceptions' FROM exceptions AS x WHERE x::text LIKE ANY (%(like)s)
UNION ALL SELECT 'payment_intent_details' FROM payment_intent_details AS x
    WHERE x::text LIKE ANY (%(like)s)
"""


class Attempt(msgspec.Struct, frozen=True):
    """One message exchange as the ledger holds it."""

    attempt: str
    intent: str
    transaction: str
    kind: str  # request | completion | reversal | release | inquiry
    mti: str
    acquirer_id: str
    stan: str
    de7: str
    rrn: str
    amount_minor: int
    created_at_us: int
    result: str  # of phase 1; empty without an outcome
    resolution: str  # of phase 2
    response_code: str
    repeats: int  # of its row in the store-and-forward queue; -1 without one
    manual: bool
    in_doubt: bool  # has a row in the queue of verifications

    @property
    def queued(self) -> bool:
        """Whether a row in the store-and-forward queue stands for it."""
        return self.repeats >= 0

    @property
    def open(self) -> bool:
        """Whether something is still to happen to it without a person's doing."""
        if self.manual:
            return False
        if self.queued or self.in_doubt or not self.result:
            return True
        return self.result == "unknown" and not self.resolution and self.kind != "inquiry"


def still_open(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Those to which something is still to happen; a life that waits for a person is none."""
    shown = {attempt.rrn for attempt in attempts if attempt.manual}
    return [each for each in attempts if each.open and each.rrn not in shown]


class Movement(msgspec.Struct, frozen=True):
    """One transaction with what its intent says of itself."""

    transaction: str
    intent: str
    type: str
    status: str
    amount_minor: int
    currency: str
    response_code: str
    decline_code: str
    advice: str
    intent_status: str
    capture_method: str
    capturable_minor: int
    captured_minor: int
    refunded_minor: int
    refund_pending_minor: int


class Booked(msgspec.Struct, frozen=True):
    """One posting."""

    intent: str
    transaction: str
    kind: str
    amount_minor: int


class Ledger:
    """A reader of the ledger; one question at a time.

    Args:
        dsn: of the role that only reads.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._session: psycopg.Connection[Any] | None = None
        self._lock = trio.Lock()

    async def rows(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """Run one query in a thread."""
        async with self._lock:
            return await trio.to_thread.run_sync(self._rows, sql, parameters)

    def _rows(self, sql: str, parameters: Any) -> list[tuple[Any, ...]]:
        if self._session is None or self._session.closed:
            self._session = psycopg.connect(self._dsn, autocommit=True)
        return self._session.execute(sql.encode(), parameters).fetchall()

    def close(self) -> None:
        """End the session."""
        if self._session is not None:
            self._session.close()

    async def attempts(self, network: str) -> list[Attempt]:
        """Every attempt on a network, oldest first."""
        rows = await self.rows(ATTEMPTS_SQL, (network,))
        return [
            Attempt(str(attempt), public_id("pi", intent.bytes), public_id("txn", tx.bytes), *rest)
            for attempt, intent, tx, *rest in rows
        ]

    async def movements(self, network: str) -> list[Movement]:
        """Every transaction of the intents that this network has seen."""
        return [
            Movement(public_id("txn", tx.bytes), public_id("pi", intent.bytes), *rest)
            for tx, intent, *rest in await self.rows(TRANSACTIONS_SQL, (network,))
        ]

    async def postings(self, network: str) -> list[Booked]:
        """What is booked of the intents that this network has seen."""
        return [
            Booked(public_id("pi", intent.bytes), public_id("txn", tx.bytes), *rest)
            for intent, tx, *rest in await self.rows(POSTINGS_SQL, (network,))
        ]

    async def exceptions(self, network: str) -> list[str]:
        """The kinds of the exceptions that were opened about a network."""
        return [kind for kind, _ in await self.rows(EXCEPTIONS_SQL, (network,))]

    async def texts_with(self, digits: Sequence[str]) -> list[str]:
        """The tables in whose texts one of these strings of digits stands."""
        if not digits:
            return []
        like = [f"%{text}%" for text in digits]
        return [table for (table,) in await self.rows(TEXTS_SQL, {"like": like})]
