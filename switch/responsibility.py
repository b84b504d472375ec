"""Whose attempts and queues this process looks after: its own, and those of switches that died.

The keeper of leases makes a `Responsibility` for each, and tells whoever follows it when one is
gained, its open attempts then all having a first result, and when one is lost, because its owner
has come back. Workers on queues run one set for each responsibility and commit in its name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs

from chassis.settings.tree import Ledger
from ledger.connection import Connection
from ledger.deciding.committer import DecisionCommitter
from ledger.ids import UUID7Source
from ledger.leases import Lease
from ledger.outcomes import OutcomeCommitter
from switch.core.lease import DrawnIds


@attrs.define(eq=False, kw_only=True)
class Responsibility:
    """The attempts and queues of one switch under one epoch.

    Attributes:
        lease: the switch's name and the epoch, which attempts and outcomes carry.
        ids: draws above every id that the switch has drawn; no others may become attempts.
        newest_rrn: the newest that was known when the epoch began, or empty.
        connect: opens a session that commits.
        limits: of the ledger.
        settled: every attempt of the epochs before has a first result.
        held: False for good once a newer epoch has begun; whoever commits then is refused.
        mark: no attempt below this id is without an outcome.
        drawn: ids drawn from time to time, for the mark.
    """

    lease: Lease
    ids: UUID7Source
    newest_rrn: str
    connect: Callable[[], Awaitable[Connection]]
    limits: Ledger
    drawn: DrawnIds
    settled: bool = False
    held: bool = True
    mark: bytes = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.mark = self.lease.recover_from

    @property
    def switch(self) -> str:
        """The owner's name."""
        return self.lease.switch

    @property
    def epoch(self) -> int:
        """Of the lease; higher than any before."""
        return self.lease.epoch

    def outcome_committer(self, *, lock_timeout_ms: int | None = None) -> OutcomeCommitter:
        """A committer in the owner's name, with a session of its own, for one task."""
        return OutcomeCommitter(
            self.connect,
            self.switch,
            self.epoch,
            limits=self.limits,
            lock_timeout_ms=lock_timeout_ms,
        )

    def decision_committer(self) -> DecisionCommitter:
        """A committer of locked decisions in the owner's name, with sessions of its own."""
        return DecisionCommitter(self.connect, self.switch, self.epoch, limits=self.limits)


class Follower(Protocol):
    """Who is told of responsibilities; both functions return at once and do not raise."""

    def on_gained(self, responsibility: Responsibility) -> None:
        """Look after these attempts and queues from now on."""

    def on_lost(self, responsibility: Responsibility) -> None:
        """Somebody else does: end the work, commit nothing more."""
