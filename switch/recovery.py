"""Start-up recovery: every attempt of ours without an outcome becomes unknown, before intake opens.

Whether those messages left is known to nobody. Their intents become `pending_verification`, in one
commit a page, and the attempts are handed on so that answers which still arrive can be adopted.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from chassis.log import get_logger
from ledger.errors import RetryableError
from ledger.leases import Lease, begin_epoch, note_recovered
from ledger.outcomes import OutcomeCommitter
from ledger.pool import Pool
from ledger.recovery import PAGE_ROWS, OpenAttempt, open_attempts, unknown_outcome
from switch.core.batching import split_distinct
from switch.pipeline.orphans import AttemptKey

log = get_logger(__name__)
RECOVERED_MAX = 65_536  # attempts kept for late answers: what could be in flight, many times over
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
) -> dict[AttemptKey, OpenAttempt]:
    """Make every open attempt unknown; those attempts by (network, rrn, stan, de7)."""
    recovered: dict[AttemptKey, OpenAttempt] = {}
    count = 0
    above = lease.recover_from
    while page := await open_attempts(pool, lease.switch, above=above):
        rest = page
        while rest:
            ready, rest = split_distinct(rest, lambda attempt: attempt.intent_id)
            at_us = now_us()
            await committer.settle([unknown_outcome(attempt, at_us=at_us) for attempt in ready])
        for attempt in page:
            if len(recovered) < RECOVERED_MAX:
                recovered[attempt.network, attempt.rrn, attempt.stan, attempt.de7] = attempt
        count += len(page)
        above = page[-1].attempt_id
        if len(page) < PAGE_ROWS:
            break
    if count:
        log.warning("recovered_attempts", unknown=count)
    await note_recovered(pool, lease, above)
    return recovered
