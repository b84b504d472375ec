"""Creating where a bucket is: the map is followed as often as it changes, within bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import trio
from attrs import define, field

from api.charging import Charging
from api.coalescing import Coalescer
from api.errors import Problem
from api.placing import TRIES_MAX, Creating, Placement
from api.routing import Routing
from api.shard import Shard
from ledger.errors import ConnectionLostError
from ledger.ids import UUID7Source
from ledger.records import Created, CreationVerdict, IntentToCreate, Moved
from ledger.shards.buckets import BUCKETS
from tests.support.ledger import intent
from tests.support.shards import intent_row

SHOP = b"\x07" * 16


@define
class Answer:
    """One row, as a ledger answers."""

    row: tuple[Any, ...]

    def rows(self) -> list[tuple[Any, ...]]:
        """The row."""
        return [self.row]


@define
class Directories:
    """Shard 0, whose directory puts every bucket where the next of these says."""

    owners: Iterator[int | None]
    reads: int = 0

    async def run(self, _query: object, _params: object = ()) -> Answer:
        """Answer, with an epoch that rises each time; None is a server that is away."""
        self.reads += 1
        owner = next(self.owners)
        if owner is None:
            raise ConnectionLostError("away")
        epochs = [self.reads] * BUCKETS
        return Answer(([owner] * BUCKETS, epochs, [-1] * BUCKETS, [], []))


@define
class Column:
    """A shard whose ledger gives what it is told to, and remembers what it was asked."""

    number: int
    verdict: Callable[[IntentToCreate], CreationVerdict] = lambda row: Created(
        intent_row(row.intent_id)
    )
    balance: dict[str, dict[str, int]] = field(factory=dict)
    is_away: bool = False
    asked: list[IntentToCreate] = field(factory=list)

    def shard(self) -> Shard:
        """As the api sees it."""

        def kind(ask: Any) -> Coalescer[Any, Any]:
            return Coalescer("kind", ask, queue_max=8, batch_max=8)

        async def create(rows: list[IntentToCreate]) -> list[CreationVerdict]:
            self.asked += rows
            return [self.verdict(row) for row in rows]

        async def read_balances(questions: list[object]) -> list[dict[str, dict[str, int]]]:
            return [self.balance] * len(questions)

        async def nothing(questions: list[object]) -> list[None]:
            return [None] * len(questions)

        return Shard(
            number=self.number,
            ids=UUID7Source(lambda: 1, bytes, shard=self.number),
            intents=kind(nothing),
            creations=kind(create),
            earlier=kind(nothing),
            keys=kind(nothing),
            lists=kind(nothing),
            timelines=kind(nothing),
            balances=kind(read_balances),
            charging=Charging([]),
            is_there=lambda: not self.is_away,
        )


@asynccontextmanager
async def running(
    columns: list[Column], directories: Directories
) -> AsyncIterator[tuple[Creating, Routing]]:
    """What creates and what reads over these shards, until the block ends."""
    shards = tuple(column.shard() for column in columns)
    placement = Placement(
        directories,  # type: ignore[arg-type]  # a stand-in
        is_there=shards[0].is_there,
        queue_max=8,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(placement.queries.run)
        for shard in shards:
            shard.start(nursery)
        yield Creating(shards, placement), Routing(shards, placement)
        nursery.cancel_scope.cancel()


async def created(creating: Creating) -> CreationVerdict | Problem:
    """What becomes of one intent."""
    send, receive = trio.open_memory_channel[CreationVerdict | Problem](1)

    def draw(ids: UUID7Source, epoch: int) -> IntentToCreate:
        return intent(SHOP, intent_id=ids.next(), epoch=epoch)

    creating.create(SHOP, draw, send.send_nowait)
    return await receive.receive()


async def test_a_known_map_is_not_read_again() -> None:
    """Once for the first intent; the second goes straight to the owner in the same epoch."""
    directories, columns = Directories(iter([1])), [Column(0), Column(1)]
    async with running(columns, directories) as (creating, _):
        for _ in range(2):
            assert isinstance(await created(creating), Created)
    assert (directories.reads, len(columns[0].asked)) == (1, 0)
    assert [row.epoch for row in columns[1].asked] == [1, 1]


async def test_who_has_moved_is_followed_with_an_id_of_the_new_shard() -> None:
    """The intent is drawn anew: its id must name the shard that it is created on."""
    columns = [Column(0, verdict=lambda _row: Moved()), Column(1)]
    async with running(columns, Directories(iter([0, 1]))) as (creating, _):
        assert isinstance(await created(creating), Created)
    [before], [after] = columns[0].asked, columns[1].asked
    assert (before.epoch, after.epoch) == (1, 2)
    assert before.intent_id != after.intent_id


async def test_a_map_that_never_holds_is_not_followed_for_ever() -> None:
    """However often a bucket moves under a request, that ends in `merchant_moving`."""
    columns = [Column(number, verdict=lambda _row: Moved()) for number in (0, 1)]
    directories = Directories(number % 2 for number in count())
    async with running(columns, directories) as (creating, _):
        assert await created(creating) == Problem("merchant_moving", retry_after_s=1)
    assert sum(len(column.asked) for column in columns) == TRIES_MAX


async def test_without_a_directory_nothing_is_created() -> None:
    """Nobody guesses; the next request asks again."""
    columns = [Column(0), Column(1)]
    async with running(columns, Directories(iter([None, 1]))) as (creating, _):
        assert await created(creating) == Problem("ledger_unavailable", retry_after_s=1)
        assert isinstance(await created(creating), Created)


async def test_a_directory_that_is_away_is_not_waited_for() -> None:
    """Its pool would wait for it; the next request asks again."""
    columns, directories = [Column(0, is_away=True), Column(1)], Directories(iter([1]))
    async with running(columns, directories) as (creating, _):
        assert await created(creating) == Problem("ledger_unavailable", retry_after_s=1)
        assert directories.reads == 0
        columns[0].is_away = False
        assert isinstance(await created(creating), Created)


async def balance(routing: Routing) -> dict[str, dict[str, int]] | Problem:
    """The shop's balances."""
    send, receive = trio.open_memory_channel[dict[str, dict[str, int]] | Problem](1)
    routing.read_balance((SHOP, False), send.send_nowait)
    return await receive.receive()


async def test_a_shard_that_is_away_is_left_out_if_it_never_had_the_merchant() -> None:
    """Its owner decides, as of a directory read after the question; unknown is as bad as away."""
    here, away = Column(0, balance={"usd": {"fees": 1}}), Column(1, is_away=True)
    unavailable = Problem("ledger_unavailable", retry_after_s=1)
    async with running([here, away], Directories(iter([0, 1, None]))) as (_, routing):
        assert await balance(routing) == {"usd": {"fees": 1}}
        assert await balance(routing) == unavailable
        assert await balance(routing) == unavailable
