"""The rules on trying declined cards again, in real switches with a real ledger behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from chassis.settings import Switch
from switch.core.decline_memory import SCHEME_CAPS
from switch.wire import Done, Refused, SwitchReply
from tests.support.postgres import LedgerDSN
from tests.support.switch_stack import WITHIN_S, Acquirer, open_switch_stack

# Of the simulator's ranges: no listed test card, which would be exempt.
LOST = "4242424100000017"
SHORT_OF_MONEY = "4242425100000017"
LISTED_LOST = "4000000000009987"


@pytest.fixture
async def acquirer(open_tmp_path: Path, fresh_ledger_dsn: LedgerDSN) -> AsyncIterator[Acquirer]:
    """Two switches that look at each other's declines often."""
    often = Switch(declines_refresh_s=0.2)
    async with open_switch_stack(
        open_tmp_path, fresh_ledger_dsn, switches=2, switch=often
    ) as opened:
        yield opened


async def _refused(acquirer: Acquirer, number: str, *, switch: int) -> SwitchReply:
    """Charge a card until it is refused: another switch learns of its declines within seconds."""
    with trio.fail_after(WITHIN_S):
        while isinstance(reply := await acquirer.pay(number, switch=switch), Done):
            await trio.sleep(0.1)
    return reply


async def test_a_card_declined_for_good_is_not_sent_again(acquirer: Acquirer) -> None:
    """At once where it was declined, soon at the other switch, and after a restart."""
    reply = await acquirer.pay(LOST)
    assert isinstance(reply, Done)
    assert reply.transaction.decline_code == "lost_card"
    (of,) = await acquirer.create()
    assert await acquirer.client.call(acquirer.charge_of(of, LOST)) == Refused(
        "card_declined_before"
    )
    assert (await acquirer.view(of)).transactions == [], "a refusal records nothing"
    assert isinstance(await acquirer.pay(), Done), "other cards are not concerned"
    assert await _refused(acquirer, LOST, switch=1) == Refused("card_declined_before")
    await acquirer.restart("switch")
    with trio.fail_after(WITHIN_S):
        while (reply := await acquirer.pay(LOST)) == Refused("network_unavailable", 1):
            await trio.sleep(0.05)
    assert reply == Refused("card_declined_before")


async def test_a_card_is_tried_only_so_often(acquirer: Acquirer) -> None:
    """Fifteen declines that ask to try later, whichever switch heard them; then nobody tries.

    Listed test cards are exempt, or a test could be run only once in thirty days.
    """
    for _ in range(2):
        reply = await acquirer.pay(LISTED_LOST)
        assert isinstance(reply, Done)
        assert reply.transaction.decline_code == "lost_card"
    cap = SCHEME_CAPS["visa"]
    for number in range(cap):
        reply = await acquirer.pay(SHORT_OF_MONEY, switch=number % 2)
        assert isinstance(reply, Done), number
        assert reply.transaction.decline_code == "insufficient_funds"
    for switch in (0, 1):
        assert await _refused(acquirer, SHORT_OF_MONEY, switch=switch) == Refused(
            "retry_limit_reached"
        )
