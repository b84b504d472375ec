"""Start-up recovery: every attempt of ours without an outcome becomes unknown, before intake opens.

Whether those messages left is known to nobody. Their intents become `pending_verification`, in one
commit a page. Answers that still arrive find their attempts in the ledger (`pipeline.orphans`).
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from chassis.log import get_logger
from ledger.errors import RetryableError
from ledger.leases import Lease, begin_epoch, note_recovered
from ledger.outcomes import OutcomeCommitter
from ledger.pool import Pool
from ledger.recovery import PAGE_ROWS, open_attempts, unknown_outcome
from switch.core.batching import split_distinct

log = get_logger(__name__)
LEASE_RETRY_S = 0.2


async def take_lease(pool: Pool, owner: str, *, ttl_s: int) -> Lease:
    """Begin an epoch; waits while commits of the epoch before still hold the row."""
    while True:
        try:
            return await begin_epoch(pool, owner, ttl_s=ttl_s)
        except RetryableError:
            await trio.sleep(LEASE_RETRY_S)


async def recover(
    pool: Pool, lease: Lease, committer: OutcomeCommitter, now_us: Callable[[], int]
) -> int:
    """Make every open attempt unknown; how many there were.

    Raises:
        LeaseLostError: another process has begun a newer epoch meanwhile.
    """
    count = 0
    above = lease.recover_from
    while page := await open_attempts(pool, lease.switch, above=above):
        rest = page
        while rest:
            ready, rest = split_distinct(rest, lambda attempt: attempt.intent_id)
            at_us = now_us()
            await committer.settle([unknown_outcome(attempt, at_us=at_us) for attempt in ready])
        count += len(page)
        above = page[-1].attempt_id
        if len(page) < PAGE_ROWS:
            break
    if count:
        log.warning("recovered_attempts", unknown=count)
    await note_recovered(pool, lease, above)
    return count
