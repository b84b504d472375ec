"""How batches go on after a fault, with a database that fails to order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import trio

from chassis.settings.tree import Ledger
from ledger.committing import PARTINGS_MAX, Committer, HotSession
from ledger.errors import ConnectionLostError, RetryableError, RowError
from ledger.queries import Query

LIMITS = Ledger(lock_waits_max=3)
BAD_ROW = RowError("check", sqlstate="23514", constraint="attempts_numbers")
LOCKED = RetryableError("lock", sqlstate="55P03")
DEADLOCK = RetryableError("deadlock", sqlstate="40P01")
SHUTDOWN = RetryableError("shutdown", sqlstate="57P01")
LOST = ConnectionLostError("gone")


class Scripted(Committer[str, str]):
    """Answers each row in upper case, or as `fail` and `undecided` say."""

    def __init__(self, *, patient: bool, repeats_max: int | None = None) -> None:
        super().__init__(LIMITS, patient=patient, repeats_max=repeats_max)
        self.runs: list[list[str]] = []
        self.fail: Callable[[list[str]], Exception | None] = lambda _: None
        self.undecided: set[str] = set()
        self.in_doubt: set[str] = set()
        self.give_up = True
        self.held: set[str] | None = None  # None: nobody can tell
        self.asked: list[list[str]] = []
        self.ask_error: Exception | None = None

    async def decide(self, *rows: str, leave_held: bool = False) -> list[str | None]:
        """Run a batch."""
        return await self._decide(rows, leave_held=leave_held)

    async def _once(self, rows: Sequence[str]) -> list[str | None]:
        await trio.lowlevel.checkpoint()
        self.runs.append(list(rows))
        if (error := self.fail(list(rows))) is not None:
            raise error
        return [None if row in self.undecided else row.upper() for row in rows]

    def _refuse(self, row: str) -> str:
        return f"refused {row}"

    def _give_up(self, row: str) -> str | None:
        return f"gave up {row}" if self.give_up else None

    async def _held(self, rows: Sequence[str]) -> list[bool]:
        await trio.lowlevel.checkpoint()
        self.asked.append(list(rows))
        if self.ask_error is not None:
            raise self.ask_error
        if self.held is None:
            return await super()._held(rows)
        return [row in self.held for row in rows]

    def _note_unknown_fate(self, rows: Sequence[str]) -> None:
        self.in_doubt.update(rows)


def _times(count: int, error: Exception) -> Callable[[list[str]], Exception | None]:
    """Fail so many runs, then no more."""
    left = [error] * count
    return lambda _: left.pop() if left else None


def _while_any(rows: str, error: Exception) -> Callable[[list[str]], Exception | None]:
    """Fail every run that holds one of these rows."""
    return lambda run: error if set(run) & set(rows) else None


@pytest.mark.parametrize("patient", [True, False])
async def test_a_batch_without_faults_is_one_run(patient: bool) -> None:  # noqa: FBT001
    """Answers stand in the order of the rows."""
    committer = Scripted(patient=patient)
    assert await committer.decide("c", "a", "b") == ["C", "A", "B"]
    assert committer.runs == [["c", "a", "b"]]


async def test_an_empty_batch_is_no_fault() -> None:
    """Nothing in, nothing out, and nothing is run."""
    committer = Scripted(patient=True)
    assert await committer.decide() == []
    assert committer.runs == []


@pytest.mark.parametrize("patient", [True, False])
@pytest.mark.parametrize("bad", ["a", "d", "h", "bg", "abcdefgh"])
async def test_bad_rows_are_found_by_halving(bad: str, patient: bool) -> None:  # noqa: FBT001
    """Each bad row is refused alone, all others go through, in few runs."""
    committer = Scripted(patient=patient)
    committer.fail = _while_any(bad, BAD_ROW)
    answers = await committer.decide(*"abcdefgh")
    assert answers == [f"refused {r}" if r in bad else r.upper() for r in "abcdefgh"]
    assert committer.poisoned == len(bad)
    assert len(committer.runs) <= 15
    assert committer.runs[0] == list("abcdefgh")


@pytest.mark.parametrize("error", [LOCKED, DEADLOCK, SHUTDOWN, LOST])
async def test_the_impatient_lane_leaves_a_failed_batch_undecided(error: Exception) -> None:
    """One run, and every row goes to the patient lane."""
    committer = Scripted(patient=False)
    committer.fail = _times(1, error)
    assert await committer.decide("a", "b") == [None, None]
    assert len(committer.runs) == 1


async def test_the_impatient_lane_reports_undecided_rows_at_once() -> None:
    """Locked rows are not tried again."""
    committer = Scripted(patient=False)
    committer.undecided = {"b"}
    assert await committer.decide("a", "b", "c") == ["A", None, "C"]
    assert len(committer.runs) == 1


@pytest.mark.parametrize("error", [DEADLOCK, SHUTDOWN, LOST])
async def test_the_patient_lane_repeats_the_whole_batch(
    error: Exception, autojump_clock: trio.testing.MockClock
) -> None:
    """Deadlocks, restarts and lost connections repeat all rows, until it goes through."""
    committer = Scripted(patient=True)
    committer.fail = _times(5, error)
    assert await committer.decide("a", "b", "c") == ["A", "B", "C"]
    assert committer.runs == [["a", "b", "c"]] * 6
    assert committer.repeats == 5


async def test_repeats_may_be_bounded(autojump_clock: trio.testing.MockClock) -> None:
    """After the bound the fault itself comes through; a success in between starts anew."""
    committer = Scripted(patient=True, repeats_max=2)
    for _ in range(2):
        committer.fail = _times(2, DEADLOCK)
        assert await committer.decide("a") == ["A"]
    committer.fail = _times(3, LOST)
    with pytest.raises(ConnectionLostError):
        await committer.decide("a")


@pytest.mark.parametrize(
    ("error", "unknown"), [(LOST, True), (SHUTDOWN, True), (DEADLOCK, False), (LOCKED, False)]
)
async def test_only_a_cut_leaves_the_fate_unknown(error: Exception, unknown: bool) -> None:  # noqa: FBT001
    """After a lost session or a stopped server the rows may stand; after a refusal they do not."""
    committer = Scripted(patient=False)
    committer.fail = _times(1, error)
    await committer.decide("a", "b")
    assert committer.in_doubt == ({"a", "b"} if unknown else set())


async def test_who_waits_for_a_lock_waits_alone(autojump_clock: trio.testing.MockClock) -> None:
    """A lock time-out of the batch lets the others through one by one, at once."""
    committer = Scripted(patient=True)
    committer.fail = _while_any("b", LOCKED)
    assert await committer.decide("a", "b", "c") == ["A", "gave up b", "C"]
    assert committer.runs[:4] == [["a", "b", "c"], ["a"], ["b"], ["c"]]
    assert committer.runs.count(["b"]) == LIMITS.lock_waits_max


async def test_an_undecided_row_waits_alone_and_is_won(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Rows that no verdict explains are tried again without the others."""
    committer = Scripted(patient=True)
    committer.undecided = {"b"}

    def release(run: list[str]) -> None:
        if run == ["b"] and committer.runs.count(["b"]) == 2:
            committer.undecided.clear()

    committer.fail = release
    assert await committer.decide("a", "b", "c") == ["A", "B", "C"]
    assert committer.runs == [["a", "b", "c"], ["b"], ["b"]]


async def test_a_row_that_may_not_give_up_waits_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Where an earlier run may stand, only a verdict ends the waiting."""
    committer = Scripted(patient=True)
    committer.give_up = False
    committer.fail = _times(50, LOCKED)
    assert await committer.decide("a") == ["A"]
    assert len(committer.runs) == 51


async def test_a_batch_goes_on_without_its_held_rows(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Told apart, the free rows go through together, the held ones wait alone."""
    committer = Scripted(patient=True)
    committer.held = {"b", "d"}
    committer.fail = _while_any("bd", LOCKED)
    answers = await committer.decide(*"abcde")
    assert answers == ["A", "gave up b", "C", "gave up d", "E"]
    assert committer.runs[:4] == [list("abcde"), list("ace"), ["b"], ["d"]]


@pytest.mark.parametrize("patient", [True, False])
async def test_held_rows_may_be_left(patient: bool) -> None:  # noqa: FBT001
    """One pass for the others, none for those whose locks are held; alone they are left too."""
    committer = Scripted(patient=patient)
    committer.held = {"b", "d"}
    committer.fail = _while_any("bd", LOCKED)
    answers = await committer.decide(*"abcde", leave_held=True)
    assert answers == ["A", None, "C", None, "E"]
    assert committer.runs == [list("abcde"), list("ace")]
    assert await committer.decide("b", leave_held=True) == [None]
    assert len(committer.asked) == 1


async def test_rows_held_one_after_the_other_are_all_told_apart() -> None:
    """A lock that somebody takes meanwhile parts the batch once more."""
    committer = Scripted(patient=True)
    committer.held = {"a"}

    def fail(run: list[str]) -> Exception | None:
        if held := set(run) & {"a", "c"}:
            committer.held = held
            return LOCKED
        return None

    committer.fail = fail
    assert await committer.decide(*"abc", leave_held=True) == [None, "B", None]


async def test_a_lock_that_came_free_meanwhile_is_no_reason_to_part() -> None:
    """Nobody is held any more: the batch is run again whole."""
    committer = Scripted(patient=True)
    committer.held = set()
    committer.fail = _times(1, LOCKED)
    assert await committer.decide("a", "b", leave_held=True) == ["A", "B"]
    assert committer.runs == [["a", "b"]] * 2


async def test_a_lock_on_something_else_ends_the_parting() -> None:
    """No row is to blame, and still the batch waits: after a while all are left."""
    committer = Scripted(patient=True)
    committer.held = set()
    committer.fail = lambda _: LOCKED
    assert await committer.decide("a", "b", leave_held=True) == [None, None]
    assert len(committer.runs) == PARTINGS_MAX + 1


async def test_a_database_that_cannot_tell_who_is_held_leaves_all() -> None:
    """The question is asked by the same session, and may fail like any other."""
    committer = Scripted(patient=True)
    committer.fail = _times(1, LOCKED)
    committer.ask_error = LOST
    assert await committer.decide("a", "b", leave_held=True) == [None, None]


@pytest.mark.parametrize("error", [DEADLOCK, SHUTDOWN, LOST])
async def test_who_leaves_held_rows_still_waits_for_the_database(
    error: Exception, autojump_clock: trio.testing.MockClock
) -> None:
    """Only locks are not waited for."""
    committer = Scripted(patient=True)
    committer.fail = _times(3, error)
    assert await committer.decide("a", "b", leave_held=True) == ["A", "B"]
    assert committer.runs == [["a", "b"]] * 4


class _Session:
    """Stands for a connection: remembers what it ran, fails when told."""

    def __init__(self) -> None:
        self.closed = False
        self.ran: list[Query] = []

    async def run(self, query: Query, _params: object) -> str:
        await trio.lowlevel.checkpoint()
        self.ran.append(query)
        return "result"

    async def pipeline(self, steps: Sequence[tuple[Query, object]]) -> list[str]:
        return [await self.run(query, params) for query, params in steps]

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed = True


async def test_a_hot_session_is_opened_when_needed_and_after_a_loss() -> None:
    """One connection serves until it is closed, then another one is opened."""
    opened: list[_Session] = []

    async def connect() -> _Session:
        await trio.lowlevel.checkpoint()
        opened.append(_Session())
        return opened[-1]

    session = HotSession(connect)  # type: ignore[arg-type]
    query = Query("one", "SELECT 1")
    await session.aclose()
    assert opened == []
    await session.run(query, [])
    await session.run(query, [])
    assert [len(s.ran) for s in opened] == [2]
    opened[0].closed = True
    await session.run(query, [])
    assert [len(s.ran) for s in opened] == [2, 1]
    await session.aclose()
    assert opened[1].closed


async def test_each_session_of_a_lane_has_its_lock_timeout() -> None:
    """Set once when it is opened, and again when another takes its place."""
    opened: list[_Session] = []

    async def connect() -> _Session:
        await trio.lowlevel.checkpoint()
        opened.append(_Session())
        return opened[-1]

    session = HotSession(connect, lock_timeout_ms=25)  # type: ignore[arg-type]
    query = Query("one", "SELECT 1")
    assert await session.pipeline([(query, []), (query, [])]) == ["result"] * 2
    await session.run(query, [])
    await session.aclose()
    await session.run(query, [])
    assert [[ran.name for ran in s.ran] for s in opened] == [
        ["set_lock_timeout", "one", "one", "one"],
        ["set_lock_timeout", "one"],
    ]
