"""What the ledger holds, by plain SQL in a process that shares nothing with the stack or the load.

Run as `python -m chaos.ledger_rows`: it reads a DSN from standard input, since that holds a
password, and writes a msgpack `Ledger` on standard output.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
import psycopg

from chaos.records import Attempt, Intent, Ledger, Transaction
from ledger.ids import public_id

T = TypeVar("T")

INTENTS_SQL: Final = """
SELECT id, capture_method, status, captured_minor, refunded_minor, refund_pending_minor,
       capturable_minor
FROM payment_intents
"""
# What a transaction is, by the outcome that moved it furthest: statuses of money.md 2 only ever go
# forward. The product's own answer to this, `transaction_states`, is what merchants were told by.
TRANSACTIONS_SQL: Final = """
SELECT t.intent_id, t.id, t.type, coalesce(moved.status, 'pending'),
       coalesce(moved.approved_minor, t.amount_minor)
FROM transactions AS t
LEFT JOIN LATERAL (
    SELECT o.to_status AS status, o.approved_minor
    FROM outcomes AS o
    WHERE o.intent_id = t.intent_id AND o.transaction_id = t.id AND o.from_status <> o.to_status
    ORDER BY
        array_position(
            ARRAY['pending_verification', 'reversing', 'succeeded', 'failed', 'reversed'],
            o.to_status
        ) DESC,
        o.approved_minor
    LIMIT 1
) AS moved ON true
"""
ATTEMPTS_SQL: Final = """
SELECT a.intent_id, a.transaction_id, a.kind, a.network, a.acquirer_id, a.stan, a.de7, a.rrn,
       coalesce(one.result, ''), coalesce(two.result, ''),
       coalesce(two.response_code, one.response_code, ''),
       s.attempt_id IS NOT NULL OR v.attempt_id IS NOT NULL,
       coalesce(s.manual, false)
FROM attempts AS a
LEFT JOIN outcomes AS one
    ON one.intent_id = a.intent_id AND one.attempt_id = a.id AND one.phase = 1
LEFT JOIN outcomes AS two
    ON two.intent_id = a.intent_id AND two.attempt_id = a.id AND two.phase = 2
LEFT JOIN store_and_forward AS s ON s.attempt_id = a.id
LEFT JOIN verifications AS v ON v.attempt_id = a.id
"""


EXCEPTIONS_SQL: Final = "SELECT kind, count(*) FROM exceptions GROUP BY kind ORDER BY kind"


class LedgerUnreadableError(Exception):
    """The reader failed; carries what it said."""


def read_ledger(dsn: str) -> Ledger:
    """Everything the ledger says, read by a process of its own.

    Args:
        dsn: of the role that only reads.

    Raises:
        LedgerUnreadableError: the process failed.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", "chaos.ledger_rows"],
        input=dsn.encode(),
        check=False,
        capture_output=True,
    )
    if done.returncode != 0:
        raise LedgerUnreadableError(done.stderr.decode(errors="replace")[-2_000:])
    return msgspec.msgpack.decode(done.stdout, type=Ledger)


def read_rows(dsn: str) -> Ledger:
    """The same in this process, all of one snapshot."""
    with psycopg.connect(dsn) as session:
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return Ledger(
            intents=_rows(session, INTENTS_SQL, lambda row: Intent(_intent(row[0]), *row[1:])),
            transactions=_rows(
                session,
                TRANSACTIONS_SQL,
                lambda row: Transaction(_transaction(row[1]), _intent(row[0]), *row[2:]),
            ),
            attempts=_rows(
                session,
                ATTEMPTS_SQL,
                lambda row: Attempt(_intent(row[0]), _transaction(row[1]), *row[2:]),
            ),
            exceptions=dict(_rows(session, EXCEPTIONS_SQL, lambda row: (row[0], row[1]))),
        )


def _rows(
    session: psycopg.Connection[Any], sql: str, record: Callable[[tuple[Any, ...]], T]
) -> list[T]:
    return [record(row) for row in session.execute(sql.encode())]


def _intent(value: Any) -> str:
    return public_id("pi", value.bytes)


def _transaction(value: Any) -> str:
    return public_id("txn", value.bytes)


def main() -> None:
    """Read what is asked for on standard input."""
    ledger = read_rows(sys.stdin.read())
    sys.stdout.buffer.write(msgspec.msgpack.encode(ledger))


if __name__ == "__main__":
    main()
