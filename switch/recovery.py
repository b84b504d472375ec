"""Recovery: every attempt that an ended process left without an outcome becomes unknown.

A switch recovers its own attempts before its intake opens, and those of a dead switch when it has
taken that one's lease. Whether their messages left is known to nobody. Their intents become
`pending_verification`, in one commit a page. Answers that still arrive find their attempts in the
ledger (`pipeline.orphans`), whoever drew their RRNs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from chassis.log import get_logger
from ledger.leases import Lease, note_recovered
from ledger.outcomes import OutcomeCommitter
from ledger.recovery import (
    PAGE_ROWS,
    AnswerNumbers,
    OpenAttempt,
    find_attempts,
    open_attempts,
    unknown_outcome,
)
from ledger.statements import Runner
from switch.core.batching import split_distinct
from switch.core.lease import owner_of

log = get_logger(__name__)
HIGHEST_ID: Final = b"\xff" * 16


async def recover(
    runner: Runner, lease: Lease, committer: OutcomeCommitter, now_us: Callable[[], int]
) -> int:
    """Make every open attempt unknown; how many there were.

    The mark of the lease moves up to the lowest one that could not be made so, as far as can be
    told from here; the heartbeats move it on.

    Raises:
        LeaseLostError: another process has begun a newer epoch meanwhile.
    """
    count = 0
    lowest_left = HIGHEST_ID
    above = _just_below(lease.recover_from)  # the attempt at the mark may be the lowest open one
    while page := await open_attempts(runner, lease.switch, above=above):
        rest = page
        while rest:
            ready, rest = split_distinct(rest, lambda attempt: attempt.intent_id)
            at_us = now_us()
            rows = [unknown_outcome(attempt, at_us=at_us) for attempt in ready]
            results = await committer.settle(rows)
            settled = zip(rows, results, strict=True)
            left = [row.attempt_id for row, result in settled if not result.advanced]
            lowest_left = min([lowest_left, *left])
        count += len(page)
        above = page[-1].attempt_id
        if len(page) < PAGE_ROWS:
            break
    if count:
        log.warning("recovered_attempts", switch=lease.switch, unknown=count)
    await note_recovered(runner, lease, min(above, lowest_left))
    return count


async def find_by_rrn(runner: Runner, answers: Sequence[AnswerNumbers]) -> list[OpenAttempt | None]:
    """The attempt that each answer names, among those of the switch that drew its RRN."""
    places: dict[str, list[int]] = {}
    for place, answer in enumerate(answers):
        places.setdefault(owner_of(answer.rrn), []).append(place)
    found: list[OpenAttempt | None] = [None] * len(answers)
    for owner, ours in places.items():
        attempts = await find_attempts(runner, owner, [answers[place] for place in ours])
        for place, attempt in zip(ours, attempts, strict=True):
            found[place] = attempt
    return found


def _just_below(id_: bytes) -> bytes:
    return max(0, int.from_bytes(id_) - 1).to_bytes(16)
