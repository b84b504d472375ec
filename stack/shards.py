"""The shards of a running stack: what `turnout shards` shows and does, and what a start sees to."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import click
import trio

from chassis.log import configure_logging
from chassis.shard_names import mark_founded, shards_in
from ledger.connection import Connection
from ledger.ids import parse_id, public_id
from ledger.merchants import MerchantError, get_merchants
from ledger.shards.buckets import bucket_of, even_moves, name_buckets, parse_buckets
from ledger.shards.directory import Directory, Fence
from ledger.shards.moving import Shards, copy_merchant, copy_merchants
from ledger.shards.steps import count_waiting, find_faults
from stack.acting import EXITS, Document, T
from stack.context import StackContext
from stack.deeds import action_document
from stack.endings import told_in_one_line
from stack.options import Place, narrowed, quiet_log
from stack.running import RunningStack, find_running, open_administration

ShardsAction = Callable[[list[Connection]], Awaitable[T]]


# ------------------------------------------------------------------------------------- at a start


async def provision_shards(context: StackContext) -> None:
    """See to it that each ledger is the shard that it is taken for, and that a move ends.

    Raises:
        ShardError: a ledger is another shard's, or merchants belong to one that is missing.
        LedgerError: a ledger refuses, or is not there.
    """
    async with _sessions(context) as sessions:
        await Shards(sessions).found()
    for shard in range(len(context.shards)):
        mark_founded(context.data_dir, shard)


async def provision_merchants(context: StackContext) -> None:
    """Have every shard know the merchants, those that a start has made among them."""
    if len(context.shards) == 1:
        return
    async with _sessions(context) as sessions:
        for session in sessions[1:]:
            await copy_merchants(sessions[0], session)


@asynccontextmanager
async def _sessions(context: StackContext) -> AsyncIterator[list[Connection]]:
    async with AsyncExitStack() as stack:
        sessions = []
        for shard in context.shards:
            session = await open_administration(shard.admin_dsn, shard.settings)
            stack.push_async_callback(session.aclose)
            sessions.append(session)
        yield sessions


# -------------------------------------------------------------------------------- while it runs


def act_on_all(command: str, place: Place, action: ShardsAction[T]) -> T:
    """Run an action on the ledgers of all shards, one session of role turnout_admin on each.

    What a user can mend is told in one line, and ends the program; as `stack.acting.act`.
    """
    with told_in_one_line(command, EXITS):
        stacks = running_shards(place)
        configure_logging(quiet_log(place.settings.log), process=command.partition(" ")[0])
        return trio.run(partial(_with_sessions, stacks, action))


def running_shards(place: Place) -> list[RunningStack]:
    """Every shard of the stack on a place, in the order of their numbers.

    Raises:
        NotRunningError: none runs there.
    """
    places = [narrowed(shard, place) for shard in range(shards_in(place.data_dir))]
    return [find_running(of.settings, of.data_dir) for of in places]


@asynccontextmanager
async def administrations(stacks: Sequence[RunningStack]) -> AsyncIterator[list[Connection]]:
    """A session of the administrator's role on each of these shards."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(one.administration()) for one in stacks]


async def _with_sessions(stacks: Sequence[RunningStack], action: ShardsAction[T]) -> T:
    async with administrations(stacks) as sessions:
        return await action(sessions)


async def tell_of_merchant(stack: RunningStack, session: Connection, merchant_id: bytes) -> None:
    """Give every other shard its copy of a merchant; before keys are, so that they work anywhere.

    Args:
        stack: of shard 0.
        session: on shard 0.
        merchant_id: whose.

    Raises:
        MerchantError: there is no such merchant.
        LedgerError: a shard cannot be reached.
    """
    others = running_shards(Place(stack.settings, stack.data_dir))[1:]
    if not others:
        return
    merchant = (await get_merchants(session, [merchant_id])).get(merchant_id)
    if merchant is None:
        raise MerchantError("there is no such merchant")
    async with administrations(others) as sessions:
        for other in sessions:
            await copy_merchant(other, merchant)


def buckets_meant(text: str) -> list[int]:
    """The buckets that a person names: a merchant's, or numbers and ranges.

    Raises:
        click.BadParameter: it is neither.
    """
    try:
        return (
            [bucket_of(parse_id("mer", text))] if text.startswith("mer_") else parse_buckets(text)
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="WHAT") from None


# ------------------------------------------------------------------------------------ the actions


async def status(sessions: list[Connection], *, merchant_id: bytes | None) -> Document:
    """Who owns how many buckets, what is on its way, what is out of order; one merchant's place."""
    shards = Shards(sessions)
    directory, fences = await shards.look()
    document = _status_document(directory, fences)
    document["moves"] = [action_document(move) for move in await shards.moves()]
    if merchant_id is not None:
        document["merchant"] = _merchant_document(directory, merchant_id)
    return document


async def move(
    sessions: list[Connection], *, buckets: list[int], to_shard: int, operator: str, note: str
) -> Document:
    """Move buckets, and whatever else is on its way, to the end.

    Raises:
        OperatorError: it cannot be done; nothing was changed.
        ShardError, DatabaseError: it was begun, and stopped halfway; the same again resumes it.
    """
    shards = Shards(sessions)
    await shards.plan(buckets, to_shard, operator=operator, note=note)
    moved = await shards.finish()
    return {"buckets": name_buckets(buckets), "to": to_shard, "moved": moved, "operator": operator}


async def resume(sessions: list[Connection]) -> Document:
    """Carry out what was planned and not finished."""
    return {"moved": await Shards(sessions).finish()}


async def spread(sessions: list[Connection], *, operator: str, note: str) -> Document:
    """Even the shards out, moving as few buckets as possible; nothing where they are even."""
    shards = Shards(sessions)
    directory, _ = await shards.look()
    owners = [
        owner if target is None else target
        for owner, target in zip(directory.shards, directory.targets, strict=True)
    ]
    moves = even_moves(owners, len(sessions))
    for to_shard, buckets in moves.items():
        await shards.plan(buckets, to_shard, operator=operator, note=note)
    moved = await shards.finish()
    return {
        "moves": [
            {"buckets": name_buckets(buckets), "to": to_shard}
            for to_shard, buckets in moves.items()
        ],
        "moved": moved,
        "operator": operator,
    }


# ---------------------------------------------------------------------------------- the documents


def _status_document(directory: Directory, fences: Sequence[Fence]) -> Document:
    owned = Counter(directory.shards)
    by_target: dict[int, list[int]] = {}
    for bucket, target in enumerate(directory.targets):
        if target is not None:
            by_target.setdefault(target, []).append(bucket)
    return {
        "shards": [
            {
                "shard": number,
                "buckets": owned[number],
                "open": sum(fence.owned),
                "named": name_buckets(
                    bucket for bucket, owner in enumerate(directory.shards) if owner == number
                ),
            }
            for number, fence in enumerate(fences)
        ],
        "moving": [
            {"buckets": name_buckets(buckets), "to": target}
            for target, buckets in sorted(by_target.items())
        ],
        "waiting": count_waiting(directory, fences),
        "faults": find_faults(directory, fences),
    }


def _merchant_document(directory: Directory, merchant_id: bytes) -> Document:
    bucket = bucket_of(merchant_id)
    return {
        "merchant": public_id("mer", merchant_id),
        "bucket": bucket,
        "shard": directory.shards[bucket],
        "moving_to": directory.targets[bucket],
        "holders": sorted(directory.holders(bucket)),
    }
