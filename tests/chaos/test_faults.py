"""Faults short of death: sessions cut inside a commit, an HSM that stalls, a silent network."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median

import pytest
import trio

from benchmarks.agreement import Told, agree
from stack.temporary import TemporaryStack
from tests.support.whole_stack import QUIET, SLOW, WholeStack, running_in_thread
from turnout_client import Card, PaymentIntent, UnavailableError

WAITERS_SQL = """
SELECT count(pg_terminate_backend(pid))
FROM (SELECT DISTINCT pid FROM pg_locks WHERE relation = %s::regclass AND NOT granted) AS waiting
"""
GOOD = "4242424242424242"
CARD = Card(number=GOOD, exp_month=12, exp_year=2030, cvc="123")
HSM_ANSWERS_WITHIN_S = 2.0 + 1.0  # hsm.open_deadline_s, and the way there and back
RESPONSE_DEADLINE_S = 2.0  # of the sandbox networks
USUAL_S = 0.5  # for a payment on a machine that others use too
ASKED_IN_VAIN_SQL = """
SELECT count(*) FROM attempts AS a
JOIN outcomes AS o ON o.intent_id = a.intent_id AND o.attempt_id = a.id
WHERE a.kind = 'inquiry' AND o.result = 'unknown'
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[TemporaryStack]:
    """One stack for every fault; its api asks for merchants again and again, also in a stall."""
    with running_in_thread({**QUIET, "api.merchant_cache_s": "0.5"}) as stack:
        yield stack


def _cut_inside(whole: WholeStack, table: str, times: int) -> int:
    """Hold up inserts into a table, and end the sessions that wait there; how many."""
    cut = 0
    with whole.superuser() as session:
        for _ in range(times):
            with session.transaction():
                session.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())
                found = 0
                while not found:
                    row = session.execute(WAITERS_SQL, [table]).fetchone()
                    assert row is not None
                    (found,) = row
            cut += found
    return cut


@pytest.mark.parametrize("table", ["attempts", "outcomes"])
async def test_sessions_cut_inside_a_commit(whole: WholeStack, table: str) -> None:
    """Commit 1 writes attempts, commit 2 outcomes: cut there, they are repeated and stand once."""
    async with whole.load(100.0) as load:
        await trio.sleep(0.3)
        with trio.fail_after(20):
            cut = await trio.to_thread.run_sync(_cut_inside, whole, table, 5)
    assert cut >= 5
    assert load.statuses().keys() == {"succeeded", "failed"}
    await whole.prove()
    assert not await whole.doubts(load)


async def test_the_proof_names_what_is_wrong(whole: WholeStack) -> None:
    """Whichever witness is tampered with, the payment is named: the control of every other test."""
    paid = [await whole.pay(GOOD) for _ in range(3)]
    await whole.prove()
    victim = paid[1].payment_intent
    held, carried = await trio.to_thread.run_sync(whole.witnesses)
    (attempt,) = [row for row in held if row.intent == victim]
    key = (attempt.network, attempt.rrn)
    compare = partial(agree, len(paid))

    short = [row for row in carried if (row.network, row.rrn) != key]
    assert [row["payment"] for row in compare(whole.told, held, short).disagree] == [victim]
    twice = [row for row in carried if (row.network, row.rrn) == key]
    assert compare(whole.told, held, carried + twice).duplicated == (" ".join(key),)
    absent = [row for row in held if row.intent != victim]
    assert compare(whole.told, absent, carried).lost == (victim, " ".join(key))
    lied = [
        Told(t.intent, t.transaction, "failed") if t.intent == victim else t for t in whole.told
    ]
    assert [row["payment"] for row in compare(lied, held, carried).disagree] == [victim]


async def test_a_stalled_hsm_costs_a_503_and_nothing_else(whole: WholeStack) -> None:
    """New cards are refused in time and unrecorded, known keys answered; then all goes on."""
    paid = await whole.shop.create_payment_intent(2_499, "usd")
    sealed = await whole.shop.seal(paid, CARD)
    first = await whole.shop.charge(paid, sealed, idempotency_key="paid before the stall")
    intents = [await whole.shop.create_payment_intent(2_499, "usd") for _ in range(20)]
    refused: list[float] = []
    async with whole.impatient() as hasty:

        async def be_refused(intent: PaymentIntent) -> None:
            ciphertext = await whole.shop.seal(intent, CARD)
            began = trio.current_time()
            with pytest.raises(UnavailableError) as caught:
                await hasty.charge(intent, ciphertext)
            refused.append(trio.current_time() - began)
            assert (caught.value.code, caught.value.retry_after_s) == ("hsm_unavailable", 1.0)

        async with whole.load(50.0) as load:
            await trio.sleep(0.2)
            with whole.stopped("hsm-0"):
                async with trio.open_nursery() as nursery:
                    for intent in intents:
                        nursery.start_soon(be_refused, intent)
                again = await hasty.charge(paid, sealed, idempotency_key="paid before the stall")
                for intent in intents:
                    assert (await whole.shop.retrieve(intent)).status == "created"
            await whole.pay_well(within_s=20)
    assert (again.id, again.status) == (first.id, "succeeded")
    assert max(refused) < HSM_ANSWERS_WITHIN_S
    assert load.statuses().keys() == {"succeeded", "failed"}
    await whole.prove()
    assert not await whole.doubts(load)


async def test_a_silent_network_does_not_hold_up_the_other(whole: WholeStack) -> None:
    """One network's charges become pending and are adopted once it speaks; the other's go on.

    It is silent for so long that inquiries about them have been asked in vain.
    """
    waits: list[float] = []

    async def pay_by_the_other(number: int) -> None:
        began = trio.current_time()
        assert (await whole.pay(f"55555500{number:08d}")).status == "succeeded"
        waits.append(trio.current_time() - began)

    with whole.stopped("vsim"):
        async with trio.open_nursery() as others, whole.load(20.0, lambda _: SLOW) as load:
            for number in range(100):
                others.start_soon(pay_by_the_other, 90_000_000 + number)
                await trio.sleep(0.02)
        assert load.statuses().keys() == {"pending_verification"}
        with trio.fail_after(20):
            while await trio.to_thread.run_sync(whole.query, ASKED_IN_VAIN_SQL) == [(0,)]:
                await trio.sleep(0.05)
    assert median(waits) < USUAL_S
    assert max(waits) < RESPONSE_DEADLINE_S  # none of them waited for the silent one
    with trio.fail_after(20):
        while await whole.doubts(load):
            await trio.sleep(0.05)
    for answer in load.told:
        assert (await whole.shop.retrieve(answer.intent)).status == "succeeded"
    await whole.prove()
