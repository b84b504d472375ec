"""Dropping months of the payment tables that are in the archive: `turnout archive run`, at its end.

Theory of operation
-------------------
A month goes when nothing happened in it for `archive.database_days`, nothing of it is unfinished,
whoever takes in events has taken in all of it, no legal hold is on it, and the archive has every
row of it as it is, in objects that are older than `archive.grace_days`. Otherwise it stays, and the
reason is told.

It goes in steps, each durable, each of which may be the last before a death:

1. it is held to the archive as a part of the tables. Most of what could be in the way is found
   here, and nothing has changed yet;
2. one transaction detaches its partitions, carries on what its postings came to, and notes it in
   `archived_months`. What reads rows (what is finished, once more; the sums) comes before its first
   lock. All payments wait behind the tables' locks: they are waited for no longer than a moment,
   all together, and held for none that depends on how many rows there are, or on whether this
   process still runs. If payments are in the way it is left to the next run;
3. what is finished, the sums and all rows are looked at again: nobody can write to them any more;
4. what was compared is signed, and kept beside the catalog and in the archive
   (`months/<shard>/<month>.<when>.note`);
5. one transaction drops the partitions, and notes it.

A run begins with the months that another one left detached, at 3. Where something is in the way
then (a hold that came meanwhile, an object that was changed) the month is attached again; where
the tables are busy that is left to the next run, too.
`payment_intent_details` stays: no event has it, and so the archive has not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import trio
from attrs import frozen

from chassis.crash_points import MONTH_DETACHED, MONTH_DROPPED, MONTH_SIGNED, reach
from chassis.durable import locked, write_durably
from ledger.archive.errors import ArchiveError, StoreError
from ledger.archive.holds import Line, Register
from ledger.archive.month_notes import FOLDER, FORMAT, DroppedMonth, TableDigest, note_path
from ledger.archive.month_rows import ReadRecords, compare_month
from ledger.archive.signed import sign_document
from ledger.archive.store import Store
from ledger.archive.trimming import DAY_US
from ledger.audit.keys import KeyPair
from ledger.connection import Connection
from ledger.errors import LedgerError, RetryableError
from ledger.partitions import (
    Month,
    attach_again,
    attached_months,
    bound_ids,
    carried_differently,
    detach,
    detached_months,
    drop,
    hold_tables,
    sum_postings,
    waiting,
)
from ledger.pgtypes import timestamptz_
from ledger.queries import Query

KEYS_KEPT_US: Final = 30 * DAY_US  # idempotency keys are forgotten then: docs/http-api.md
WAIT_MS: Final = 2_000  # for all tables' locks: payments wait behind whoever waits
MOMENT_MS: Final = 5_000  # for a statement under them: it reads no rows but the accounts' sums
# Locks that no payment waits for are waited for no longer: whoever places a hold may wait, too. And
# a commit is on the disk before what follows it, which cannot be undone; some roles' are not.
_SESSION: Final = f"SET lock_timeout = {WAIT_MS}; SET synchronous_commit = on"
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o400
_FINISHED: Final = "('succeeded', 'failed', 'canceled')"

Progress = Callable[[int, int], None]


class Dropped(msgspec.Struct, frozen=True):
    """What was dropped, or would be.

    Attributes:
        months: their labels.
        rows: that they held.
        kept: of each month that stays, why.
        broken_off: what ended the run before its last month; empty if nothing did.
    """

    months: list[str]
    rows: int
    kept: dict[str, str]
    broken_off: str = ""


@frozen(kw_only=True)
class MonthDropper:
    """Drops months of one shard's tables; one at a time, by the caller's lock.

    Attributes:
        session: of the owner.
        work: the folder of the catalog.
        store: the archive; gets what is signed.
        pair: the archive's key.
        read: the archive's records, as far as they are old enough.
        behind: who has not taken in those records; empty if everybody who takes in events has.
        holds: what may not go.
        days: since anything happened in a month; 0: none goes, and one that is detached comes back.
        refund_days: for how long a payment may be refunded.
        keys_max: rows held in memory at once.
        operator: who runs it.
        now_us: the wall clock.
        shard: whose tables.
    """

    session: Connection
    work: Path
    store: Store
    pair: KeyPair
    read: ReadRecords
    behind: str
    holds: Register
    days: float
    refund_days: float
    keys_max: int
    operator: str
    now_us: Callable[[], int]
    shard: int = 0

    async def run(self, progress: Progress, *, dry: bool) -> Dropped:
        """Drop what may go.

        Args:
            progress: hears how many of how many months are done.
            dry: only tell.

        Where database or archive cannot be read or written now, the other months wait; what was
        done is told all the same.

        Raises:
            DatabaseError: or one of its children; nothing was done.
        """
        session = self.session
        await session.script(_SESSION)
        detached = await detached_months(session)
        candidates = [month for month in await attached_months(session) if self._is_old(month)]
        candidates = [month for month in candidates if month not in detached]
        gone: list[str] = []
        kept: dict[str, str] = {}
        rows, broken_off = 0, ""
        for number, month in enumerate([*detached, *candidates]):
            progress(number, len(detached) + len(candidates))
            try:
                found = await self._drop(month, begun=month in detached, dry=dry)
            except (StoreError, LedgerError) as error:
                broken_off = f"{month.label}: {error}"
                break
            except ArchiveError as error:
                kept[month.label] = str(error)
            else:
                gone.append(month.label)
                rows += found
        progress(len(detached) + len(candidates), len(detached) + len(candidates))
        return Dropped(gone, rows, kept, broken_off)

    async def _drop(self, month: Month, *, begun: bool, dry: bool) -> int:
        """Drop a month; how many rows it held. Raises ArchiveError with why it stays."""
        if dry:
            compared = await self._looked_at(month, begun=begun)
        else:
            if not begun:
                await self._looked_at(month, begun=False)
                await self._detach(month)
                reach(MONTH_DETACHED)
            compared = await self._looked_at_again(month)
            await self._sign_and_drop(month, compared)
        return sum(table.rows for table in compared.values())

    def _is_old(self, month: Month) -> bool:
        return self.days > 0 and month.end_us + self.days * DAY_US <= self.now_us()

    # --------------------------------------------------------------------------- may it go?

    async def _check(self, month: Month) -> None:
        """Raise ArchiveError if a month is not over, or held."""
        if not self.days:
            raise ArchiveError("archive.database_days is 0: months stay in the tables")
        if self.behind:
            raise ArchiveError(self.behind)
        refundable = timestamptz_(self.now_us() - round(self.refund_days * DAY_US))
        [(unfinished, refunds, first_us, last_us)] = (
            await self.session.run(_state_query(month), [refundable])
        ).rows()
        if unfinished:
            raise ArchiveError(f"{unfinished} payments are not finished")
        if refunds:
            raise ArchiveError(
                f"{refunds} payments may still be refunded, within {self.refund_days:g} days"
            )
        if last_us + self.days * DAY_US > self.now_us():
            raise ArchiveError(
                f"a payment changed less than {self.days:g} days ago (archive.database_days)"
            )
        found = await waiting(
            self.session, month, keys_since_us=max(0, self.now_us() - KEYS_KEPT_US)
        )
        if found:
            words = ", ".join(f"{count} {kind}" for kind, count in found.items())
            raise ArchiveError(f"payments of it still wait: {words}")
        await self._check_holds(month, self.holds.active(), first_us, last_us)

    async def _check_holds(
        self, month: Month, lines: Sequence[Line], first_us: int, last_us: int
    ) -> None:
        for line in lines:
            if line.begin_us is not None and line.end_us is not None:
                held = first_us < line.end_us and last_us >= line.begin_us
            elif line.intent is not None:
                held = month.holds(bytes.fromhex(line.intent))
            else:
                merchant = bytes.fromhex(line.merchant or "")
                held = (await self.session.run(_merchant_query(month), [merchant])).column(0)[0]
            if held:
                raise ArchiveError(f"{line.name} is on it")

    async def _looked_at(self, month: Month, *, begun: bool) -> dict[str, TableDigest]:
        """Hold a month to all that may keep it; raise ArchiveError with what does."""
        await self._check(month)
        if begun and (accounts := await carried_differently(self.session, month)):
            raise ArchiveError(f"its postings come to other sums of {accounts} accounts now")
        return await compare_month(self.session, month, self.read, keys_max=self.keys_max)

    # --------------------------------------------------------------------------- it goes

    async def _detach(self, month: Month) -> None:
        await self.session.script("BEGIN")
        try:
            await self._check(month)
            await sum_postings(self.session, month)
            await hold_tables(self.session, month, wait_ms=WAIT_MS, hold_ms=MOMENT_MS)
            await detach(self.session, month, operator=self.operator)
            await self.session.script("COMMIT")
        except RetryableError as error:
            await self._roll_back()
            raise ArchiveError(f"the tables are busy, run again: {error}") from error
        except BaseException:
            await self._roll_back()
            raise

    async def _looked_at_again(self, month: Month) -> dict[str, TableDigest]:
        """Look at a detached month; where something keeps it, attach it again."""
        try:
            return await self._looked_at(month, begun=True)
        except ArchiveError as error:
            await self._attach(month, error)
            raise

    async def _attach(self, month: Month, reason: ArchiveError) -> None:
        """Make a month a part of the tables again, or say that the next run must."""
        await self.session.script("BEGIN")
        try:
            await bound_ids(self.session, month)
            await hold_tables(self.session, month, wait_ms=WAIT_MS, hold_ms=MOMENT_MS)
            await attach_again(self.session, month)
            await self.session.script("COMMIT")
        except RetryableError as error:
            await self._roll_back()
            raise ArchiveError(
                f"{reason}; it is detached, and the tables are busy, run again: {error}"
            ) from error
        except BaseException:
            await self._roll_back()
            raise

    async def _sign_and_drop(self, month: Month, compared: dict[str, TableDigest]) -> None:
        """The last look at the holds, and what follows, under the lock that a new one needs."""
        with locked(self.holds.lock):
            try:
                await self._check(month)
            except ArchiveError as error:
                await self._attach(month, error)
                raise
            self._sign(month, compared)
            reach(MONTH_SIGNED)
            await self.session.script("BEGIN")
            try:
                await drop(self.session, month)
                await self.session.script("COMMIT")
            except BaseException:
                await self._roll_back()
                raise
        reach(MONTH_DROPPED)

    def _sign(self, month: Month, compared: dict[str, TableDigest]) -> None:
        document = DroppedMonth(
            format=FORMAT,
            shard=self.shard,
            month=month.label,
            compared_at_us=self.now_us(),
            operator=self.operator,
            tables=compared,
        )
        note = sign_document(document, self.pair.public, self.pair)
        path = note_path(self.work, month.label)
        try:
            path.parent.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            write_durably(path, note, mode=_FILE_MODE)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from error
        name = f"{FOLDER}/{self.shard}/{month.label}.{document.compared_at_us}.note"
        self.store.put_new(name, note)

    async def _roll_back(self) -> None:
        if not self.session.closed:
            with trio.CancelScope(shield=True):
                await self.session.script("ROLLBACK")


@functools.cache
def _state_query(month: Month) -> Query:
    """How many payments of a month are not over, or may be refunded; its oldest, newest instants.

    $1: payments that changed since then may be refunded. The partition is named because
    the tables may not have it any more. The same object each time: a session prepares a query once.
    """
    return Query(
        f"month_state_{month.label}",
        f"SELECT count(*) FILTER (WHERE status NOT IN {_FINISHED} "  # noqa: S608  our own names
        "OR live_transaction_id IS NOT NULL OR reversing "
        "OR capturable_minor > 0 OR refund_pending_minor > 0), "
        "count(*) FILTER (WHERE updated_at > $1::timestamptz "
        "AND captured_minor > refunded_minor + disputed_minor), "
        "coalesce(min(created_at), 'epoch'), coalesce(max(updated_at), 'epoch') "
        f'FROM "{month.leaf("payment_intents")}"',
    )


@functools.cache
def _merchant_query(month: Month) -> Query:
    """Whether a month has a payment of a merchant, $1."""
    return Query(
        f"month_of_merchant_{month.label}",
        f'SELECT EXISTS (SELECT FROM "{month.leaf("payment_intents")}" '  # noqa: S608  our own
        "WHERE merchant_id = $1::uuid)",
    )
