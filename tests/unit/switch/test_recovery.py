"""Recovery: every open attempt becomes unknown, page by page, and the mark moves up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from msgspec.structs import astuple
from structlog.testing import capture_logs

from ledger.errors import DatabaseError
from ledger.ids import UUID7Source
from ledger.leases import Lease, LeaseLostError
from ledger.pgtypes import int8_, text_, uuid_
from ledger.records import Lost
from ledger.recovery import PAGE_ROWS, AnswerNumbers, OpenAttempt
from switch.core.numbers import NumbersExhaustedError
from switch.core.operations.records import Spare
from switch.core.operations.steps import Settle
from switch.recovery import Recovery, find_by_rrn
from tests.support.operations import RULES
from tests.support.pipeline import NOW_US, Outcomes

LEASE = Lease("switch-0", 4, bytes(16))
BATCH_MAX = 4


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

    def __init__(self, attempts: list[OpenAttempt], captures: Sequence[OpenAttempt] = ()) -> None:
        self.attempts = attempts
        self.captures = list(captures)
        self.mark = bytes(16)
        self.epoch = LEASE.epoch
        self.found: dict[str, list[OpenAttempt]] = {}
        self.ran: list[str] = []

    async def run(self, query: Any, params: Any = ()) -> Rows:
        """Answer one query as ledger/sql/queries/recovery.sql and leases.sql do."""
        await trio.lowlevel.checkpoint()
        self.ran.append(query.name)
        match query.name:
            case "open_attempts" | "open_captures":
                _, above, limit = params
                rows = self.attempts if query.name == "open_attempts" else self.captures
                page = [a for a in rows if uuid_(a.attempt_id) > above]
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


class ClosedOutcomes(Outcomes):
    """Commit 2, which tells whether its session was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True


class Decisions:
    """Locked decisions as the test decides them: every attempt settled, unless it is `stuck`."""

    def __init__(self) -> None:
        self.batches: list[list[Settle]] = []
        self.stuck: set[int] = set()
        self.closed = False

    async def run(self, steps: list[Settle]) -> list[Any]:
        """Keep the batch and answer it."""
        await trio.lowlevel.checkpoint()
        assert len({step.intent_id for step in steps}) == len(steps) <= BATCH_MAX
        self.batches.append(steps)
        return [
            Lost("internal_error") if int.from_bytes(step.attempt_id) in self.stuck else None
            for step in steps
        ]

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True

    @property
    def steps(self) -> list[Settle]:
        """Every step so far, in order."""
        return [step for batch in self.batches for step in batch]


@attrs.define
class Held:
    """A responsibility with committers of the test's."""

    lease: Lease = LEASE
    outcomes: ClosedOutcomes = attrs.field(factory=ClosedOutcomes)
    decisions: Decisions = attrs.field(factory=Decisions)
    ids: UUID7Source = attrs.field(factory=lambda: UUID7Source(lambda: NOW_US, bytes))

    @property
    def switch(self) -> str:
        """The owner's name."""
        return self.lease.switch

    def outcome_committer(self) -> ClosedOutcomes:
        """Commit 2."""
        return self.outcomes

    def decision_committer(self) -> Decisions:
        """Locked decisions."""
        return self.decisions


def attempt(number: int, *, intent: int | None = None, **changes: Any) -> OpenAttempt:
    """An open attempt, by default of an intent of its own."""
    fields: dict[str, Any] = {
        "intent_id": (number if intent is None else intent).to_bytes(16),
        "attempt_id": number.to_bytes(16),
        "transaction_id": (10_000 + number).to_bytes(16),
        "request_id": b"R" * 16,
        "amount_minor": 2499,
        "currency": "usd",
        "network": "vsim",
        "acquirer_id": "400001",
        "mti": "0200",
        "stan": f"{number:06d}",
        "rrn": f"0{number:011d}",
        "de7": "0115080000",
        "epoch": 3,
        "deadline_at_us": NOW_US,
    }
    return OpenAttempt(**fields | changes)


def spare(network: str, attempt_id: bytes) -> Spare:
    """Numbers for a message."""
    return Spare(attempt_id, network, "400001", "000042", "0102030405", "0ABCDEFGHIJK", NOW_US)


def recovery(ledger: Ledger) -> Recovery:
    """Recovery that knows one network."""
    made = Recovery(ledger, batch_max=BATCH_MAX, now_us=lambda: NOW_US, steady_us=lambda: NOW_US)  # type: ignore[arg-type]
    made.equip({"vsim": RULES}, spare)
    return made


async def recovered(ledger: Ledger, held: Held) -> int:
    """Run recovery."""
    return await recovery(ledger).settle(held)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1, PAGE_ROWS - 1, PAGE_ROWS, PAGE_ROWS + 1, 2 * PAGE_ROWS])
async def test_every_open_charge_becomes_unknown_once(count: int) -> None:
    """Over full, short and empty pages; the mark ends at the last of them."""
    ledger, held = Ledger([attempt(number) for number in range(1, count + 1)]), Held()
    assert await recovered(ledger, held) == count
    outcomes = held.outcomes
    assert [int.from_bytes(row.attempt_id) for row in outcomes.rows] == list(range(1, count + 1))
    assert {(row.phase, row.result, row.actor) for row in outcomes.rows} <= {
        (1, "unknown", "recovery")
    }
    assert len(outcomes.batches) == math.ceil(count / PAGE_ROWS)
    assert ledger.mark == (uuid_(count.to_bytes(16)) if count else bytes(16))
    assert held.decisions.batches == []
    assert outcomes.closed
    assert held.decisions.closed


async def test_a_charge_is_asked_about_at_once_and_as_long_as_its_network_is() -> None:
    """One of a network that the settings know no more waits for nothing."""
    held = Held()
    await recovered(Ledger([attempt(1), attempt(2, network="gone")]), held)
    windows = [(row.verify_at_us, row.verify_until_us) for row in held.outcomes.rows]
    assert windows == [(NOW_US, RULES.doubt.open(NOW_US).ends_at_us), (NOW_US, NOW_US)]


OTHERS = [
    attempt(1, type="verification", mti="0100"),
    attempt(2, type="refund"),
    attempt(3, kind="inquiry", mti="0600"),
    attempt(4, type="cancel", mti="0400"),
    attempt(5, type="refund", kind="inquiry", mti="0600"),
]


async def test_all_else_is_decided_as_a_time_out_is() -> None:
    """Verifications, refunds, cancels, inquiries, each by a step of its own, in bounded batches."""
    ledger, held = Ledger([attempt(6), *OTHERS]), Held()
    ledger.attempts.sort(key=lambda each: each.attempt_id)
    assert await recovered(ledger, held) == 6
    assert [len(batch) for batch in held.decisions.batches] == [BATCH_MAX, 1]
    steps = held.decisions.steps
    assert [step.attempt_id for step in steps] == [each.attempt_id for each in OTHERS]
    assert {(step.finding.result, step.context.actor) for step in steps} == {
        ("unknown", "recovery")
    }
    assert [len(batch) for batch in held.outcomes.batches] == [1]
    assert ledger.mark == uuid_((6).to_bytes(16))


async def test_only_what_is_followed_by_a_message_gets_numbers() -> None:
    """The reversal behind a cancel's request; ids are the responsibility's own, each used once."""
    held = Held()
    await recovered(Ledger(OTHERS), held)
    stans = [step.context.spare.stan for step in held.decisions.steps]
    assert stans == ["", "", "", "000042", ""]
    ids = [step.context.spare.attempt_id for step in held.decisions.steps]
    assert ids == sorted(set(ids))
    assert held.ids.next() > ids[-1]


async def test_a_cancel_waits_for_numbers(autojump_clock: trio.testing.MockClock) -> None:
    """A block of STANs that ran out under load is soon followed by another."""
    held, asked = Held(), 0

    def scarce(network: str, attempt_id: bytes) -> Spare:
        nonlocal asked
        asked += 1
        if asked < 4:
            raise NumbersExhaustedError
        return spare(network, attempt_id)

    made = recovery(Ledger([OTHERS[3]]))
    made.equip({"vsim": RULES}, scarce)
    await made.settle(held)  # type: ignore[arg-type]
    assert asked == 4
    assert held.decisions.steps[0].context.spare.stan == "000042"


async def test_captures_in_store_and_forward_are_put_in_doubt() -> None:
    """Whatever the mark is, page by page; they do not hold it back."""
    captures = [attempt(number, type="capture", mti="0220") for number in range(1, PAGE_ROWS + 2)]
    ledger, held = Ledger([attempt(PAGE_ROWS + 5)], captures), Held()
    held.decisions.stuck = {3}
    assert await recovered(ledger, held) == PAGE_ROWS + 2
    assert [step.attempt_id for step in held.decisions.steps] == [c.attempt_id for c in captures]
    assert ledger.mark == uuid_((PAGE_ROWS + 5).to_bytes(16))


async def test_attempts_of_a_network_that_is_gone_are_left() -> None:
    """Nobody knows its rules; the switch starts all the same, and the mark stays at them."""
    ledger, held = Ledger([attempt(2, type="refund", network="gone"), attempt(3)]), Held()
    with capture_logs() as logs:
        assert await recovered(ledger, held) == 2
    assert [line["attempts"] for line in logs if line["event"] == "recovery_left_attempts"] == [1]
    assert held.decisions.batches == []
    assert ledger.mark == uuid_((2).to_bytes(16))


async def test_nothing_is_settled_before_there_are_rules(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A takeover in the first moments waits until the networks are known."""
    ledger, held = Ledger([attempt(1)]), Held()
    made = Recovery(ledger, batch_max=4, now_us=lambda: NOW_US, steady_us=lambda: NOW_US)  # type: ignore[arg-type]
    with trio.move_on_after(5) as waiting:
        await made.settle(held)  # type: ignore[arg-type]
    assert waiting.cancelled_caught
    assert ledger.ran == []
    made.equip({"vsim": RULES}, spare)
    assert await made.settle(held) == 1  # type: ignore[arg-type]


async def test_attempts_of_one_intent_are_settled_one_after_the_other() -> None:
    """A commit holds an intent once."""
    held = Held()
    await recovered(Ledger([attempt(1), attempt(2, intent=1), attempt(3)]), held)
    assert [
        [int.from_bytes(row.attempt_id) for row in batch] for batch in held.outcomes.batches
    ] == [[1, 3], [2]]


async def test_recovery_reads_from_the_mark_of_the_lease() -> None:
    """What lies below has an outcome by the word of an earlier start."""
    held = Held(Lease("switch-0", LEASE.epoch, (2).to_bytes(16)))
    assert await recovered(Ledger([attempt(1), attempt(2), attempt(3)]), held) == 2


async def test_the_mark_moves_only_after_the_outcomes_are_durable() -> None:
    """Recovery that fails half-way is begun again from the old mark; its sessions are closed."""
    ledger, held = Ledger([attempt(1)]), Held()
    held.outcomes.error = DatabaseError("denied", sqlstate="42501")
    with pytest.raises(DatabaseError):
        await recovered(ledger, held)
    assert ledger.ran == ["open_attempts"]
    assert held.outcomes.closed
    assert held.decisions.closed


async def test_the_mark_stays_at_what_could_not_be_settled() -> None:
    """Somebody has decided the intent, or nobody can from here: the next recovery looks again."""
    ledger, held = Ledger([attempt(number) for number in range(1, 9)]), Held()
    ledger.attempts[1] = attempt(2, type="refund")
    held.outcomes.moved_on = {5, 3, 7}
    assert await recovered(ledger, held) == 8
    assert ledger.mark == uuid_((3).to_bytes(16))
    held.decisions.stuck = {2}
    await recovered(ledger, held)
    assert ledger.mark == uuid_((2).to_bytes(16))


async def test_a_switch_that_was_overtaken_stops() -> None:
    """A newer epoch means another process: this one must not open its intake."""
    ledger = Ledger([attempt(1)])
    ledger.epoch = LEASE.epoch + 1
    with pytest.raises(LeaseLostError):
        await recovered(ledger, Held())


async def test_the_attempt_at_the_mark_is_recovered() -> None:
    """Heartbeats leave the mark on the lowest open attempt itself."""
    held = Held(Lease("switch-0", LEASE.epoch, (2).to_bytes(16)))
    await recovered(Ledger([attempt(1), attempt(2), attempt(3)]), held)
    assert [int.from_bytes(row.attempt_id) for row in held.outcomes.rows] == [2, 3]


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
