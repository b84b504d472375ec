"""Second attempts, with real networks: over another one, at the same one, and never in doubt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from ledger.deciding.records import IntentView
from ledger.records import IntentToCreate
from switch.wire import Done, SwitchReply
from tests.support.postgres import LedgerDSN
from tests.support.sockets import left_behind
from tests.support.switch_stack import (
    APPROVED,
    SECOND_NETWORK,
    WITHIN_S,
    Acquirer,
    open_switch_stack,
)

ISSUER_AWAY = "4000000000000119"
BOTH = {
    "bins": ("4", "5"),  # msim comes first, by its name
    "max_send_age_s": 20.0,
    "inquiry_times_s": (0.2, 0.5),
    "inquiry_window_s": 2.0,
}


@pytest.fixture
async def acquirer(open_tmp_path: Path, fresh_ledger_dsn: LedgerDSN) -> AsyncIterator[Acquirer]:
    """Two networks that both take every card."""
    async with open_switch_stack(open_tmp_path, fresh_ledger_dsn, network=BOTH) as opened:
        yield opened


def told(view: IntentView) -> list[tuple[str, str, str, str]]:
    """What there is to say of a payment's messages, apart from their numbers."""
    return [(each.network, each.mti, each.kind, each.result) for each in view.attempts]


async def cut_off(acquirer: Acquirer, of: IntentToCreate) -> Done:
    """Charge, and have the network die when a slot was taken there and nothing is committed."""
    replies: list[SwitchReply] = []

    async def pay() -> None:
        replies.append(await acquirer.client.call(acquirer.charge_of(of)))

    async with trio.open_nursery() as nursery, acquirer.held(of):
        nursery.start_soon(pay)
        await acquirer.wait_for_lock()
        await trio.to_thread.run_sync(acquirer.stack.kill, "msim")
        with trio.fail_after(WITHIN_S):
            while left_behind(acquirer.stack.settings.networks["msim"].port):
                await trio.sleep(0.01)  # until the switch knows
    (reply,) = replies
    assert isinstance(reply, Done)
    return reply


async def test_a_message_that_cannot_leave_goes_over_another_network(acquirer: Acquirer) -> None:
    """It stands in the ledger and no byte of it has left, so the other network is asked."""
    (of,) = await acquirer.create()
    reply = await cut_off(acquirer, of)
    assert reply.transaction.status == "succeeded"
    view = await acquirer.view(of)
    assert told(view) == [
        ("msim", "0100", "request", "not_sent"),
        ("vsim", "0200", "request", "approved"),
    ]
    assert len({(each.stan, each.rrn) for each in view.attempts}) == 2
    assert (view.status, view.captured_minor, view.charge_count) == ("succeeded", 2499, 1)


async def test_what_only_one_network_can_hold_goes_over_no_other(acquirer: Acquirer) -> None:
    """A network of single messages would capture at once what is to be captured later."""
    (of,) = await acquirer.create(capture_method="manual")
    reply = await cut_off(acquirer, of)
    assert (reply.transaction.status, reply.transaction.decline_code) == (
        "failed",
        "network_unavailable",
    )
    assert told(await acquirer.view(of)) == [("msim", "0100", "request", "not_sent")]


async def test_an_issuer_that_is_away_is_asked_once_more(acquirer: Acquirer) -> None:
    """91 twice, under numbers of their own; nothing is reversed, for nothing was moved."""
    (of,) = await acquirer.create()
    reply = await acquirer.client.call(acquirer.charge_of(of, ISSUER_AWAY))
    assert isinstance(reply, Done)
    assert reply.transaction.decline_code == "issuer_unavailable"
    view = await acquirer.view(of)
    assert told(view) == [("msim", "0100", "request", "declined")] * 2
    assert len({(each.stan, each.rrn) for each in view.attempts}) == 2
    assert (view.saf, view.verification) == ([], [])


async def test_networks_take_each_others_cards_while_one_is_away(acquirer: Acquirer) -> None:
    """Charges go on: what was under way is in doubt and is cleared up, the rest succeeds."""
    intents = await acquirer.create(60)
    replies: list[SwitchReply] = []

    async def pay(number: int) -> None:
        await trio.sleep(number / 60)
        card = (APPROVED, SECOND_NETWORK)[number % 2]
        replies.append(await acquirer.client.call(acquirer.charge_of(intents[number], card)))

    async with trio.open_nursery() as nursery:
        for number in range(len(intents)):
            nursery.start_soon(pay, number)
        await trio.sleep(0.4)
        await trio.to_thread.run_sync(acquirer.stack.kill, "msim")
    statuses = [reply.transaction.status for reply in replies if isinstance(reply, Done)]
    assert len(statuses) == len(intents)
    assert set(statuses) <= {"succeeded", "pending_verification"}
    views = [await acquirer.view(of) for of in intents]
    assert {each.network for view in views for each in view.attempts} == {"msim", "vsim"}
    await trio.to_thread.run_sync(acquirer.stack.start, "msim")
    with trio.fail_after(WITHIN_S):
        for of in intents:
            while await acquirer.status(of.intent_id) not in ("succeeded", "failed"):
                await trio.sleep(0.2)
