"""Decisions whose transaction could not run, or may have been committed: decided anew, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest
import trio

from ledger.connection import Connection
from ledger.deciding.records import IntentView
from ledger.deciding.views import read_views
from ledger.dsn import hot_settings
from tests.support.cutting_proxy import CuttingProxy, Mode
from tests.support.deciding import Decide, acknowledge_reversal, adopt, key_of, refund, reverse
from tests.support.ledger import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ledger.deciding.committer import DecisionCommitter
    from ledger.records import ChargeToRecord
    from tests.support.ledger import LedgerHarness

CUTS = [mode for mode in get_args(Mode) if mode != "pass"]


@pytest.fixture
async def proxy(ledger: LedgerHarness, nursery: trio.Nursery) -> CuttingProxy:
    """A wire to the database that can be cut."""
    made = CuttingProxy(ledger.dsn("turnout_switch"))
    await nursery.start(made.run)
    return made


def _through(proxy: CuttingProxy, ledger: LedgerHarness) -> DecisionCommitter:
    async def connect() -> Connection:
        # A server that does not learn of the cut keeps the locks until it ends the session.
        settings = hot_settings(LIMITS) | {
            "lock_timeout": "5s",
            "idle_in_transaction_session_timeout": "200ms",
        }
        return await Connection.open(proxy.dsn, role_settings=settings, connect_timeout_s=10)

    return ledger.decision_committer(connect=connect)


async def _view(ledger: LedgerHarness, row: ChargeToRecord) -> IntentView:
    return (await read_views(ledger.superuser, [row.intent_id]))[row.intent_id]


def _cut_once(proxy: CuttingProxy, mode: Mode) -> Callable[[], None]:
    """Have the next exchange cut, the first time this is called."""
    left = [mode]

    def cut() -> None:
        if left:
            proxy.mode = left.pop()

    return cut


async def _steps(
    ledger: LedgerHarness, before: Callable[[], None] = lambda: None
) -> tuple[list[ChargeToRecord], list[Decide], list[str]]:
    """One step of each kind on an intent of its own; what each answers."""
    doubts = await ledger.charged(3, result="unknown")
    [paid] = await ledger.charged()
    message, closing = reverse(doubts[2])
    await ledger.decisions.run([Decide(doubts[2].intent_id, closing)])
    key = key_of(paid.merchant_id)
    steps = [
        Decide(doubts[0].intent_id, adopt(doubts[0]), before=before),
        Decide(doubts[1].intent_id, reverse(doubts[1])[1]),
        Decide(doubts[2].intent_id, acknowledge_reversal(message, doubts[2])),
        Decide(paid.intent_id, refund(500, key=key)[1], key=(key.merchant_id, key.key_digest)),
    ]
    answers = ["adopted", "reversing", "reversed", "refunding"]
    return [*doubts, paid], steps, answers


async def _assert_done_once(ledger: LedgerHarness, rows: Sequence[ChargeToRecord]) -> None:
    views = [await _view(ledger, row) for row in rows]
    assert [view.version for view in views] == [4, 4, 5, 4]
    assert [view.status for view in views] == [
        "succeeded",
        "pending_verification",
        "failed",
        "succeeded",
    ]
    assert [len(view.attempts) for view in views] == [1, 2, 2, 2]
    assert [len(view.saf) for view in views] == [0, 1, 0, 0]
    assert [await ledger.count("outcomes", row) for row in rows] == [2, 1, 3, 1]
    assert views[3].refund_pending_minor == 500
    assert await ledger.count("idempotency", rows[3]) == 3  # intent, charge, refund


@pytest.mark.parametrize("mode", CUTS)
async def test_a_wire_cut_while_looking(
    ledger: LedgerHarness, proxy: CuttingProxy, mode: Mode
) -> None:
    """Before, after or during the first round trip nothing was written: all is decided anew."""
    committer = _through(proxy, ledger)
    await _warm(ledger, committer)
    rows, steps, answers = await _steps(ledger)
    proxy.mode = mode
    assert await committer.run(steps) == answers
    assert proxy.cuts == 1
    await _assert_done_once(ledger, rows)
    await committer.aclose()


@pytest.mark.parametrize("mode", CUTS)
async def test_a_wire_cut_while_committing(
    ledger: LedgerHarness, proxy: CuttingProxy, mode: Mode
) -> None:
    """Before, after or during the commit: each step is done once, and says so."""
    committer = _through(proxy, ledger)
    await _warm(ledger, committer)
    rows, steps, answers = await _steps(ledger, before=_cut_once(proxy, mode))
    assert await committer.run(steps) == answers
    assert proxy.cuts == 1
    assert [len(step.views) for step in steps] == [2] * 4
    await _assert_done_once(ledger, rows)
    await committer.aclose()


async def _warm(ledger: LedgerHarness, committer: DecisionCommitter) -> None:
    """Open the session, so that the cut meets a transaction and not a log-in."""
    [row] = await ledger.charged()
    await committer.run([Decide(row.intent_id, refund(1)[1])])


async def test_the_decision_outlasts_a_backend_that_goes_on_alone(
    ledger: LedgerHarness, proxy: CuttingProxy
) -> None:
    """Cut off in its commit, which waits: the repeat waits for it, then finds itself done."""
    committer = _through(proxy, ledger)
    await _warm(ledger, committer)
    [row] = await ledger.charged()
    step = Decide(row.intent_id, refund(500)[1], before=_cut_once(proxy, "hang_up"))
    blocker = await ledger.session("superuser")
    await blocker.script("BEGIN; LOCK TABLE attempts IN SHARE MODE")
    answers: list[Any] = []

    async def run() -> None:
        answers.extend(await committer.run([step]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await ledger.waiting_backends(2)  # the old one at its write, the repeat at the intent
        assert not answers
        await blocker.script("ROLLBACK")
    assert answers == ["refunding"]
    assert [len(view.transactions) for view in step.views if view] == [1, 2]
    assert (await _view(ledger, row)).refund_pending_minor == 500
    await committer.aclose()


async def test_a_request_in_doubt_is_not_given_up(
    ledger: LedgerHarness, proxy: CuttingProxy
) -> None:
    """While its first run may still be committed, a merchant's request is not refused."""
    impatient = hot_settings(LIMITS)
    lock_timeouts = iter(["5s"])

    async def connect() -> Connection:
        timeout = next(lock_timeouts, impatient["lock_timeout"])
        return await Connection.open(
            proxy.dsn, role_settings=impatient | {"lock_timeout": timeout}, connect_timeout_s=10
        )

    committer = ledger.decision_committer(connect=connect)
    await _warm(ledger, committer)
    [row] = await ledger.charged()
    key = key_of(row.merchant_id)
    step = Decide(
        row.intent_id,
        refund(500, key=key)[1],
        key=(key.merchant_id, key.key_digest),
        before=_cut_once(proxy, "hang_up"),
    )
    blocker = await ledger.session("superuser")
    await blocker.script("BEGIN; LOCK TABLE attempts IN SHARE MODE")
    answers: list[Any] = []

    async def run() -> None:
        answers.extend(await committer.run([step]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await ledger.waiting_backends(2)
        await trio.sleep(LIMITS.lock_timeout_ms / 1_000 * (LIMITS.lock_waits_max + 4))
        assert not answers
        await blocker.script("ROLLBACK")
    assert answers == ["refunding"]
    assert (await _view(ledger, row)).refund_pending_minor == 500
    await committer.aclose()


async def test_a_killed_backend_is_replaced(ledger: LedgerHarness) -> None:
    """Terminated at its write, the session is opened anew and the step decided."""
    [row] = await ledger.charged()
    committer = ledger.decision_committer(connect=ledger.connect_patiently)
    blocker = await ledger.session("superuser")
    await blocker.script("BEGIN; LOCK TABLE attempts IN SHARE MODE")
    answers: list[Any] = []

    async def run() -> None:
        answers.extend(await committer.run([Decide(row.intent_id, refund(500)[1])]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        [killed] = await ledger.waiting_backends()
        await ledger.superuser.script(f"SELECT pg_terminate_backend({killed})")
        while killed in await ledger.waiting_backends():
            await trio.sleep(0.005)
        await blocker.script("ROLLBACK")
    assert answers == ["refunding"]
    assert (await _view(ledger, row)).refund_pending_minor == 500


async def test_a_statement_out_of_time_is_repeated(ledger: LedgerHarness) -> None:
    """57014 at a write rolls everything back; the repeat is decided on a fresh view."""
    [row] = await ledger.charged()
    timeouts = iter(["50ms"])

    async def connect() -> Connection:
        settings = {"statement_timeout": next(timeouts, "5s"), "lock_timeout": "5s"}
        return await ledger.session("turnout_switch", **settings)

    committer = ledger.decision_committer(connect=connect)
    step = Decide(row.intent_id, refund(500)[1])
    blocker = await ledger.session("superuser")
    await blocker.script("BEGIN; LOCK TABLE attempts IN SHARE MODE")

    async def run() -> None:
        assert await committer.run([step]) == ["refunding"]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        with trio.fail_after(5):
            while len(step.views) < 2:
                await trio.sleep(0.005)
        await blocker.script("ROLLBACK")
    lane = committer.lanes["slow"]
    assert lane.repeats >= 1
    assert (await _view(ledger, row)).version == 4


async def test_a_deadlock_is_repeated(ledger: LedgerHarness) -> None:
    """40P01: somebody locked the advice first and wants the intent; one of the two gives way."""
    [row] = await ledger.charged(result="unknown")
    message, closing = reverse(row)
    await ledger.decisions.run([Decide(row.intent_id, closing)])
    step = Decide(row.intent_id, acknowledge_reversal(message, row))
    committer = ledger.decision_committer(connect=ledger.connect_patiently)
    session = await ledger.session("superuser", lock_timeout="5s", deadlock_timeout="5s")
    await session.script(
        "BEGIN; UPDATE store_and_forward SET repeats = 1"
        f" WHERE attempt_id = '{message.attempt_id.hex()}'"
    )
    answers: list[Any] = []

    async def run() -> None:
        answers.extend(await committer.run([step]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await ledger.waiting_backends()
        # The switch's session finds the deadlock after a second, and is the one that fails.
        await session.script(
            f"UPDATE payment_intents SET reversing = true WHERE id = '{row.intent_id.hex()}'"
        )
        await session.script("COMMIT")
    assert answers == ["reversed"]
    assert committer.lanes["slow"].repeats == 1


async def test_canceling_the_task_leaves_no_lock_behind(ledger: LedgerHarness) -> None:
    """Canceled between look and write, the transaction goes through to its end."""
    [row] = await ledger.charged()
    with trio.CancelScope() as scope:
        step = Decide(row.intent_id, refund(500)[1], before=scope.cancel)
        await ledger.decisions.run([step])
    view = await _view(ledger, row)
    assert (view.version, view.refund_pending_minor) == (4, 500)
    await ledger.rows(
        "SELECT 1 FROM payment_intents WHERE id = $1::uuid FOR UPDATE NOWAIT", row.intent_id
    )
