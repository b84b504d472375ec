"""Commit 1 under races, locks, bad rows and cut connections: one winner, no lost verdict."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio

from ledger.connection import Connection
from ledger.dsn import hot_settings
from ledger.records import Replay, Verdict, Won
from tests.support.cutting_proxy import CuttingProxy
from tests.support.ledger import LIMITS, charge, kinds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ledger.charges import ChargeCommitter
    from ledger.records import ChargeToRecord
    from tests.support.ledger import LedgerHarness


async def _at_once(
    committers: list[ChargeCommitter], batches: list[list[ChargeToRecord]]
) -> list[list[Verdict | None]]:
    """Record each batch in the slow lane of some committer, all of them at once."""
    answers: list[list[Verdict | None]] = [[] for _ in batches]

    async def work(committer: ChargeCommitter, places: range) -> None:
        for place in places:
            answers[place] = await committer.record(batches[place], lane="slow")

    async with trio.open_nursery() as nursery:
        for first, committer in enumerate(committers):
            nursery.start_soon(work, committer, range(first, len(batches), len(committers)))
    return answers


async def test_fifty_requests_of_one_key_make_one_charge(ledger: LedgerHarness) -> None:
    """Through eight sessions at once, one request wins and forty-nine hear of its transaction."""
    [of] = await ledger.created()
    key, request_hash = os.urandom(16), os.urandom(16)
    batches = [[charge(of, key_digest=key, request_hash=request_hash)] for _ in range(50)]
    answers = await _at_once([ledger.charge_committer() for _ in range(8)], batches)
    verdicts = [verdict for [verdict] in answers]
    assert sorted(kinds(verdicts)) == ["Replay"] * 49 + ["Won"]
    winner = batches[[isinstance(v, Won) for v in verdicts].index(True)][0].transaction_id
    heard = {v.transaction.transaction_id for v in verdicts if isinstance(v, Replay)}
    assert heard == {winner}
    assert await ledger.count("attempts", of) == 1


async def test_two_charges_of_one_intent_make_one(ledger: LedgerHarness) -> None:
    """Different keys, same intents, two sessions: each intent is won once."""
    intents = await ledger.created(40)
    batches = [
        [charge(of) for of in intents[i : i + 10]] for _ in range(2) for i in range(0, 40, 10)
    ]
    answers = await _at_once([ledger.charge_committer() for _ in range(4)], batches)
    seen = sorted(kinds([verdict for batch in answers for verdict in batch]))
    assert seen == ["Won"] * 40 + ["operation_in_progress"] * 40
    for of in intents:
        assert await ledger.count("transactions", of) == 1


async def test_one_key_on_two_intents_at_once_is_taken_once(ledger: LedgerHarness) -> None:
    """Crossing keys over the same intents in opposite orders neither deadlocks nor doubles."""
    intents = await ledger.created(20)
    keys = [os.urandom(16) for _ in intents]
    forward = [charge(of, key_digest=key) for of, key in zip(intents, keys, strict=True)]
    crossed = [
        charge(of, key_digest=key)
        for of, key in zip(await ledger.created(20), reversed(keys), strict=True)
    ]
    answers = await _at_once([ledger.charge_committer() for _ in range(2)], [forward, crossed])
    for key in keys:
        verdicts = [
            verdict
            for batch, found in zip([forward, crossed], answers, strict=True)
            for row, verdict in zip(batch, found, strict=True)
            if row.key_digest == key
        ]
        assert sorted(kinds(verdicts)) == ["Won", "idempotency_key_reused"]


async def test_a_locked_intent_is_skipped_by_the_fast_lane_only(ledger: LedgerHarness) -> None:
    """The fast lane leaves it undecided and wins the rest; the slow lane waits and wins it."""
    locked, free = await ledger.created(2)
    batch = [charge(locked), charge(free)]
    slow = ledger.charge_committer(connect=ledger.connect_patiently)
    async with trio.open_nursery() as nursery, ledger.held(locked):
        assert kinds(await ledger.charges.record(batch, lane="fast")) == ["NoneType", "Won"]

        async def wait() -> None:
            assert kinds(await slow.record(batch[:1], lane="slow")) == ["Won"]

        nursery.start_soon(wait)
        await ledger.waiting_backends()
        assert await ledger.status(locked) == "created"
    assert await ledger.status(locked) == "processing"


async def test_a_lock_that_never_ends_costs_only_its_own_charge(ledger: LedgerHarness) -> None:
    """The slow lane decides the neighbors, and refuses the stuck one, of which nothing stands."""
    stuck, *others = await ledger.created(4)
    batch = [charge(of) for of in (*others[:1], stuck, *others[1:])]
    async with ledger.held(stuck):
        verdicts = await ledger.charges.record(batch, lane="slow")
    assert kinds(verdicts) == ["Won", "operation_in_progress", "Won", "Won"]
    assert await ledger.status(stuck) == "created"
    assert await ledger.count("transactions", stuck) == 0


@pytest.mark.parametrize("bad", [{"stan": "1234567"}, {"card_exp_month": 13}, {"rrn": "a\0b"}])
@pytest.mark.parametrize("lane", ["fast", "slow"])
async def test_a_poisoned_row_harms_only_itself(
    ledger: LedgerHarness, bad: dict[str, object], lane: str
) -> None:
    """A row that the database refuses is found by halving; nothing of it stands."""
    intents = await ledger.created(7)
    batch = [charge(of) for of in intents]
    batch[4] = charge(intents[4], **bad)
    verdicts = await ledger.charges.record(batch, lane=lane)  # type: ignore[arg-type]
    assert kinds(verdicts) == ["Won"] * 4 + ["internal_error"] + ["Won"] * 2
    assert await ledger.status(intents[4]) == "created"
    assert await ledger.count("idempotency", intents[4]) == 1, "its creation's key only"
    assert await ledger.count("attempts", intents[4]) == 0


@pytest.fixture
async def proxy(ledger: LedgerHarness) -> AsyncIterator[CuttingProxy]:
    """A wire to cut."""
    async with trio.open_nursery() as nursery:
        proxy = CuttingProxy(ledger.dsn("turnout_switch"))
        await nursery.start(proxy.run)
        yield proxy
        nursery.cancel_scope.cancel()


def _through(proxy: CuttingProxy, ledger: LedgerHarness) -> ChargeCommitter:
    async def connect() -> Connection:
        settings = hot_settings(LIMITS) | {"lock_timeout": "5s"}
        return await Connection.open(proxy.dsn, role_settings=settings, connect_timeout_s=10)

    return ledger.charge_committer(connect=connect)


@pytest.mark.parametrize("mode", ["request", "answer"])
async def test_a_wire_cut_in_the_slow_lane_ends_in_one_verdict(
    ledger: LedgerHarness, proxy: CuttingProxy, mode: str
) -> None:
    """Whether the server heard the request or its answer was lost, each charge is won once."""
    warm, *intents = await ledger.created(5)
    committer = _through(proxy, ledger)
    await committer.record([charge(warm)], lane="slow")
    proxy.mode = mode  # type: ignore[assignment]
    batch = [charge(of) for of in intents]
    verdicts = await committer.record(batch, lane="slow")
    assert proxy.cuts == 1
    assert kinds(verdicts) == ["Won"] * 4
    for of, verdict in zip(intents, verdicts, strict=True):
        assert isinstance(verdict, Won)
        assert verdict.version == 2
        assert await ledger.count("transactions", of) == 1
    await committer.aclose()


@pytest.mark.parametrize("mode", ["request", "answer"])
async def test_a_wire_cut_in_the_fast_lane_is_resolved_by_the_slow(
    ledger: LedgerHarness, proxy: CuttingProxy, mode: str
) -> None:
    """The fast lane leaves all undecided; the same rows in the slow lane are won once."""
    warm, *intents = await ledger.created(5)
    committer = _through(proxy, ledger)
    await committer.record([charge(warm)], lane="fast")
    proxy.mode = mode  # type: ignore[assignment]
    batch = [charge(of) for of in intents]
    assert await committer.record(batch, lane="fast") == [None] * 4
    assert await ledger.status(intents[0]) == ("processing" if mode == "answer" else "created")
    assert kinds(await committer.record(batch, lane="slow")) == ["Won"] * 4
    await committer.aclose()


async def test_the_verdict_outlasts_a_backend_that_goes_on_alone(
    ledger: LedgerHarness, proxy: CuttingProxy
) -> None:
    """Cut off while its statement waits, the old backend commits later; our repeat finds that."""
    warm, of = await ledger.created(2)
    committer = _through(proxy, ledger)
    await committer.record([charge(warm)], lane="slow")
    batch = [charge(of)]
    async with trio.open_nursery() as nursery, ledger.held(of):
        proxy.mode = "hang_up"

        async def record() -> None:
            assert kinds(await committer.record(batch, lane="slow")) == ["Won"]

        nursery.start_soon(record)
        await ledger.waiting_backends(2)  # the old one and the repeat
    assert proxy.cuts == 1
    assert await ledger.count("transactions", of) == 1
    [(version,)] = await ledger.rows(
        "SELECT version FROM payment_intents WHERE id = $1::uuid", of.intent_id
    )
    assert version == 2
    await committer.aclose()


async def test_a_charge_in_doubt_is_not_given_up(
    ledger: LedgerHarness, proxy: CuttingProxy
) -> None:
    """The old backend outwaits every lock time-out of the repeat: still no refusal, then won."""
    warm, of = await ledger.created(2)
    lock_timeouts = iter(["5s"])

    async def connect() -> Connection:
        impatient = hot_settings(LIMITS)
        settings = impatient | {"lock_timeout": next(lock_timeouts, impatient["lock_timeout"])}
        return await Connection.open(proxy.dsn, role_settings=settings, connect_timeout_s=10)

    committer = ledger.charge_committer(connect=connect)
    await committer.record([charge(warm)], lane="slow")
    verdicts: list[Verdict | None] = []

    async def record() -> None:
        verdicts.extend(await committer.record([charge(of)], lane="slow"))

    async with trio.open_nursery() as nursery, ledger.held(of):
        proxy.mode = "hang_up"
        nursery.start_soon(record)
        await ledger.waiting_backends(2)
        await trio.sleep(LIMITS.lock_timeout_ms / 1_000 * (LIMITS.lock_waits_max + 5))
        assert not verdicts
    assert kinds(verdicts) == ["Won"]
    assert await ledger.count("transactions", of) == 1
    await committer.aclose()


async def test_a_killed_backend_is_replaced(ledger: LedgerHarness) -> None:
    """Terminated while it waits for a lock, the session is opened anew and the charge won."""
    [of] = await ledger.created()
    committer = ledger.charge_committer(connect=ledger.connect_patiently)
    async with trio.open_nursery() as nursery, ledger.held(of):

        async def record() -> None:
            assert kinds(await committer.record([charge(of)], lane="slow")) == ["Won"]

        nursery.start_soon(record)
        [killed] = await ledger.waiting_backends()
        await ledger.superuser.script(f"SELECT pg_terminate_backend({killed})")
        while killed in (waiting := await ledger.waiting_backends()):
            await trio.sleep(0.005)
        assert waiting != [killed]
    assert await ledger.count("transactions", of) == 1
