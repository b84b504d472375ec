"""Start-up recovery: every open attempt becomes unknown, page by page, and the mark moves up."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from msgspec.structs import astuple

from ledger.errors import DatabaseError
from ledger.leases import Lease, LeaseLostError
from ledger.pgtypes import int8_, text_, uuid_
from ledger.recovery import PAGE_ROWS, AnswerNumbers, OpenAttempt
from switch.recovery import find_by_rrn, recover
from tests.support.pipeline import NOW_US, Outcomes

LEASE = Lease("switch-0", 4, bytes(16))


class Rows:
    """A result of these rows."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows
        self.row_count = len(rows)

    def rows(self) -> list[tuple[Any, ...]]:
        """All of them."""
        return self._rows


class Ledger:
    """A session that knows the queries of recovery, and fails on any other."""

    def __init__(self, attempts: list[OpenAttempt]) -> None:
        self.attempts = attempts
        self.mark = bytes(16)
        self.epoch = LEASE.epoch
        self.found: dict[str, list[OpenAttempt]] = {}
        self.ran: list[str] = []

    async def run(self, query: Any, params: Any = ()) -> Rows:
        """Answer one query as ledger/sql/queries/recovery.sql and leases.sql do."""
        await trio.lowlevel.checkpoint()
        self.ran.append(query.name)
        match query.name:
            case "open_attempts":
                _, above, limit = params
                page = [a for a in self.attempts if uuid_(a.attempt_id) > above]
                assert limit == int8_(PAGE_ROWS)
                return Rows([astuple(a) for a in page[:PAGE_ROWS]])
            case "find_attempts":
                known = {text_(owner): found for owner, found in self.found.items()}
                found = known.get(params[0], [])
                return Rows([(place, *astuple(a)) for place, a in enumerate(found, start=1)])
            case "note_recovered":
                if self.epoch != LEASE.epoch:
                    return Rows([])
                self.mark = params[2]
                return Rows([(self.mark,)])
            case _:
                raise AssertionError(f"recovery does not ask {query.name}")


def attempt(number: int, *, intent: int | None = None) -> OpenAttempt:
    """An open attempt, by default of an intent of its own."""
    return OpenAttempt(
        intent_id=(number if intent is None else intent).to_bytes(16),
        attempt_id=number.to_bytes(16),
        transaction_id=(10_000 + number).to_bytes(16),
        request_id=b"R" * 16,
        amount_minor=2499,
        currency="usd",
        network="vsim",
        acquirer_id="400001",
        mti="0200",
        stan=f"{number:06d}",
        rrn=f"0{number:011d}",
        de7="0115080000",
        epoch=3,
        deadline_at_us=NOW_US,
    )


async def recovered(ledger: Ledger, outcomes: Outcomes, lease: Lease = LEASE) -> int:
    """Run recovery."""
    return await recover(ledger, lease, outcomes, lambda: NOW_US)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1, PAGE_ROWS - 1, PAGE_ROWS, PAGE_ROWS + 1, 2 * PAGE_ROWS])
async def test_every_open_attempt_becomes_unknown_once(count: int) -> None:
    """Over full, short and empty pages; the mark ends at the last of them."""
    ledger, outcomes = Ledger([attempt(number) for number in range(1, count + 1)]), Outcomes()
    assert await recovered(ledger, outcomes) == count
    assert [int.from_bytes(row.attempt_id) for row in outcomes.rows] == list(range(1, count + 1))
    assert {(row.phase, row.result, row.actor) for row in outcomes.rows} <= {
        (1, "unknown", "recovery")
    }
    assert len(outcomes.batches) == math.ceil(count / PAGE_ROWS)
    assert ledger.mark == (uuid_(count.to_bytes(16)) if count else bytes(16))


async def test_attempts_of_one_intent_are_settled_one_after_the_other() -> None:
    """A commit holds an intent once."""
    outcomes = Outcomes()
    await recovered(Ledger([attempt(1), attempt(2, intent=1), attempt(3)]), outcomes)
    assert [[int.from_bytes(row.attempt_id) for row in batch] for batch in outcomes.batches] == [
        [1, 3],
        [2],
    ]


async def test_recovery_reads_from_the_mark_of_the_lease() -> None:
    """What lies below has an outcome by the word of an earlier start."""
    outcomes = Outcomes()
    lease = Lease("switch-0", LEASE.epoch, (2).to_bytes(16))
    assert await recovered(Ledger([attempt(1), attempt(2), attempt(3)]), outcomes, lease) == 2


async def test_the_mark_moves_only_after_the_outcomes_are_durable() -> None:
    """Recovery that fails half-way is begun again from the old mark."""
    ledger, outcomes = Ledger([attempt(1)]), Outcomes()
    outcomes.error = DatabaseError("denied", sqlstate="42501")
    with pytest.raises(DatabaseError):
        await recovered(ledger, outcomes)
    assert ledger.ran == ["open_attempts"]


async def test_the_mark_stays_at_what_could_not_be_settled() -> None:
    """Somebody has decided the intent, or nobody can from here: the next recovery looks again."""
    ledger, outcomes = Ledger([attempt(number) for number in range(1, 9)]), Outcomes()
    outcomes.moved_on = {5, 3, 7}
    assert await recovered(ledger, outcomes) == 8
    assert ledger.mark == uuid_((3).to_bytes(16))


async def test_a_switch_that_was_overtaken_stops() -> None:
    """A newer epoch means another process: this one must not open its intake."""
    ledger = Ledger([attempt(1)])
    ledger.epoch = LEASE.epoch + 1
    with pytest.raises(LeaseLostError):
        await recovered(ledger, Outcomes())


async def test_the_attempt_at_the_mark_is_recovered() -> None:
    """Heartbeats leave the mark on the lowest open attempt itself."""
    outcomes = Outcomes()
    lease = Lease("switch-0", LEASE.epoch, (2).to_bytes(16))
    await recovered(Ledger([attempt(1), attempt(2), attempt(3)]), outcomes, lease)
    assert [int.from_bytes(row.attempt_id) for row in outcomes.rows] == [2, 3]


async def test_answers_are_looked_up_with_the_switch_that_drew_their_rrn() -> None:
    """One question a switch; what is found stands in the order of the answers."""
    ledger = Ledger([])
    ledger.found = {"switch-0": [attempt(7)], "switch-10": [attempt(8), attempt(9)]}
    answers = [
        AnswerNumbers("vsim", f"{letter}0000000000{n}", "000001", "0102030405", NOW_US)
        for n, letter in enumerate("A0A1")
    ]
    found = await find_by_rrn(ledger, answers)  # type: ignore[arg-type]
    assert [a and int.from_bytes(a.attempt_id) for a in found] == [8, 7, 9, None]
    assert ledger.ran == ["find_attempts"] * 3
