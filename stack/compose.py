"""The units of the stack: which processes there are, who needs whom, in which order they stop.

    postgres ──▶ schema ──┐
                          ├──▶ provision ──▶ api, shop
    hsm-0 … hsm-n ────────┤
                          ├──▶ switch-0 … switch-n
    vsim, msim ───────────┘
    schema ─────────────────▶ relay, relay-2, postings, replica
    schema, hsm ────────────▶ webhooks
    audit · witness · comparer · forwarder   read files, need nobody

With several shards there is such a column of each one's ledger, `postgres@1` and so on, beside the
others; api, HSM and networks are there once.

Independent units start together. The api does not wait for the switches: a start is mostly the time
that Python takes to load, and requests wait in the switches' sockets, which are bound already. The
stack is ready once every unit is, save the replica. Stopping goes the other way: the api closes the
front door and hands on what it has accepted, the switch waits for the networks' answers, the
stream's consumers go, the relay takes the last commits into the stream, and Postgres goes last. No
payment waits for the relay or for a consumer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final, TypedDict

import msgspec

from chassis.settings import Settings, settings_of_shared
from chassis.shard_names import unit_key
from chassis.supervisor import (
    Listener,
    ProcessSpec,
    ProcessUnit,
    ResourceUnit,
    StepUnit,
    Unit,
    UnitPlan,
)
from ledger.relay.second import SECOND_INDEX
from ledger.roles import API, POSTINGS, RELAY, SWITCH, WEBHOOKS
from stack.context import Provision, ShardContext, StackContext
from stack.database import prepare_schema
from stack.layout import (
    consumers_run,
    forwarder_runs,
    postings_run,
    second_relay_runs,
    simulated_networks,
    webhooks_run,
)
from stack.sockets import api_keys, hsm_keys, switch_keys

STOP_RANKS: Final = {
    "shop": 1,
    "api": 1,
    "switch": 2,
    "network": 3,
    "hsm": 4,
    "consumer": 7,
    "replica": 7,
    "relay": 8,
    "postgres": 9,
}


def compose(
    context: StackContext,
    *,
    provision: Sequence[Provision] = (),
    held_fds: tuple[int, ...] = (),
) -> list[Unit]:
    """Every unit of the stack.

    Args:
        context: the stack, its sockets bound.
        provision: steps to take once schemas and HSM are ready, in this order.
        held_fds: files that every process inherits to keep them open: the lock.
    """
    workers = hsm_keys(context.settings)
    schemas = [shard.key("schema") for shard in context.shards]
    processes = [_hsm(context, index) for index in range(len(workers))]
    processes += [_network(context, name) for name in simulated_networks(context.settings)]
    for shard in context.shards:
        processes += [_switch(context, shard, index) for index in range(len(shard.switches))]
    processes += [_api(context, index) for index in range(len(api_keys(context.settings)))]
    if context.sockets.shop is not None:
        processes.append(_shop(context, context.sockets.shop))
    for shard in context.shards:
        processes += _followers(context, shard)
    return [
        *chain(*(_ledger_units(shard) for shard in context.shards)),
        StepUnit(
            UnitPlan(key="provision", needs=(*schemas, *workers), once=True),
            partial(_provision, context, provision),
        ),
        *(ProcessUnit(spec, held_fds=held_fds) for spec in processes),
    ]


def _ledger_units(shard: ShardContext) -> list[Unit]:
    schema = shard.key("schema")
    has_replica = shard.settings.replica.enabled
    prepare = partial(prepare_schema, shard.database, has_replica=has_replica)
    if shard.resource is None:
        # One after the other: roles belong to a server, and two shards' may be the same one.
        before = (unit_key("schema", shard.number - 1),) if shard.number else ()
        return [StepUnit(UnitPlan(key=schema, needs=before, once=True), prepare)]
    postgres = shard.key("postgres")
    plan = UnitPlan(key=postgres, stop_rank=STOP_RANKS["postgres"], times_itself=True)
    return [
        ResourceUnit(plan, shard.resource),
        StepUnit(UnitPlan(key=schema, needs=(postgres,), once=True), prepare),
        *_replica_units(shard),
    ]


def _replica_units(shard: ShardContext) -> list[Unit]:
    """Nobody needs it: reads go to the ledger itself while it is away."""
    if shard.replica is None or shard.replica.resource is None:
        return []
    plan = UnitPlan(
        key=shard.key("replica"),
        needs=(shard.key("schema"),),
        stop_rank=STOP_RANKS["replica"],
        times_itself=True,
        optional=True,
    )
    return [ResourceUnit(plan, shard.replica.resource)]


def _followers(context: StackContext, shard: ShardContext) -> list[ProcessSpec]:
    """What reads a shard's WAL, and what reads its stream."""
    processes = []
    if shard.settings.relay.enabled:
        processes.append(_relay(context, shard))
    if second_relay_runs(shard.settings):
        processes.append(_second_relay(context, shard))
        processes.append(_reader_of_files(context, shard, "comparer", "relay", "relay-2"))
    if consumers_run(shard.settings):
        processes += [_reader_of_files(context, shard, "audit", "relay")]
        processes += [_reader_of_files(context, shard, "witness")]
    if postings_run(shard.settings):
        processes.append(_postings(context, shard))
    if webhooks_run(shard.settings):
        processes.append(_webhooks(context, shard))
    if forwarder_runs(shard.settings):
        processes.append(_reader_of_files(context, shard, "forwarder", "relay"))
    return processes


async def _provision(context: StackContext, steps: Sequence[Provision]) -> None:
    for step in steps:
        await step(context)


def _hsm(context: StackContext, index: int) -> ProcessSpec:
    key = hsm_keys(context.settings)[index]
    return ProcessSpec(
        plan=UnitPlan(key=key, stop_rank=STOP_RANKS["hsm"]),
        name="hsm",
        index=index,
        settings=_without_secrets(settings_of_shared(context.settings)),
        data_dir=context.data_dir,
        listeners=_listeners(context, key, mux=context.sockets.hsm[index]),
        allowed_uids=context.users.allowed("switch", "api", "webhooks"),
        identity=context.users.identity("hsm"),
    )


def _network(context: StackContext, name: str) -> ProcessSpec:
    return ProcessSpec(
        plan=UnitPlan(key=name, stop_rank=STOP_RANKS["network"]),
        name=name,
        settings=_without_secrets(settings_of_shared(context.settings)),
        data_dir=context.data_dir,
        listeners=_listeners(context, name, network=context.sockets.networks[name]),
        identity=context.users.identity(name),
    )


def _switch(context: StackContext, shard: ShardContext, index: int) -> ProcessSpec:
    settings = context.settings
    key = switch_keys(settings, shard.number)[index]
    return ProcessSpec(
        plan=UnitPlan(
            key=key,
            needs=(shard.key("schema"), *hsm_keys(settings), *simulated_networks(settings)),
            stop_rank=STOP_RANKS["switch"],
        ),
        name="switch",
        index=index,
        **_of(context, shard),
        listeners=_listeners(context, key, mux=shard.switches[index]),
        endpoints={"hsm": context.hsm_sockets} | network_endpoints(context),
        secrets={"database_dsn": shard.database.dsn(SWITCH)},
        allowed_uids=context.users.allowed("api"),
        identity=context.users.identity("switch", connects_to=("hsm",)),
    )


def _api(context: StackContext, index: int) -> ProcessSpec:
    """A front door of every shard: each one's ledger and switches under a name of their own.

    All of them accept on one listening socket, which outlives each.
    """
    key = api_keys(context.settings)[index]
    redis_url = context.settings.redis.url
    return ProcessSpec(
        plan=UnitPlan(
            key=key,
            needs=("provision",),
            stop_rank=STOP_RANKS["api"],
        ),
        name="api",
        index=index,
        settings=_without_secrets(context.settings),
        data_dir=context.data_dir,
        listeners=_listeners(context, key, http=context.sockets.http),
        endpoints={"hsm": context.hsm_sockets}
        | {shard.key("switch"): shard.switch_sockets for shard in context.shards},
        secrets={shard.key("database_dsn"): shard.database.dsn(API) for shard in context.shards}
        | {
            shard.key("replica_dsn"): shard.replica.dsn
            for shard in context.shards
            if shard.replica is not None
        }
        | ({"redis_url": redis_url} if redis_url else {}),
        identity=context.users.identity("api", connects_to=("hsm", "switch")),
    )


def _shop(context: StackContext, listener: Listener) -> ProcessSpec:
    """A merchant's web site: all that it knows of the stack stands in a file of its own."""
    return ProcessSpec(
        plan=UnitPlan(key="shop", needs=("provision",), stop_rank=STOP_RANKS["shop"]),
        name="shop",
        settings=_without_secrets(settings_of_shared(context.settings)),
        data_dir=context.data_dir,
        listeners=_listeners(context, "shop", http=listener),
        identity=context.users.identity("shop"),
    )


def _relay(context: StackContext, shard: ShardContext) -> ProcessSpec:
    key = shard.key("relay")
    return ProcessSpec(
        plan=UnitPlan(key=key, needs=(shard.key("schema"),), stop_rank=STOP_RANKS["relay"]),
        name="relay",
        **_of(context, shard),
        listeners=_listeners(context, key),
        secrets={"database_dsn": shard.database.dsn(RELAY)},
        identity=context.users.identity("relay"),
    )


def _second_relay(context: StackContext, shard: ShardContext) -> ProcessSpec:
    """The same process, with a user, a slot and a stream of its own."""
    key = shard.key("relay-2")
    return ProcessSpec(
        plan=UnitPlan(key=key, needs=(shard.key("schema"),), stop_rank=STOP_RANKS["relay"]),
        name="relay",
        index=SECOND_INDEX,
        **_of(context, shard),
        listeners=_listeners(context, key),
        secrets={"database_dsn": shard.database.dsn(RELAY)},
        identity=context.users.identity("relay-2"),
    )


def _postings(context: StackContext, shard: ShardContext) -> ProcessSpec:
    key = shard.key("postings")
    return ProcessSpec(
        plan=UnitPlan(key=key, needs=(shard.key("schema"),), stop_rank=STOP_RANKS["consumer"]),
        name="postings",
        **_of(context, shard),
        listeners=_listeners(context, key),
        secrets={"database_dsn": shard.database.dsn(POSTINGS)},
        identity=context.users.identity("postings", connects_to=("relay",)),
    )


def _webhooks(context: StackContext, shard: ShardContext) -> ProcessSpec:
    """Events are of the shard, endpoints on shard 0: another shard's process logs in on both."""
    key = shard.key("webhooks")
    dsns = {"database_dsn": shard.database.dsn(WEBHOOKS)}
    if shard.number:
        dsns["directory_dsn"] = context.shards[0].database.dsn(WEBHOOKS)
    return ProcessSpec(
        plan=UnitPlan(
            key=key,
            needs=(shard.key("schema"), *hsm_keys(context.settings)),
            stop_rank=STOP_RANKS["consumer"],
        ),
        name="webhooks",
        **_of(context, shard),
        listeners=_listeners(context, key),
        endpoints={"hsm": context.hsm_sockets},
        secrets=dsns,
        identity=context.users.identity("webhooks", connects_to=("hsm", "relay")),
    )


def _reader_of_files(
    context: StackContext, shard: ShardContext, name: str, *groups: str
) -> ProcessSpec:
    """A process that works on files alone, as a member of the groups of those who write them."""
    key = shard.key(name)
    return ProcessSpec(
        plan=UnitPlan(key=key, stop_rank=STOP_RANKS["consumer"]),
        name=name,
        **_of(context, shard),
        listeners=_listeners(context, key),
        identity=context.users.identity(name, connects_to=groups),
    )


class _OfShard(TypedDict):
    shard: int
    settings: Settings
    data_dir: Path
    stack_dir: Path


def _of(context: StackContext, shard: ShardContext) -> _OfShard:
    """What every process of a shard is told of it."""
    return _OfShard(
        shard=shard.number,
        settings=_without_secrets(shard.settings),
        data_dir=shard.data_dir,
        stack_dir=context.data_dir,
    )


def _listeners(context: StackContext, key: str, **roles: Listener) -> Mapping[str, Listener]:
    return {**roles, "metrics": context.sockets.metrics[key]}


def network_endpoints(context: StackContext) -> dict[str, list[str]]:
    """host:port of every network's hosts: where ours listens, or where the real ones are."""
    ours = context.sockets.networks
    return {
        name: [ours[name].address]
        if name in ours
        else list(network.hosts) or [f"{network.host}:{network.port}"]
        for name, network in context.settings.networks.items()
    }


def _without_secrets(settings: Settings) -> Settings:
    """What a process may know: addresses of databases and of Redis may hold a password."""
    return msgspec.structs.replace(
        settings,
        ledger=msgspec.structs.replace(settings.ledger, url=""),
        replica=msgspec.structs.replace(settings.replica, url=""),
        redis=msgspec.structs.replace(settings.redis, url=""),
        shards=msgspec.structs.replace(settings.shards, database_urls=()),
    )
