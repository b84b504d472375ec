"""What both commits do when a batch does not go through at once.

Theory of operation
-------------------
A batch is one statement: all of it is committed or none. Three things can go wrong (money.md 4).

*One row is at fault* (`RowError`). It is found by halving; every half is a commit of its own, and
the row at fault, alone at last, harms only itself.

*The batch could not run, or its fate is unknown* (`RetryableError`, `ConnectionLostError`). The
patient lane repeats it whole, with the same ids, until it is decided: an earlier run that was
committed after all shows as rows carrying our own ids. The impatient lane leaves such rows
undecided, for the patient one.

*Rows stay undecided*: their intents are locked. Where the statement waits for locks, one lock that
somebody sits on fails the whole batch; the rows whose intents are held are then told from the
others (`_held`), and the others go on without them. The patient lane goes on with each held row
alone, so that it does not hold up its neighbors; the impatient one leaves them undecided, and so
does the patient one where its caller asks for it.

Nothing is sent or answered before a verdict, so the patient lane gives up on a row only where
`_give_up` allows it, which it must not while an earlier run may still be committed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

import trio

from chassis.backoff import Backoff
from chassis.log import get_logger
from chassis.settings.tree import Ledger
from ledger.connection import Connection, Params, Step
from ledger.errors import ConnectionLostError, DatabaseError, RetryableError, RowError
from ledger.pgtypes import text_, uuid_, uuid_array
from ledger.queries import Query
from ledger.result import Result
from ledger.statements import QUERIES

Row = TypeVar("Row")
Answer = TypeVar("Answer")

LOCK_NOT_AVAILABLE: Final = "55P03"
PARTINGS_MAX: Final = 8  # times a batch is parted from rows whose intents are held
_FATE_UNKNOWN: Final = frozenset({"57P01", "57P02"})  # the server stopped under the statement

_log = get_logger(__name__)


_LOCK_TIMEOUT: Final = Query(
    "set_lock_timeout", "SELECT set_config('lock_timeout', $1::text, false)"
)
_HELD: Final = QUERIES["find_held_intents"]


class HotSession:
    """One session of one lane, opened when first needed and again whenever it is lost.

    Args:
        connect: opens it.
        lock_timeout_ms: how long its statements wait for a lock, where not as `connect` says.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        *,
        lock_timeout_ms: int | None = None,
    ) -> None:
        self._connect = connect
        self._lock_timeout_ms = lock_timeout_ms
        self._connection: Connection | None = None

    async def run(self, query: Query, params: Params) -> Result:
        """Run one statement; raises as `Connection.open` and `Connection.run`."""
        connection = self._connection
        if connection is None or connection.closed:
            connection = await self._open()
        return await connection.run(query, params)

    async def pipeline(self, steps: Sequence[Step]) -> list[Result]:
        """Run statements in one round trip; raises as `Connection.open` and `.pipeline`."""
        connection = self._connection
        if connection is None or connection.closed:
            connection = await self._open()
        return await connection.pipeline(steps)

    async def _open(self) -> Connection:
        connection = self._connection = await self._connect()
        if self._lock_timeout_ms is not None:
            await connection.run(_LOCK_TIMEOUT, [text_(f"{self._lock_timeout_ms}ms")])
        return connection

    async def aclose(self) -> None:
        """Close the session, if it is open."""
        if self._connection is not None:
            await self._connection.aclose()


async def held_intents(session: HotSession, intent_ids: Sequence[bytes]) -> set[bytes]:
    """Which of these intents somebody has locked at this moment; at least one is asked about.

    Raises:
        DatabaseError: or one of its children; nothing is changed by asking.
    """
    params = [uuid_array(intent_ids), uuid_(min(intent_ids)), uuid_(max(intent_ids))]
    return set((await session.run(_HELD, params)).column(0))


class _Batch(Generic[Row, Answer]):
    """What is known of the rows of one call so far."""

    def __init__(self, rows: Sequence[Row], *, waits_for_locks: bool) -> None:
        self.rows = rows
        self.waits_for_locks = waits_for_locks
        self.answers: list[Answer | None] = [None] * len(rows)
        self.waits = [0] * len(rows)
        self.partings = 0


class Committer(ABC, Generic[Row, Answer]):
    """Runs batches until every row has an answer, or, when impatient, as far as one pass gets.

    Args:
        limits: how long to wait between repeats, and how often for a lock.
        patient: repeat what is undecided instead of leaving it so.
        repeats_max: raise the error that kept a patient batch from running after as many repeats;
            None repeats for ever.
    """

    def __init__(self, limits: Ledger, *, patient: bool, repeats_max: int | None = None) -> None:
        self._patient = patient
        self._repeats_max = repeats_max
        self._lock_waits_max = limits.lock_waits_max
        self._backoff = Backoff(min_s=limits.commit_retry_min_s, max_s=limits.commit_retry_max_s)
        self._repeats_in_a_row = 0
        self.repeats = 0  # for metrics: batches run again after a fault
        self.poisoned = 0  # for metrics: rows refused by the database

    @abstractmethod
    async def _once(self, rows: Sequence[Row]) -> Sequence[Answer | None]:
        """Run one commit of these rows and say what became of each; None is undecided."""

    @abstractmethod
    def _refuse(self, row: Row) -> Answer:
        """The answer of a row that the database refuses even alone."""

    def _give_up(self, row: Row) -> Answer | None:  # noqa: ARG002  for those who may
        """The answer of a row whose lock could not be had; None waits on."""
        return None

    async def _held(self, rows: Sequence[Row]) -> list[bool]:
        """Which of these rows hold the others up, after a lock could not be had; maybe none."""
        return [True] * len(rows)

    def _note_unknown_fate(self, rows: Sequence[Row]) -> None:
        """Hear that a run of these rows may have been committed without our learning of it."""

    async def _decide(
        self, rows: Sequence[Row], *, leave_held: bool = False
    ) -> list[Answer | None]:
        """Answer every row, in their order; without None when patient.

        With `leave_held` a patient committer repeats what could not run, but leaves rows that wait
        for a lock undecided.
        """
        batch = _Batch[Row, Answer](rows, waits_for_locks=self._patient and not leave_held)
        groups = deque([list(range(len(rows)))] if rows else [])
        while groups:
            places = groups.popleft()
            members = [rows[place] for place in places]
            try:
                found = await self._once(members)
                self._backoff.reset()
                self._repeats_in_a_row = 0
            except RowError as error:
                if len(places) > 1:
                    middle = len(places) // 2
                    groups += (places[:middle], places[middle:])
                else:
                    self._log_poisoned(error)
                    batch.answers[places[0]] = self._refuse(members[0])
                continue
            except (RetryableError, ConnectionLostError) as error:
                self._log_fault(error, members)
                if self._patient and error.sqlstate != LOCK_NOT_AVAILABLE:
                    if self._repeats_in_a_row == self._repeats_max:
                        raise
                    self._repeats_in_a_row += 1
                    await trio.sleep(self._backoff.next_delay_s())
                    groups.append(places)
                    continue
                if error.sqlstate == LOCK_NOT_AVAILABLE and len(places) > 1:
                    places, free = await self._part(batch, places)
                    if free:
                        groups.appendleft(free)
                found = [None] * len(places)
            waiting = self._sort_out(batch, places, found)
            if waiting and len(places) == 1:
                await trio.sleep(self._backoff.next_delay_s())
            groups += waiting
        return batch.answers

    async def _part(
        self, batch: _Batch[Row, Answer], places: list[int]
    ) -> tuple[list[int], list[int]]:
        """Tell the rows whose intents are held from those that can go on without them.

        Where nothing seems to be held any more all can go on; but not for ever, in case what they
        wait for is no intent.
        """
        batch.partings += 1
        if batch.partings > PARTINGS_MAX:
            return places, []
        try:
            held = await self._held([batch.rows[place] for place in places])
        except (RetryableError, ConnectionLostError):
            return places, []
        parted: tuple[list[int], list[int]] = ([], [])
        for place, is_held in zip(places, held, strict=True):
            parted[not is_held].append(place)
        return parted

    def _sort_out(
        self, batch: _Batch[Row, Answer], places: list[int], found: Sequence[Answer | None]
    ) -> list[list[int]]:
        """Note what was found; give those that go on waiting, each as a group of its own."""
        for place, answer in zip(places, found, strict=True):
            batch.answers[place] = answer
        if not batch.waits_for_locks or None not in found:
            return []
        waiting = []
        for place in places:
            if batch.answers[place] is not None:
                continue
            batch.waits[place] += 1
            if batch.waits[place] > self._lock_waits_max:
                batch.answers[place] = self._give_up(batch.rows[place])
            if batch.answers[place] is None:
                waiting.append([place])
        return waiting

    def _log_fault(self, error: DatabaseError, rows: Sequence[Row]) -> None:
        self.repeats += 1
        if isinstance(error, ConnectionLostError) or error.sqlstate in _FATE_UNKNOWN:
            self._note_unknown_fate(rows)
        if error.sqlstate != LOCK_NOT_AVAILABLE:
            _log.warning("commit_repeated", rows=len(rows), sqlstate=error.sqlstate)

    def _log_poisoned(self, error: RowError) -> None:
        self.poisoned += 1
        _log.error(
            "row_refused", query=error.query, sqlstate=error.sqlstate, constraint=error.constraint
        )
