"""The continuous checker: payments that changed are held to their history, at a bounded rate.

Theory of operation
-------------------
It follows the stream behind the bookings and looks at every payment that a record names: also at
those that nobody but an intruder has touched, since a change by whomever goes through the WAL. A
payment is read in one snapshot and judged by pure code (`invariants`). What is found is told once:
an error in the log with its ids, a count in the metrics, an exception.

A payment that is not booked yet is looked at again until it is, or until patience ends; only then
is it told. The cursor that is kept is the oldest of those, so a restart forgets none.
The relay sets it back where the stream was lost and begins anew; the checker notices.

At full load it falls behind, on purpose: it takes `check_intents_per_s` and no more from the
machine, and catches up when there is less to do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Never

import attrs
import msgspec
import trio

from chassis.backoff import Backoff
from chassis.log import get_logger
from chassis.settings.tree import Postings as Limits
from chassis.settings.tree import Stream
from ledger.ids import public_id
from ledger.pgtypes import text_, uuid_, uuid_array
from ledger.postings.balances import totals, trial_balance
from ledger.postings.history import (
    AttemptFact,
    History,
    IntentFact,
    OutcomeFact,
    PostingFact,
    TransactionFact,
)
from ledger.postings.invariants import Verdict, Violation, judge
from ledger.statements import QUERIES, Runner
from ledger.stream.backend import Cursor, Reader
from ledger.stream.consumer import TRANSIENT
from ledger.stream.cursors import CursorMovedError, FloorCursor
from ledger.stream.record import NO_INTENT

GROUP: Final = "postings_checker"
# Kinds of exception.
KIND: Final = "invariant_violated"
UNBOOKED: Final = "postings_missing"
UNBALANCED: Final = "books_unbalanced"
_INTENT: Final = slice(32, 48)  # of a record
_READ: Final = [
    QUERIES[f"check_{table}"]
    for table in ("intents", "transactions", "attempts", "outcomes", "postings")
]
_KINDS: Final[tuple[type[Any], ...]] = (TransactionFact, AttemptFact, OutcomeFact, PostingFact)
_OPEN: Final = QUERIES["open_invariant_exception"]

_log = get_logger(__name__)


@attrs.define
class Figures:
    """For metrics.

    Attributes:
        checked: payments looked at.
        violations: told.
        waiting: payments that are not booked yet.
        next_offset: how far the stream is checked.
    """

    checked: int = 0
    violations: int = 0
    waiting: int = 0
    next_offset: int = 0


class Checker:
    """Follows one shard's stream.

    Args:
        reader: entered; the checker's own.
        snapshots: sessions whose transactions see one snapshot (repeatable read).
        database: where findings are told and the cursor is kept.
        limits: rate, patience, batches.
        stream: page sizes and waits.
        now_us: the wall clock.
        booked: how far the bookings are in the stream.

    Attributes:
        figures: what was done so far.
    """

    def __init__(
        self,
        reader: Reader,
        snapshots: Runner,
        database: Runner,
        *,
        limits: Limits,
        stream: Stream,
        now_us: Callable[[], int],
        booked: Callable[[], int],
    ) -> None:
        self._reader = reader
        self._snapshots = snapshots
        self._database = database
        self._limits = limits
        self._stream = stream
        self._now_us = now_us
        self._booked = booked
        self._waiting: dict[bytes, int] = {}  # intent → offset of the record that named it
        self._floor = FloorCursor(database, GROUP, 0)
        self._trial_due_at = 0.0
        self.figures = Figures()

    async def run(self) -> Never:
        """Check until canceled; a database that is away is waited for.

        Raises:
            StreamCorruptError, StreamMissingError: the stream cannot be read.
        """
        limits = self._stream
        backoff = Backoff(min_s=limits.consumer_retry_min_s, max_s=limits.consumer_retry_max_s)
        cursor: Cursor | None = None
        while True:
            try:
                if cursor is None:
                    cursor = await self._floor.read()
                    self._waiting.clear()
                cursor = await self.step(cursor)
                backoff.reset()
            except CursorMovedError as error:
                _log.warning("checker begins again", why=str(error))
                cursor = None
                continue
            except TRANSIENT as error:
                _log.warning("checker waits", why=type(error).__name__)
                await trio.sleep(backoff.next_delay_s())
                continue
            await trio.sleep(self._limits.check_interval_s)

    async def step(self, cursor: Cursor) -> Cursor:
        """Look again at what was not booked, then at what changed; where to go on."""
        await self._look_at_sums()
        await self._check(dict(self._waiting))
        at = cursor.get(0, 0)
        if len(self._waiting) < self._limits.check_waiting_max and at < self._booked():
            page = await self._reader.read(
                cursor, self._stream.consumer_records_max, self._stream.consumer_bytes_max
            )
            named: dict[bytes, int] = {}
            for _, offset, record in page.records:
                named.setdefault(bytes(record[_INTENT]), offset)
            named.pop(NO_INTENT, None)
            await self._check(named)
            cursor, at = page.cursor, page.cursor.get(0, 0)
        self.figures.next_offset = at
        self.figures.waiting = len(self._waiting)
        await self._floor.save(min(self._waiting.values(), default=at))
        return cursor

    async def _check(self, named: Mapping[bytes, int]) -> None:
        """Look at payments, in batches, no faster than allowed."""
        intents, size = list(named), self._limits.check_batch_intents
        for first in range(0, len(intents), size):
            batch = intents[first : first + size]
            for history in await read_histories(self._snapshots, batch):
                intent_id = history.intent.intent_id
                verdict = judge(history)
                for violation in verdict.violations:
                    await self._tell(KIND, intent_id, violation)
                await self._see_to_booking(verdict, intent_id, named[intent_id])
            self.figures.checked += len(batch)
            await trio.sleep(len(batch) / self._limits.check_intents_per_s)

    async def _see_to_booking(self, verdict: Verdict, intent_id: bytes, offset: int) -> None:
        since_us = verdict.unbooked_since_us
        if since_us is None:
            self._waiting.pop(intent_id, None)
            return
        if self._now_us() - since_us < self._limits.check_patience_s * 1_000_000:
            self._waiting.setdefault(intent_id, offset)
            return
        self._waiting.pop(intent_id, None)
        await self._tell(UNBOOKED, intent_id, Violation("I9", "booked", "postings", "none"))

    async def _look_at_sums(self) -> None:
        """Debits equal credits over all accounts, by mode, currency and memo."""
        if trio.current_time() < self._trial_due_at:
            return
        self._trial_due_at = trio.current_time() + self._limits.trial_interval_s
        for one in totals(await trial_balance(self._database)):
            if not one.balanced:
                mode = "live" if one.live else "test"
                rule = f"{mode} {one.currency}{' memo' if one.memo else ''}"
                sides = (str(one.debits_minor), str(one.credits_minor))
                await self._tell(UNBALANCED, None, Violation("I9", rule, *sides))

    async def _tell(self, kind: str, intent_id: bytes | None, violation: Violation) -> None:
        """Tell people, unless they were told and have not closed it."""
        told = msgspec.structs.asdict(violation)
        transaction_id = told.pop("transaction_id")
        params = [
            text_(kind),
            None if intent_id is None else uuid_(intent_id),
            None if transaction_id is None else uuid_(transaction_id),
            text_(msgspec.json.encode(told).decode()),
        ]
        if not (await self._database.run(_OPEN, params)).row_count:
            return
        self.figures.violations += 1
        _log.error(
            kind.replace("_", " "),
            payment_intent=intent_id and public_id("pi", intent_id),
            transaction=transaction_id and public_id("txn", transaction_id),
            **told,
        )


async def read_histories(snapshots: Runner, intents: Sequence[bytes]) -> list[History]:
    """Everything the ledger has of some payments, in one snapshot; of those that have a row.

    Args:
        snapshots: a session whose transactions see one snapshot. Role: turnout_postings.
        intents: their ids.
    """
    params = [uuid_array(intents)]
    found = await snapshots.pipeline([(query, params) for query in _READ])
    by_intent = [
        _grouped(kind, result.rows()) for kind, result in zip(_KINDS, found[1:], strict=True)
    ]
    return [
        History(intent, *(group[intent.intent_id] for group in by_intent))
        for intent in (IntentFact(*row) for row in found[0].rows())
    ]


def _grouped(kind: type[Any], rows: Sequence[tuple[Any, ...]]) -> dict[bytes, list[Any]]:
    groups: defaultdict[bytes, list[Any]] = defaultdict(list)
    for row in rows:
        groups[row[0]].append(kind(*row))
    return groups
