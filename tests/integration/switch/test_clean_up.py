"""Clearing away in a real ledger: only what is old goes."""

from __future__ import annotations

import time

from ledger.declines import recent_declines
from switch.clean_up import ledger_chores
from switch.core.decline_memory import KEPT_US
from tests.support.ledger import open_ledger
from tests.support.postgres import LedgerDSN

OLD_KEYS = """
INSERT INTO idempotency (merchant_id, key_digest, request_hash, intent_id, created_at)
SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
    now() - make_interval(days => n)
FROM generate_series(28, 33) AS n RETURNING 1
"""
OLD_DECLINES = """
INSERT INTO declines (at, attempt_id, merchant_id, fingerprint, network, class)
SELECT now() - make_interval(days => n), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
    'vsim', 'hard'
FROM generate_series(28, 33) AS n RETURNING 1
"""


async def test_old_keys_and_declines_go_batch_by_batch(fresh_ledger_dsn: LedgerDSN) -> None:
    """As the switch, which may delete nothing younger; what rules still go by stays."""
    async with open_ledger(fresh_ledger_dsn) as ledger:
        await ledger.created(2)
        await ledger.rows(OLD_KEYS)
        await ledger.rows(OLD_DECLINES)
        session = await ledger.connect()
        now_us = lambda: time.time_ns() // 1_000  # noqa: E731
        for chore in ledger_chores(session, now_us):
            assert [await chore.delete(3) for _ in range(3)] == [3, 1, 0], chore.name
            assert chore.batch_max == 10_000
        assert await ledger.rows("SELECT count(*) FROM idempotency") == [(4,)]
        kept = [row async for page in recent_declines(session, 0) for row in page]
        assert len(kept) == 2
        assert all(row.at_us > now_us() - KEPT_US for row in kept)
