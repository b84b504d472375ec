"""Waiting until nothing is under way in a stack any more, as far as its ledger can tell."""

from __future__ import annotations

from typing import Final

import psycopg
import trio

POLL_S: Final = 0.5
# What must come to nothing: attempts without an outcome, doubts, advices, operations that are live.
# What waits for a person stands in a queue and is at rest.
UNDER_WAY_SQL: Final = """
SELECT
    (SELECT count(*) FROM attempts AS a WHERE NOT EXISTS (
        SELECT FROM outcomes AS o WHERE o.intent_id = a.intent_id AND o.attempt_id = a.id
    ) AND NOT EXISTS (
        SELECT FROM store_and_forward AS s WHERE s.attempt_id = a.id
    )),
    (SELECT count(*) FROM verifications),
    (SELECT count(*) FROM store_and_forward WHERE NOT manual),
    (SELECT count(*) FROM payment_intents AS i
     WHERE (status IN ('processing', 'pending_verification') OR refund_pending_minor > 0)
        AND NOT EXISTS (
            SELECT FROM store_and_forward AS s WHERE s.intent_id = i.id AND s.manual
        ))
"""
NAMES: Final = ("attempts without outcome", "doubts", "advices", "unfinished intents")


async def come_to_rest(dsn: str, within_s: float) -> dict[str, int]:
    """Wait until nothing is under way; what still is when the time is over.

    Args:
        dsn: of the role that only reads.
        within_s: how long to wait.
    """
    left: dict[str, int] = {"ledger unreachable": 1}
    with trio.move_on_after(within_s):
        while left:
            try:
                left = await trio.to_thread.run_sync(_under_way, dsn)
            except psycopg.OperationalError:
                left = {"ledger unreachable": 1}
            if left:
                await trio.sleep(POLL_S)
    return left


def _under_way(dsn: str) -> dict[str, int]:
    with psycopg.connect(dsn) as session:
        row = session.execute(UNDER_WAY_SQL.encode()).fetchone()
    assert row is not None
    return {name: count for name, count in zip(NAMES, row, strict=True) if count}
