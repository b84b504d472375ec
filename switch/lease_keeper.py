"""Keeping this process's lease, and taking over the leases of switches that died.

One task sends a heartbeat every few seconds, on a session of its own so that nothing else holds it
up. Each one renews every lease this process holds, and reads those of the others. The rules of time
are `switch.core.lease`; this module asks the ledger and carries them out:

* Renewed in time: `may_send` says yes. The links ask it before every chunk.
* Not renewed, because the ledger is away: `may_send` turns to no by itself, without this task. What
  waits to be sent becomes too old and is refused; once a heartbeat succeeds all goes on.
* A newer epoch of our own name: another process is this switch now. `run` raises, the process ends.
* Another switch's lease stands still for so long that it must be dead: its epoch is raised, all its
  open attempts become unknown in its name, and its queues are served from here. When it comes back
  it raises the epoch itself, and the next heartbeat, or the next commit, tells us to let go.

A fault half-way through a takeover needs no repair: the lease is let go, stands still again, and
is taken over again, by us or by another.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Final, Never

import attrs
import trio

from chassis.clock import boot_s
from chassis.log import get_logger
from chassis.settings import Settings
from ledger.connection import Connection
from ledger.errors import ConnectionLostError, PoolOverloadError, RetryableError
from ledger.ids import UUID7Source
from ledger.leases import (
    Lease,
    LeaseLostError,
    begin_epoch,
    renew_leases,
    take_over,
)
from ledger.recovery import newest_attempt
from ledger.rows import LeaseRow
from ledger.statements import Runner
from switch.core.lease import DrawnIds, LeaseTerms, LeaseWatch, Validity
from switch.recovery_mark import RecoveryMarks
from switch.responsibility import Follower, Responsibility

log = get_logger(__name__)
RETRY_S: Final = 0.2  # after a heartbeat that failed, and while a commit holds the row
# The ledger is away or busy, which passes; anything else is a fault of ours and ends the process.
PASSING = (RetryableError, ConnectionLostError, PoolOverloadError)


@attrs.define
class LeaseCounts:
    """Plain integers for the metrics."""

    heartbeats_total: int = 0
    heartbeats_failed_total: int = 0
    taken_over_total: int = 0  # leases of other switches
    handed_back_total: int = 0  # of those, because their owners came back


class LeaseKeeper:
    """The leases of one process.

    Args:
        owner: this switch's name.
        settings: times, and the limits of the ledger.
        heartbeats: a session for heartbeats alone.
        runner: sessions for everything else.
        connect: opens a session that commits.
        recover: gives the open attempts of the epochs before a first result.
        now_us: the wall clock, microseconds since 1970.
        boot_s: the clock of leases.

    Attributes:
        counts: for the metrics.
        floors: see `RecoveryMarks`; append to it what holds attempts that may not be committed.
    """

    def __init__(
        self,
        owner: str,
        settings: Settings,
        *,
        heartbeats: Runner,
        runner: Runner,
        connect: Callable[[], Awaitable[Connection]],
        recover: Callable[[Responsibility], Awaitable[object]],
        now_us: Callable[[], int],
        boot_s: Callable[[], float] = boot_s,
    ) -> None:
        self.owner = owner
        self.counts = LeaseCounts()
        self._limits = settings.ledger
        self._lag_s = settings.switch.lease_mark_lag_s
        self._terms = LeaseTerms.of(settings)
        self._heartbeats = heartbeats
        self._runner = runner
        self._connect = connect
        self._recover = recover
        self._now_us = now_us
        self._boot_s = boot_s
        self._validity = Validity(self._terms)
        self._watch = LeaseWatch(self._terms)
        self._marks = RecoveryMarks(runner, settings.switch, boot_s)
        self.floors = self._marks.floors
        self._held: dict[str, Responsibility] = {}
        self._taking: set[str] = set()
        self._followers: list[Follower] = []
        self._retired = False

    def may_send(self) -> bool:
        """Whether financial messages may leave this process at this instant."""
        return self._boot_s() < self._validity.until_s

    @property
    def left_s(self) -> float:
        """For how long they still may; below zero since when they may not."""
        return self._validity.until_s - self._boot_s()

    @property
    def own(self) -> Responsibility:
        """This switch's own, once begun and until it is lost."""
        return self._held[self.owner]

    @property
    def responsibilities(self) -> list[Responsibility]:
        """Every one whose attempts have been settled; our own is the first."""
        return [held for held in self._held.values() if held.settled]

    def follow(self, follower: Follower) -> None:
        """Tell somebody of every responsibility, those of now at once."""
        self._followers.append(follower)
        for responsibility in self.responsibilities:
            follower.on_gained(responsibility)

    def retire(self) -> None:
        """Take nothing over any more: this process is about to end."""
        self._retired = True

    # ---------------------------------------------------------------------------------- our own

    async def begin(self) -> Responsibility:
        """Begin an epoch of our own; waits while commits of the epoch before still hold the row.

        `run` must be started at once, and `settle` be awaited before anything is recorded.
        """
        while True:
            asked_s = self._boot_s()
            try:
                lease = await begin_epoch(self._heartbeats, self.owner, ttl_s=self._terms.ttl_s)
            except RetryableError:
                await trio.sleep(RETRY_S)
            else:
                break
        self._validity.renewed(asked_s)
        return await self._accept(lease)

    async def run(self) -> Never:
        """Renew the leases until canceled.

        Raises:
            LeaseLostError: this switch has a newer epoch.
            DatabaseError: a fault of ours, such as a missing privilege.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._marks.keep_moving, self.owner, lambda: self.responsibilities)
            nursery.start_soon(self._tell_of_lapses)
            while True:
                asked_s = self._boot_s()
                rows = await self._renew(asked_s)
                if rows is None:
                    await trio.sleep(min(RETRY_S, self._terms.heartbeat_s))
                    continue
                self._take_silent(rows, asked_s, nursery)
                await trio.sleep(max(0.0, asked_s + self._terms.heartbeat_s - self._boot_s()))

    async def _renew(self, asked_s: float) -> list[LeaseRow] | None:
        """Send one heartbeat; every lease there is, or None where it failed."""
        held = list(self._held.values())
        leases = [attrs.evolve(each.lease, recover_from=each.mark) for each in held]
        try:
            renewed, rows = await renew_leases(self._heartbeats, leases, ttl_s=self._terms.ttl_s)
        except PASSING:
            self.counts.heartbeats_failed_total += 1
            return None
        self.counts.heartbeats_total += 1
        for responsibility in held:
            if responsibility.switch not in renewed:
                self.let_go(responsibility)
        self._validity.renewed(asked_s)
        return rows

    async def _tell_of_lapses(self) -> Never:
        """Say when sending stops, and when it goes on; heartbeats may just wait meanwhile."""
        could_send = True
        while True:
            await trio.sleep(max(RETRY_S, self.left_s))
            if self.may_send() is could_send:
                continue
            could_send = not could_send
            if could_send:
                log.info("lease_renewed", switch=self.owner)
            else:
                log.warning("lease_lapsed", switch=self.owner)

    def let_go(self, responsibility: Responsibility) -> None:
        """Another process has begun a newer epoch; called by whoever notices first.

        Raises:
            LeaseLostError: it is this switch's own lease.
        """
        if not responsibility.held:
            return
        self._drop(responsibility)
        if responsibility.switch == self.owner:
            self._validity.lost()
            raise LeaseLostError(
                f"another process serves {self.owner}: its lease has a newer epoch"
            )
        self.counts.handed_back_total += 1
        log.warning("lease_handed_back", switch=responsibility.switch, epoch=responsibility.epoch)

    def _drop(self, responsibility: Responsibility) -> None:
        responsibility.held = False
        del self._held[responsibility.switch]
        if responsibility.settled:
            for follower in self._followers:
                follower.on_lost(responsibility)

    # ------------------------------------------------------------------------------- all of them

    async def settle(self, responsibility: Responsibility) -> None:
        """Give every open attempt of the epochs before a first result, then tell the followers.

        Raises:
            LeaseLostError: the lease has a newer epoch.
            LedgerError: the ledger went away meanwhile.
        """
        await self._recover(responsibility)
        if responsibility.held:
            responsibility.settled = True
            for follower in self._followers:
                follower.on_gained(responsibility)

    async def _accept(self, lease: Lease) -> Responsibility:
        """Hold a lease from now on: its heartbeats are ours to send."""
        newest_id, newest_rrn = await newest_attempt(self._runner, lease.switch) or (b"", "")
        responsibility = self._held[lease.switch] = Responsibility(
            lease=lease,
            # Above the last process's ids, whatever the clock says: recovery reads in their order.
            ids=UUID7Source(self._now_us, os.urandom, above=newest_id),
            newest_rrn=newest_rrn,
            connect=self._connect,
            limits=self._limits,
            drawn=DrawnIds(self._lag_s),
        )
        return responsibility

    # -------------------------------------------------------------------------------- the others

    def _take_silent(self, rows: list[LeaseRow], asked_s: float, nursery: trio.Nursery) -> None:
        held = {*self._held, *self._taking}
        silent = self._watch.look(rows, held, asked_s=asked_s, heard_s=self._boot_s())
        if self._retired:
            return
        for row in silent:
            self._taking.add(row.switch)
            nursery.start_soon(self._take_over, row)

    async def _take_over(self, row: LeaseRow) -> None:
        responsibility = None
        try:
            lease = await take_over(self._runner, row, ttl_s=self._terms.ttl_s)
            if lease is None:
                return  # it lives, or another switch was first
            self.counts.taken_over_total += 1
            log.warning("lease_taken_over", switch=lease.switch, epoch=lease.epoch)
            responsibility = await self._accept(lease)
            await self.settle(responsibility)
        except (LeaseLostError, *PASSING) as error:
            name = type(error).__name__
            log.warning("takeover_not_finished", switch=row.switch, error=name)
            if responsibility is not None and responsibility.held:
                self._drop(responsibility)
        finally:
            self._taking.discard(row.switch)
