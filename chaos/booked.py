"""What is booked, held to what the ledger says of its intents: plain SQL, by the role that reads.

Bookings follow the payments, so a comparison that finds something is made again until the time is
over. What is really missing or doubled stays so.
"""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec
import psycopg

AGAIN_S: Final = 0.5
NAMED_MAX: Final = 20  # payments; all are counted
_COUNT_SQL: Final = "SELECT count(*) FROM postings"
_PAYMENTS_SQL: Final = """
WITH booked AS (
    SELECT
        intent_id,
        coalesce(sum(amount_minor) FILTER (WHERE kind = 'capture'), 0) AS captured,
        coalesce(sum(amount_minor) FILTER (WHERE kind LIKE 'refund%'), 0) AS refunded,
        coalesce(sum(amount_minor) FILTER (WHERE kind = 'hold'), 0)
            - coalesce(sum(amount_minor) FILTER (WHERE kind LIKE 'hold\\_%'), 0) AS held
    FROM postings
    GROUP BY intent_id
)
SELECT p.id::text
FROM payment_intents AS p
FULL JOIN booked AS b ON b.intent_id = p.id
WHERE (p.captured_minor, p.refunded_minor, p.capturable_minor) IS DISTINCT FROM
    (coalesce(b.captured, 0), coalesce(b.refunded, 0), coalesce(b.held, 0))
"""
_ACCOUNTS_SQL: Final = """
WITH folded AS (
    SELECT m.account, sum(m.debit) AS debits, sum(m.credit) AS credits
    FROM postings AS p
    CROSS JOIN LATERAL (
        VALUES (p.debit_account, p.amount_minor, 0), (p.credit_account, 0, p.amount_minor)
    ) AS m (account, debit, credit)
    GROUP BY m.account
)
SELECT a.id::text
FROM accounts AS a
FULL JOIN folded AS f ON f.account = a.id
WHERE (a.debits_minor, a.credits_minor) IS DISTINCT FROM (f.debits, f.credits)
"""


class Booked(msgspec.Struct, frozen=True):
    """What came of the comparison.

    Attributes:
        postings: how many there are.
        payments: whose postings are not what their intent says.
        accounts: whose sums are not those of their postings.
    """

    postings: int
    payments: tuple[str, ...]
    accounts: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every payment is booked once and in full."""
        return not (self.payments or self.accounts)

    @property
    def named(self) -> list[str]:
        """What is wrong, in words."""
        found = [f"payment {name} is booked otherwise" for name in self.payments]
        found += [f"account {name} is summed otherwise" for name in self.accounts]
        return found[:NAMED_MAX]

    def document(self) -> dict[str, Any]:
        """As `turnout chaos --json` prints it."""
        return {"rows": self.postings, "different": len(self.payments) + len(self.accounts)}


def read_booked(dsn: str, *, within_s: float) -> Booked:
    """Compare until nothing is found, or the time is over.

    Args:
        dsn: of the role that only reads.
        within_s: for bookings to follow the payments.
    """
    deadline = time.monotonic() + within_s
    while True:
        with psycopg.connect(dsn) as session:
            session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            found = Booked(
                session.execute(_COUNT_SQL).fetchall()[0][0],
                tuple(name for (name,) in session.execute(_PAYMENTS_SQL).fetchall()),
                tuple(name for (name,) in session.execute(_ACCOUNTS_SQL).fetchall()),
            )
        if found.holds or time.monotonic() >= deadline:
            return found
        time.sleep(AGAIN_S)
