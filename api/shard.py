"""One shard as the api sees it: a ledger that is asked in batches, and the switches before it.

A shard is a whole column of its own (ADR 0029): Postgres, switches, relay, stream. Only the api
and reports know that there are several. Everything that the api keeps per ledger stands here;
which shard a request goes to is the business of `api.routing`.

Reading goes through `ShardPeers.reader`, creating and looking up keys through the primary's pool,
and so do balances: they are booked by commits that a replica's reader knows nothing of in time
(`ledger.replica.freshness`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import trio
from attrs import define, field

from api.charging import Charging
from api.coalescing import Coalescer
from api.creations import create_all
from api.intent_list import ListQuery
from chassis.clock import now_us
from chassis.mux import MuxClient
from chassis.settings import Settings
from ledger.ids import UUID7Source
from ledger.intents import Intents
from ledger.postings.balances import merchant_balance
from ledger.records import (
    CreationVerdict,
    IntentPage,
    IntentReplay,
    IntentRow,
    IntentToCreate,
    Lost,
    TimelineEvent,
)
from ledger.statements import Runner
from ledger.timeline import read_timeline
from switch.wire import SwitchReply, SwitchRequest

LIST_TASKS: Final = 2  # lists and timelines are one query each; no more sessions than these

WantedIntent = tuple[bytes, bytes]  # merchant id, intent id
WantedList = tuple[bytes, bool, ListQuery]  # merchant id, mode
WantedTimeline = tuple[bytes, bytes, bool]  # merchant id, intent id, mode
WantedKey = tuple[bytes, bytes]  # merchant id, digest of the key
WantedBalance = tuple[bytes, bool]  # merchant id, mode
Sums = dict[str, dict[str, int]]  # currency → purpose of the account → minor units


@define(kw_only=True)
class ShardPeers:
    """What the api speaks to of one shard.

    Attributes:
        runner: a pool of role turnout_api on the primary.
        switches: a client for each of its switches, in the order of their indexes.
        reader: where intents, lists and timelines are read; the primary unless given.
        is_there: whether the primary can be asked at all just now; asking waits for it.
    """

    runner: Runner
    switches: list[MuxClient[SwitchRequest, SwitchReply]]
    reader: Runner | None = None
    is_there: Callable[[], bool] = lambda: True


@define
class Shard:
    """One shard.

    Attributes:
        number: from 0; the ids of its intents carry it.
        ids: new intents' ids.
        intents: reads intents by merchant and id.
        creations: creates intents.
        earlier: looks for what was created under a key, or a reference, before a bucket moved away.
        keys: says whether a key was used here, whatever for.
        lists: reads pages of one merchant's intents.
        timelines: reads what happened to one.
        balances: reads what stands on one merchant's accounts.
        charging: its switches.
        is_there: whether its ledger can be asked at all just now.
        storage_is_full: whether nothing new may be recorded.
        stream_is_behind: the same, because what was recorded has not reached the event stream.
    """

    number: int
    ids: UUID7Source
    intents: Coalescer[WantedIntent, IntentRow | None]
    creations: Coalescer[IntentToCreate, CreationVerdict]
    earlier: Coalescer[IntentToCreate, IntentReplay | Lost | None]
    keys: Coalescer[WantedKey, bool]
    lists: Coalescer[WantedList, IntentPage]
    timelines: Coalescer[WantedTimeline, list[TimelineEvent] | None]
    balances: Coalescer[WantedBalance, Sums]
    charging: Charging
    is_there: Callable[[], bool]
    storage_is_full: bool = field(default=False, init=False)
    stream_is_behind: bool = field(default=False, init=False)

    @property
    def coalescers(self) -> tuple[Coalescer[Any, Any], ...]:
        """Every kind of query."""
        return (
            self.intents,
            self.creations,
            self.earlier,
            self.keys,
            self.lists,
            self.timelines,
            self.balances,
        )

    def start(self, nursery: trio.Nursery) -> None:
        """Start the tasks that ask; they end after `close`."""
        for coalescer in self.coalescers:
            parallel = coalescer is self.lists or coalescer is self.timelines
            for _ in range(LIST_TASKS if parallel else 1):
                nursery.start_soon(coalescer.run)

    def close(self) -> None:
        """Ask nothing more."""
        for coalescer in self.coalescers:
            coalescer.close()

    def heed_storage(self, is_full: bool) -> None:  # noqa: FBT001  told by whoever watches
        """Create nothing while the disks are full; reading goes on."""
        self.storage_is_full = is_full

    def heed_stream(self, is_behind: bool) -> None:  # noqa: FBT001  told by whoever watches
        """Create nothing while the event stream is too far behind; reading goes on."""
        self.stream_is_behind = is_behind


def make_shard(number: int, settings: Settings, peers: ShardPeers) -> Shard:
    """Put one shard together; does no I/O."""
    limits = settings.api
    ledger = Intents(peers.runner, limits=settings.ledger)
    reader = peers.runner if peers.reader is None else peers.reader
    replies = Intents(reader, limits=settings.ledger)
    queue_max = limits.queue_max
    return Shard(
        number=number,
        ids=UUID7Source(now_us, secrets.token_bytes, shard=number),
        intents=Coalescer(
            "intents", replies.get_many, queue_max=queue_max, batch_max=limits.read_batch_max
        ),
        creations=Coalescer(
            "creations",
            partial(create_all, ledger),
            queue_max=queue_max,
            batch_max=limits.create_batch_max,
        ),
        earlier=Coalescer(
            "earlier", ledger.look_up, queue_max=queue_max, batch_max=limits.create_batch_max
        ),
        keys=Coalescer(
            "keys", ledger.find_keys, queue_max=queue_max, batch_max=limits.read_batch_max
        ),
        lists=Coalescer("lists", partial(_list_pages, replies), queue_max=queue_max, batch_max=1),
        timelines=Coalescer(
            "timelines", partial(_read_timelines, reader), queue_max=queue_max, batch_max=1
        ),
        balances=Coalescer(
            "balances", partial(_read_balances, peers.runner), queue_max=queue_max, batch_max=1
        ),
        charging=Charging(peers.switches),
        is_there=peers.is_there,
    )


async def _list_pages(ledger: Intents, questions: list[WantedList]) -> list[IntentPage]:
    return [
        await ledger.list_page(
            merchant_id,
            live=live,
            limit=query.limit,
            after=query.after,
            only=query.filter,
        )
        for merchant_id, live, query in questions
    ]


async def _read_timelines(
    reader: Runner, questions: list[WantedTimeline]
) -> list[list[TimelineEvent] | None]:
    return [
        await read_timeline(reader, merchant_id, intent_id, live=live)
        for merchant_id, intent_id, live in questions
    ]


async def _read_balances(reader: Runner, questions: list[WantedBalance]) -> list[Sums]:
    return [
        await merchant_balance(reader, merchant_id, live=live) for merchant_id, live in questions
    ]
