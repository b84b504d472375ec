"""Merchants and witnesses of a stack of several shards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

import trio

from benchmarks.agreement import Agreement, Told, agree, together
from benchmarks.report import WrongResultsError
from benchmarks.witnesses import attempts_held, network_decisions, wait_for_rest
from benchmarks.workplace import reader_dsn
from chassis.settings import Settings
from ledger.ids import parse_id, shard_of
from stack import administration
from stack.credentials import Credentials
from stack.options import Place
from stack.temporary import TemporaryStack
from turnout_client.on_trio import TrioTurnout

TRIES_PER_SHARD: Final = 40  # merchants are spread by chance: all 64 shards within half of these
_SHOP: Final = {
    "name": "Shop of a benchmark",
    "country": "840",
    "settlement_currency": "usd",
    "mcc": "5999",
    "terminal_id": "BENCH001",
    "card_acceptor_id": None,
    "name_location": None,
    "browser_origins": (),
}


async def merchants_on_each(stack: TemporaryStack, shards: int) -> list[Credentials]:
    """A merchant for each shard, whose new payments go there; the demo shop is one of them.

    Raises:
        WrongResultsError: there is a shard that none of many merchants comes to.
    """
    if shards == 1:
        return [stack.credentials()]
    found: dict[int, Credentials] = {}
    merchant = stack.credentials()
    for _ in range(TRIES_PER_SHARD * shards):
        found.setdefault(await _shard_of_payments(merchant), merchant)
        if len(found) == shards:
            return [found[shard] for shard in range(shards)]
        merchant = await trio.to_thread.run_sync(_create, stack)
    missing = sorted(set(range(shards)) - found.keys())
    raise WrongResultsError(f"no merchant's payments go to shard {missing[0]}")


def _create(stack: TemporaryStack) -> Credentials:
    place = Place(Settings(), stack.data_dir)
    keys = administration.act("create", place, partial(administration.create, about=_SHOP))
    return Credentials(api_url=stack.endpoints.api.url, **keys)


async def _shard_of_payments(merchant: Credentials) -> int:
    async with TrioTurnout(
        merchant.publishable_key, merchant.secret_key, merchant.api_url
    ) as client:
        intent = await client.create_payment_intent(100, "usd")
    return home(intent.id)


def home(intent: str) -> int:
    """The shard of a payment, by its public id."""
    return shard_of(parse_id("pi", intent))


def interleaved(pieces: Sequence[Sequence[Any]]) -> list[Any]:
    """One of each in turn, of pieces that are as long as each other or one longer."""
    longest = max(map(len, pieces))
    return [piece[at] for at in range(longest) for piece in pieces if at < len(piece)]


async def agreement_of_shards(
    stack: TemporaryStack, shards: int, sent: int, heard: Iterable[Told], *, rest_s: float
) -> Agreement:
    """Compare the witnesses of each shard once every payment has come to rest.

    Args:
        stack: the whole of it.
        shards: how many it has.
        sent: payments, to all of them.
        heard: answers, of all of them.
        rest_s: how long to wait for the last acknowledgment of each.

    Raises:
        TimeoutError: some message was still on its way.
    """
    networks = sorted(stack.endpoints.networks)
    answers = list(heard)
    found = []
    for shard in range(shards):
        dsn = reader_dsn(stack.of_shard(shard))
        await trio.to_thread.run_sync(partial(wait_for_rest, dsn, limit_s=rest_s))
        held = await trio.to_thread.run_sync(attempts_held, dsn)
        told = [answer for answer in answers if home(answer.intent) == shard]
        found.append(
            agree(len(told), told, held, network_decisions(stack.data_dir, networks, shard))
        )
    return together(sent, found)
