"""Recovery: every attempt that an ended process left without an outcome becomes unknown.

A switch recovers its own attempts before its intake opens, and those of a dead switch when it has
taken that one's lease. Whether their messages left is known to nobody, so each gets the result
`unknown` and what follows from it: charges and refunds are looked into, the cancel of an
authorization is followed up by a reversal, an account verification is over, an inquiry was asked
in vain. Charges, of which there may be thousands, are settled in large batches; all else by locked
decisions, as if the links had told of a time-out. What store-and-forward repeats needs no recovery;
but a capture there was answered to nobody, and its payment must show that it is in doubt.

Answers that still arrive find their attempts in the ledger (`pipeline.orphans`), whoever drew their
RRNs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Final

import trio

from chassis.log import get_logger
from ledger.deciding.committer import DecisionCommitter
from ledger.leases import note_recovered
from ledger.outcomes import OutcomeCommitter
from ledger.records import Lost
from ledger.recovery import (
    PAGE_ROWS,
    AnswerNumbers,
    OpenAttempt,
    find_attempts,
    open_attempts,
    open_captures,
    unknown_outcome,
)
from ledger.statements import Runner
from switch.core.batching import split_distinct
from switch.core.findings import unknown
from switch.core.lease import owner_of
from switch.core.numbers import NumbersExhaustedError
from switch.core.operations.records import Context, NetworkRules, Spare
from switch.core.operations.steps import Settle
from switch.operations.drawing import no_numbers
from switch.responsibility import Responsibility

log = get_logger(__name__)
HIGHEST_ID: Final = b"\xff" * 16
STANS_WAIT_S: Final = 0.1  # for a block of STANs: as often as somebody looks whether they run low

DrawSpare = Callable[[str, bytes], Spare]  # for a message on a network, under an attempt id


class Recovery:
    """Gives the open attempts of responsibilities their first results.

    Args:
        runner: the ledger.
        batch_max: decisions a transaction.
        now_us: the time of day, microseconds since 1970.
        steady_us: the clock of waits, likewise.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        batch_max: int,
        now_us: Callable[[], int],
        steady_us: Callable[[], int],
    ) -> None:
        self._runner = runner
        self._batch_max = batch_max
        self._now_us = now_us
        self._steady_us = steady_us
        self._rules: Mapping[str, NetworkRules] = {}
        self._spare: DrawSpare
        self._equipped = trio.Event()

    def equip(self, rules: Mapping[str, NetworkRules], spare: DrawSpare) -> None:
        """Say how networks are treated, and where numbers come from; nothing is settled before.

        Args:
            rules: by network name.
            spare: draws numbers for a message on a network, under an attempt id.
        """
        self._rules, self._spare = rules, spare
        self._equipped.set()

    async def settle(self, responsibility: Responsibility) -> int:
        """Settle every open attempt of the epochs before; how many there were.

        The mark of the lease moves up to the lowest one that could not be settled, as far as can be
        told from here; the heartbeats move it on.

        Raises:
            LeaseLostError: another process has begun a newer epoch meanwhile.
            LedgerError: the ledger went away.
        """
        await self._equipped.wait()
        outcomes = responsibility.outcome_committer()
        decisions = responsibility.decision_committer()
        try:
            count, mark = await self._settle_open(responsibility, outcomes, decisions)
            count += await self._settle_captures(responsibility, decisions)
        finally:
            await outcomes.aclose()
            await decisions.aclose()
        if count:
            log.warning("recovered_attempts", switch=responsibility.switch, unknown=count)
        await note_recovered(self._runner, responsibility.lease, mark)
        return count

    async def _settle_open(
        self,
        responsibility: Responsibility,
        outcomes: OutcomeCommitter,
        decisions: DecisionCommitter,
    ) -> tuple[int, bytes]:
        """Settle what nothing else carries on; how many there were, and the mark."""
        count, lowest_left = 0, HIGHEST_ID
        # The attempt at the mark may be the lowest open one.
        above = _just_below(responsibility.lease.recover_from)
        while page := await open_attempts(self._runner, responsibility.switch, above=above):
            charges = [attempt for attempt in page if _is_charge(attempt)]
            others = [attempt for attempt in page if not _is_charge(attempt)]
            left = await self._settle_charges(charges, outcomes)
            left += await self._decide(others, responsibility, decisions)
            lowest_left = min([lowest_left, *left])
            count += len(page)
            above = page[-1].attempt_id
            if len(page) < PAGE_ROWS:
                break
        return count, min(above, lowest_left)

    async def _settle_captures(
        self, responsibility: Responsibility, decisions: DecisionCommitter
    ) -> int:
        """Put the payments in doubt whose captures nobody has answered yet; how many there were."""
        count, above = 0, bytes(16)
        while page := await open_captures(self._runner, responsibility.switch, above=above):
            await self._decide(page, responsibility, decisions)
            count += len(page)
            above = page[-1].attempt_id
            if len(page) < PAGE_ROWS:
                break
        return count

    async def _settle_charges(
        self, charges: Sequence[OpenAttempt], outcomes: OutcomeCommitter
    ) -> list[bytes]:
        """Make charges unknown; the ids of those that somebody has decided."""
        left: list[bytes] = []
        rest = charges
        while rest:
            ready, rest = split_distinct(rest, _intent)
            now_us, steady_us = self._now_us(), self._steady_us()
            rows = [
                unknown_outcome(
                    attempt,
                    at_us=now_us,
                    verify_at_us=steady_us,
                    verify_until_us=self._window_ends_us(attempt, steady_us),
                )
                for attempt in ready
            ]
            settled = zip(rows, await outcomes.settle(rows), strict=True)
            left += [row.attempt_id for row, result in settled if not result.advanced]
        return left

    async def _decide(
        self,
        attempts: Sequence[OpenAttempt],
        responsibility: Responsibility,
        decisions: DecisionCommitter,
    ) -> list[bytes]:
        """Make other messages unknown, with what follows; the ids of those that stay open."""
        known = [attempt for attempt in attempts if attempt.network in self._rules]
        left = [attempt.attempt_id for attempt in attempts if attempt.network not in self._rules]
        if left:
            log.error("recovery_left_attempts", switch=responsibility.switch, attempts=len(left))
        rest: Sequence[OpenAttempt] = known
        while rest:
            ready, rest = split_distinct(rest, _intent)
            for start in range(0, len(ready), self._batch_max):
                part = ready[start : start + self._batch_max]
                steps = [await self._step(attempt, responsibility) for attempt in part]
                answers = zip(part, await decisions.run(steps), strict=True)
                left += [each.attempt_id for each, answer in answers if isinstance(answer, Lost)]
        return left

    async def _step(self, attempt: OpenAttempt, responsibility: Responsibility) -> Settle:
        """The decision that a time-out would have led to."""
        spare = await self._numbers(attempt, responsibility.ids.next())
        rules = self._rules[attempt.network]
        context = Context(self._now_us(), self._steady_us(), "recovery", rules, spare)
        return Settle(attempt.intent_id, attempt.attempt_id, context, finding=unknown("recovered"))

    async def _numbers(self, attempt: OpenAttempt, attempt_id: bytes) -> Spare:
        """For the message that follows, where one does: the reversal behind a cancel's request."""
        if attempt.type != "cancel":
            return no_numbers(attempt_id)
        while True:
            try:
                return self._spare(attempt.network, attempt_id)
            except NumbersExhaustedError:
                await trio.sleep(STANS_WAIT_S)

    def _window_ends_us(self, attempt: OpenAttempt, steady_us: int) -> int:
        """How long a charge is asked about; one of a network that is gone waits for its return."""
        rules = self._rules.get(attempt.network)
        return steady_us if rules is None else rules.doubt.open(steady_us).ends_at_us


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


def _is_charge(attempt: OpenAttempt) -> bool:
    """Whether it is what charges a card: its intent is held by it and nothing else."""
    return attempt.kind == "request" and attempt.type == "charge"


def _just_below(id_: bytes) -> bytes:
    return max(0, int.from_bytes(id_) - 1).to_bytes(16)


_intent: Callable[[OpenAttempt], bytes] = attrgetter("intent_id")
