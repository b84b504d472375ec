"""The switch as a process among real neighbors: outcomes, duplicates, kills, restarts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from chassis.settings import Ledger, Switch
from switch.wire import Charge, Done, Refused, SwitchReply
from tests.support.postgres import LedgerDSN
from tests.support.sockets import connections
from tests.support.switch_stack import (
    APPROVED,
    DECLINED,
    LATE,
    SECOND_NETWORK,
    SILENT,
    SLOW,
    WITHIN_S,
    Acquirer,
    open_switch_stack,
)

# Time enough for many charges to be under way at once.
LONG = {"response_deadline_s": 1.5}


@pytest.fixture
async def acquirer(open_tmp_path: Path, fresh_ledger_dsn: LedgerDSN) -> AsyncIterator[Acquirer]:
    """A fresh stack."""
    async with open_switch_stack(open_tmp_path, fresh_ledger_dsn) as opened:
        yield opened


async def test_outcomes_of_the_test_cards(acquirer: Acquirer) -> None:
    """Approved on both networks, declined with its reason, silent as pending."""
    for number in (APPROVED, SECOND_NETWORK):
        reply = await acquirer.pay(number)
        assert isinstance(reply, Done)
        assert (reply.transaction.status, reply.transaction.response_code) == ("succeeded", "00")
    reply = await acquirer.pay(DECLINED)
    assert isinstance(reply, Done)
    assert (reply.transaction.status, reply.transaction.decline_code) == (
        "failed",
        "generic_decline",
    )
    reply = await acquirer.pay(SILENT)
    assert isinstance(reply, Done)
    assert reply.transaction.status == "pending_verification"


async def test_a_late_answer_is_adopted(acquirer: Acquirer) -> None:
    """The merchant hears pending, and the ledger says succeeded once the answer has come."""
    reply = await acquirer.pay(LATE)
    assert isinstance(reply, Done)
    assert reply.transaction.status == "pending_verification"
    await acquirer.wait_for(reply.transaction.intent_id, "succeeded")


async def charge_all(acquirer: Acquirer, charges: list[Charge]) -> list[SwitchReply]:
    """Every charge at once; the replies in their order."""
    replies: list[SwitchReply | None] = [None] * len(charges)

    async def one(place: int) -> None:
        replies[place] = await acquirer.client.call(charges[place])

    async with trio.open_nursery() as nursery:
        for place in range(len(charges)):
            nursery.start_soon(one, place)
    return [reply for reply in replies if reply is not None]


async def test_one_key_fifty_times_is_one_transaction(acquirer: Acquirer) -> None:
    """Fifty requests under one key at once, and one afterwards, hear of one transaction."""
    (of,) = await acquirer.create()
    charge = acquirer.charge_of(of)
    replies = await charge_all(acquirer, [charge] * 50)
    replies.append(await acquirer.client.call(charge))
    done = [reply for reply in replies if isinstance(reply, Done)]
    assert len(done) == 51
    assert len({reply.transaction.transaction_id for reply in done}) == 1
    assert sum(not reply.replayed for reply in done) == 1


async def test_two_charges_on_one_intent_at_once(acquirer: Acquirer) -> None:
    """Of many charges of one intent under different keys exactly one reaches the network."""
    (of,) = await acquirer.create()
    replies = await charge_all(acquirer, [acquirer.charge_of(of, SLOW) for _ in range(8)])
    done = [reply for reply in replies if isinstance(reply, Done)]
    assert len(done) == 1
    refused = {reply.code for reply in replies if isinstance(reply, Refused)}
    assert refused <= {"operation_in_progress", "operation_in_doubt"}


async def test_a_replay_needs_no_hsm(acquirer: Acquirer) -> None:
    """With the HSM dead a known key is answered and a new charge is refused, not recorded."""
    (of, other) = await acquirer.create(2)
    charge, fresh = acquirer.charge_of(of), acquirer.charge_of(other)
    assert isinstance(await acquirer.client.call(charge), Done)
    await trio.to_thread.run_sync(acquirer.stack.kill, "hsm")
    await acquirer.restart("switch")  # so that nothing is answered from memory
    reply = await acquirer.client.call(charge)
    assert isinstance(reply, Done)
    assert reply.replayed
    refused = await acquirer.client.call(fresh)
    assert isinstance(refused, Refused)
    assert refused.code == "hsm_unavailable"
    assert await acquirer.status(other.intent_id) == "created"
    await trio.to_thread.run_sync(acquirer.stack.start, "hsm")
    await acquirer.until_done(fresh)


async def test_a_switch_killed_between_the_commits(
    open_tmp_path: Path, fresh_ledger_dsn: LedgerDSN
) -> None:
    """Its attempts become unknown at the next start, and whoever asks again is told so."""
    async with open_switch_stack(open_tmp_path, fresh_ledger_dsn, network=LONG) as acquirer:
        intents = await acquirer.create(20)
        charges = [acquirer.charge_of(of, SILENT) for of in intents]
        async with trio.open_nursery() as nursery:
            for charge in charges:
                nursery.start_soon(acquirer.attempt, charge)
            await acquirer.wait_for_count(intents, "processing", 20)
            await trio.to_thread.run_sync(acquirer.stack.kill, "switch")
        await trio.to_thread.run_sync(acquirer.stack.start, "switch")
        await acquirer.wait_for_count(intents, "pending_verification", 20)
        reply = await acquirer.until_done(charges[0])
        assert (reply.replayed, reply.transaction.status) == (True, "pending_verification")


async def test_a_killed_network_leaves_unknowns_and_comes_back(
    open_tmp_path: Path, fresh_ledger_dsn: LedgerDSN
) -> None:
    """Charges in flight at a network that dies are pending; the other network goes on."""
    async with open_switch_stack(open_tmp_path, fresh_ledger_dsn, network=LONG) as acquirer:
        before = acquirer.decided("vsim")
        charges = [acquirer.charge_of(of, SILENT) for of in await acquirer.create(10)]
        replies: list[SwitchReply] = []

        async def pay() -> None:
            replies.extend(await charge_all(acquirer, charges))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pay)
            await acquirer.wait_for_decided("vsim", before + len(charges))
            await trio.to_thread.run_sync(acquirer.stack.kill, "vsim")
            assert isinstance(await acquirer.pay(SECOND_NETWORK), Done)
        assert [reply.transaction.status for reply in replies if isinstance(reply, Done)] == [
            "pending_verification"
        ] * 10
        refused = await acquirer.pay(APPROVED)
        assert refused == Refused("network_unavailable", 1)
        await trio.to_thread.run_sync(acquirer.stack.start, "vsim")
        (of,) = await acquirer.create()
        reply = await acquirer.until_done(acquirer.charge_of(of))
        assert reply.transaction.status == "succeeded"


async def test_a_silent_network_holds_at_most_its_share(
    open_tmp_path: Path, fresh_ledger_dsn: LedgerDSN
) -> None:
    """While one network answers nothing, the other's charges go through."""
    settings = Switch(credits_max=40, merchant_credits_max=40)
    async with open_switch_stack(
        open_tmp_path, fresh_ledger_dsn, switch=settings, network=LONG
    ) as acquirer:
        intents = await acquirer.create(30)
        charges = [acquirer.charge_of(of, SILENT) for of in intents]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(charge_all, acquirer, charges)
            await acquirer.wait_for_count(intents, "processing", 20)
            for _ in range(5):
                reply = await acquirer.pay(SECOND_NETWORK)
                assert isinstance(reply, Done)
                assert reply.transaction.status == "succeeded"
        statuses = [await acquirer.status(of.intent_id) for of in intents]
        assert statuses.count("pending_verification") == 20
        assert statuses.count("created") == 10


async def test_draining_answers_every_charge(acquirer: Acquirer) -> None:
    """A switch that is asked to stop while charges are in flight answers them all first."""
    charges = [acquirer.charge_of(of, SLOW) for of in await acquirer.create(30)]
    replies: list[SwitchReply] = []

    async def pay(charge: Charge) -> None:
        replies.append(await acquirer.client.call(charge))

    async with trio.open_nursery() as nursery:
        for charge in charges:
            nursery.start_soon(pay, charge)
        await acquirer.wait_for(charges[-1].intent_id, "processing")
        await trio.to_thread.run_sync(acquirer.stack.stop, "switch")
    assert [type(reply) for reply in replies] == [Done] * 30


async def test_an_outcome_that_comes_last_is_still_told(
    open_tmp_path: Path, fresh_ledger_dsn: LedgerDSN
) -> None:
    """Commit 2 that waits for a lock ends after the links have signed off, and is answered."""
    async with open_switch_stack(open_tmp_path, fresh_ledger_dsn, network=LONG) as acquirer:
        (of,) = await acquirer.create()
        replies: list[SwitchReply | None] = []

        async def pay() -> None:
            replies.append(await acquirer.attempt(acquirer.charge_of(of, SILENT)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pay)
            await acquirer.wait_for(of.intent_id, "processing")
            async with acquirer.held(of):
                nursery.start_soon(trio.to_thread.run_sync, acquirer.stack.stop, "switch")
                await acquirer.wait_for_lock()
                with trio.fail_after(WITHIN_S):
                    while connections(acquirer.stack.settings.networks["vsim"].port):
                        await trio.sleep(0.01)
                assert replies == []
        (reply,) = replies
        assert isinstance(reply, Done)
        assert reply.transaction.status == "pending_verification"


async def test_a_drain_that_cannot_end_is_left_to_recovery(
    open_tmp_path: Path, fresh_ledger_dsn: LedgerDSN
) -> None:
    """Past the network's timer and a margin the switch ends, and its next start decides."""
    settings = Switch(drain_margin_s=0.1)
    async with open_switch_stack(
        open_tmp_path, fresh_ledger_dsn, switch=settings, network=LONG
    ) as acquirer:
        (of,) = await acquirer.create()
        charge = acquirer.charge_of(of, SILENT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(acquirer.attempt, charge)
            await acquirer.wait_for(of.intent_id, "processing")
            async with acquirer.held(of):
                with trio.fail_after(WITHIN_S):
                    await trio.to_thread.run_sync(acquirer.stack.stop, "switch")
                assert await acquirer.status(of.intent_id) == "processing"
        await trio.to_thread.run_sync(acquirer.stack.start, "switch")
        await acquirer.wait_for(of.intent_id, "pending_verification")
        assert (await acquirer.until_done(charge)).replayed


async def test_months_to_come_are_made_at_the_start(
    open_tmp_path: Path, fresh_ledger_dsn: LedgerDSN
) -> None:
    """The switch makes the partitions that `months_ahead` asks for: more than the migration did."""
    settings = Ledger(months_ahead=5)
    async with open_switch_stack(open_tmp_path, fresh_ledger_dsn, ledger=settings) as acquirer:
        await acquirer.wait_for_partitions("attempts", 1 + 5 + 1)  # this month, five more, DEFAULT
