"""Two switches on one ledger: the dead one's payments, and one that only seemed dead."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from benchmarks.witnesses import network_decisions
from chassis.mux import MuxClosedError
from chassis.settings import Ledger, Switch
from ledger.deciding.records import IntentView
from ledger.lifecycle import TRANSACTION_TERMINAL
from ledger.pgtypes import text_
from ledger.queries import Query
from ledger.records import IntentToCreate
from network_sim.journal import read_journal
from switch.service import EXIT_LEASE_LOST
from switch.wire import Done
from tests.support.postgres import LedgerDSN
from tests.support.sockets import unread_bytes
from tests.support.switch_stack import (
    SECOND_NETWORK,
    SILENT,
    SLOW,
    WITHIN_S,
    Acquirer,
    open_switch_stack,
)

# A switch is taken over 3 s after its last heartbeat: time to live, margin, the networks' 1.5 s,
# which is time enough for many charges to be under way at once.
LONG = {"response_deadline_s": 1.5}
QUICK = Switch(lease_ttl_s=1.1, lease_heartbeat_s=0.2, lease_margin_s=0.3)
OUTCOMES = Query(
    "outcomes_by_owner",
    """
    SELECT a.rrn, coalesce(o.result, ''), coalesce(o.owner, ''), coalesce(o.epoch, 0), a.epoch
    FROM attempts AS a
    LEFT JOIN outcomes AS o
        ON o.intent_id = a.intent_id AND o.attempt_id = a.id AND o.phase = 1
    WHERE a.owner = $1::text AND a.kind = 'request'
    ORDER BY a.id
    """,
)
EPOCH = Query("epoch", "SELECT epoch FROM switch_leases WHERE switch = $1::text")


async def rows(acquirer: Acquirer, query: Query, *params: bytes) -> list[tuple[Any, ...]]:
    """Ask the ledger."""
    async with acquirer.superuser() as session:
        return (await session.run(query, params)).rows()


async def taken_over(acquirer: Acquirer, epoch: int) -> None:
    """Wait until the first switch's lease has this epoch."""
    with trio.fail_after(WITHIN_S):
        while await rows(acquirer, EPOCH, text_("switch-0")) != [(epoch,)]:
            await trio.sleep(0.05)


async def test_the_payments_of_a_killed_switch(
    open_tmp_path: Path, fresh_ledger_dsn: LedgerDSN
) -> None:
    """The other one gives each a first result in its name, and serves its merchants."""
    async with open_switch_stack(
        open_tmp_path, fresh_ledger_dsn, switches=2, switch=QUICK, network=LONG
    ) as acquirer:
        intents = await acquirer.create(20)
        charges = [acquirer.charge_of(of, SILENT) for of in intents]
        async with trio.open_nursery() as nursery:
            for charge in charges:
                nursery.start_soon(acquirer.attempt, charge)
            await acquirer.wait_for_count(intents, "processing", 20)
            await trio.to_thread.run_sync(acquirer.stack.kill, "switch")
        reply = await acquirer.until_done(charges[0], switch=1)
        assert (reply.replayed, reply.transaction.status) == (True, "pending")
        assert isinstance(await acquirer.pay(switch=1), Done)
        await acquirer.wait_for_count(intents, "pending_verification", 20)
        outcomes = await rows(acquirer, OUTCOMES, text_("switch-0"))
        assert [found[1:] for found in outcomes[-20:]] == [("unknown", "switch-0", 3, 2)] * 20
        assert all(result for _, result, *_ in outcomes)
        reply = await acquirer.until_done(charges[0], switch=1)
        assert (reply.replayed, reply.transaction.status) == (True, "pending_verification")
        await trio.to_thread.run_sync(acquirer.stack.start, "switch")
        assert await rows(acquirer, EPOCH, text_("switch-0")) == [(4,)]
        await acquirer.until_done(acquirer.charge_of((await acquirer.create())[0]))
        await trio.sleep(2 * QUICK.lease_heartbeat_s)
        for place in (0, 1):  # the heir has let go, and lives on
            assert isinstance(await acquirer.pay(switch=place), Done)


async def test_a_switch_that_was_suspended_neither_sends_nor_commits(
    open_tmp_path: Path, fresh_ledger_dsn: LedgerDSN
) -> None:
    """Stopped with one payment in commit 1 and others at the network, taken over, continued.

    The commit succeeds while the process is stopped, so when it runs on it holds a payment that it
    has every right to send, but for its lease: the message is not too old.
    """
    async with open_switch_stack(
        open_tmp_path,
        fresh_ledger_dsn,
        switches=2,
        switch=QUICK,
        ledger=Ledger(lock_timeout_ms=5_000),
        network=LONG | {"max_send_age_s": 60.0},
    ) as acquirer:
        stack = acquirer.stack
        sent = [acquirer.charge_of(of, SLOW) for of in await acquirer.create(5)]
        (held,) = await acquirer.create()
        async with trio.open_nursery() as nursery:
            for charge in sent:
                nursery.start_soon(acquirer.attempt, charge)
                await acquirer.wait_for(charge.intent_id, "processing")
            async with acquirer.held(held):
                nursery.start_soon(acquirer.attempt, acquirer.charge_of(held))
                await acquirer.wait_for_lock()
                stack.signal("switch", signal.SIGSTOP)
            await acquirer.wait_for(held.intent_id, "processing")  # committed, and not sent
            await taken_over(acquirer, 3)
            for charge in (*sent, held):
                await acquirer.wait_for(charge.intent_id, "pending_verification")
            before = list(network_decisions(open_tmp_path, ["vsim", "msim"]))
            stack.signal("switch", signal.SIGCONT)
            assert await trio.to_thread.run_sync(stack.ended, "switch") == EXIT_LEASE_LOST
        assert isinstance(await acquirer.pay(switch=1), Done)  # the network works, and is asked
        after = list(network_decisions(open_tmp_path, ["vsim", "msim"]))
        outcomes = await rows(acquirer, OUTCOMES, text_("switch-0"))
        assert [found[1:] for found in outcomes[-6:]] == [("unknown", "switch-0", 3, 2)] * 6
        (rrn, *_) = outcomes[-1]
        assert len(after) == len(before) + 1
        assert rrn not in {carried.rrn for carried in after}


async def test_the_orders_of_a_killed_switch(
    open_tmp_path: Path, fresh_ledger_dsn: LedgerDSN
) -> None:
    """The network has done each, and told nobody: the other switch finds out, and does none twice.

    A capture is repeated, a refund inquired about, a cancel followed up. Whoever asks again under
    the same key, at the other switch, is told of the same transaction.
    """
    async with open_switch_stack(
        open_tmp_path,
        fresh_ledger_dsn,
        switches=2,
        switch=QUICK,
        network={
            "inquiry_times_s": (0.2, 0.5, 1.0),
            "response_deadline_s": 1.2,
            "saf_repeat_min_s": 0.3,
        },
    ) as acquirer:
        stack = acquirer.stack
        held = await acquirer.create(2, capture_method="manual")
        (paid,) = await acquirer.create()
        for of in (*held, paid):
            await acquirer.client.call(acquirer.charge_of(of, SECOND_NETWORK))
        orders = list(zip((*held, paid), ("capture", "cancel", "refund"), strict=True))
        await at_rest(acquirer, paid)
        port = stack.settings.networks["msim"].port
        stack.signal("msim", signal.SIGSTOP)
        async with trio.open_nursery() as nursery:
            for of, type_ in orders:
                unread = unread_bytes(port)
                nursery.start_soon(attempted, acquirer, of, type_)
                with trio.fail_after(WITHIN_S):
                    while unread_bytes(port) == unread:
                        await trio.sleep(0.01)
            await trio.to_thread.run_sync(stack.kill, "switch")
        stack.signal("msim", signal.SIGCONT)
        for (of, type_), status in zip(orders, ("succeeded", "canceled", "succeeded"), strict=True):
            view = await at_rest(acquirer, of)
            last = view.transactions[-1]
            assert (view.status, last.type, last.status) == (status, type_, "succeeded")
            assert len(view.transactions) == 2
            reply = await acquirer.order(of, type_, key=key_of(of), switch=1)
            assert isinstance(reply, Done)
            assert reply.replayed
            assert reply.transaction.transaction_id == last.transaction_id
        views = [await acquirer.view(of) for of, _ in orders]
        assert [view.captured_minor for view in views] == [2499, 0, 2499]
        assert [view.refunded_minor for view in views] == [0, 0, 2499]
        assert [posted(open_tmp_path, view) for view in views] == [2499, 0, 0]
        assert {a.owner for view in views for a in view.attempts} == {"switch-0"}
        assert [told(view)[1:] for view in views] == [
            [("request", "0220", "unknown", "approved")],
            [("request", "0400", "unknown", "approved"), ("request", "0420", "approved", "")],
            [
                ("completion", "0220", "approved", ""),
                ("request", "0200", "unknown", "approved"),
                ("inquiry", "0600", "approved", ""),
            ],
        ]


def key_of(of: IntentToCreate) -> bytes:
    """The idempotency key of an intent's order."""
    return of.intent_id[::-1]


def posted(folder: Path, view: IntentView) -> int:
    """What a payment's messages have moved at the network, by its own books."""
    rrns = {each.rrn for each in view.attempts}
    entries = read_journal(folder / "networks" / "msim.log")
    return sum(each.posted_change for each in entries if each.rrn in rrns)


def told(view: IntentView) -> list[tuple[str, ...]]:
    """What there is to say of a payment's messages, apart from their numbers."""
    return [(each.kind, each.mti, each.result, each.resolution) for each in view.attempts]


async def attempted(acquirer: Acquirer, of: IntentToCreate, type_: str) -> None:
    """Order something of a switch that may go away meanwhile."""
    with suppress(MuxClosedError):
        await acquirer.order(of, type_, key=key_of(of))


async def at_rest(acquirer: Acquirer, of: IntentToCreate) -> IntentView:
    """A payment once nothing is under way for it any more."""
    with trio.fail_after(WITHIN_S):
        while True:
            view = await acquirer.view(of)
            over = all(each.status in TRANSACTION_TERMINAL for each in view.transactions)
            if over and not view.saf and not view.verification:
                return view
            await trio.sleep(0.05)
