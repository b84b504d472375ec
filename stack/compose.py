"""The units of the stack: which processes there are, who needs whom, in which order they stop.

    postgres ──▶ schema ──┐
                          ├──▶ provision ─────────────┐
    hsm-0 … hsm-n ────────┤                           ├──▶ api
                          ├──▶ switch-0 … switch-n ───┘
    vsim, msim ───────────┘
    schema ─────────────────▶ relay, postings
    audit · witness · forwarder   read files, need nobody

Independent units start together. Stopping goes the other way: the api closes the front door and
hands on what it has accepted, the switch waits for the networks' answers, the stream's consumers
go, the relay takes the last commits into the stream, and Postgres goes last. No payment waits for
the relay or for a consumer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from chassis.settings import Settings
from chassis.supervisor import (
    Listener,
    ProcessSpec,
    ProcessUnit,
    Resource,
    ResourceUnit,
    StepUnit,
    Unit,
    UnitPlan,
)
from ledger.roles import API, POSTINGS, RELAY, SWITCH
from stack.context import Provision, StackContext
from stack.database import prepare_schema
from stack.layout import consumers_run, forwarder_runs, postings_run, simulated_networks
from stack.sockets import hsm_keys, switch_keys

STOP_RANKS: Final = {
    "api": 1,
    "switch": 2,
    "network": 3,
    "hsm": 4,
    "consumer": 7,
    "relay": 8,
    "postgres": 9,
}


def compose(
    context: StackContext,
    *,
    resource: Resource | None,
    provision: Sequence[Provision] = (),
    held_fds: tuple[int, ...] = (),
) -> list[Unit]:
    """Every unit of the stack.

    Args:
        context: the stack, its sockets bound.
        resource: our own Postgres, if the ledger is in it.
        provision: steps to take once schema and HSM are ready, in this order.
        held_fds: files that every process inherits to keep them open: the lock.
    """
    processes = [_hsm(context, index) for index in range(context.settings.hsm.workers)]
    processes += [_network(context, name) for name in simulated_networks(context.settings)]
    processes += [_switch(context, index) for index in range(context.settings.switch.processes)]
    processes.append(_api(context))
    if context.settings.relay.enabled:
        processes.append(_relay(context))
    if consumers_run(context.settings):
        processes += [_reader_of_files(context, "audit", "relay")]
        processes += [_reader_of_files(context, "witness")]
    if postings_run(context.settings):
        processes.append(_postings(context))
    if forwarder_runs(context.settings):
        processes.append(_reader_of_files(context, "forwarder", "relay"))
    return [
        *_ledger_units(context, resource),
        StepUnit(
            UnitPlan(key="provision", needs=("schema", *hsm_keys(context.settings)), once=True),
            partial(_provision, context, provision),
        ),
        *(ProcessUnit(spec, held_fds=held_fds) for spec in processes),
    ]


def _ledger_units(context: StackContext, resource: Resource | None) -> list[Unit]:
    prepare = partial(prepare_schema, context.database)
    if resource is None:
        return [StepUnit(UnitPlan(key="schema", once=True), prepare)]
    rank = STOP_RANKS["postgres"]
    plan = UnitPlan(key="postgres", stop_rank=rank, times_itself=True)
    return [
        ResourceUnit(plan, resource),
        StepUnit(UnitPlan(key="schema", needs=("postgres",), once=True), prepare),
    ]


async def _provision(context: StackContext, steps: Sequence[Provision]) -> None:
    for step in steps:
        await step(context)


def _hsm(context: StackContext, index: int) -> ProcessSpec:
    key = hsm_keys(context.settings)[index]
    return ProcessSpec(
        plan=UnitPlan(key=key, stop_rank=STOP_RANKS["hsm"]),
        name="hsm",
        index=index,
        settings=_without_secrets(context.settings),
        data_dir=context.data_dir,
        listeners=_listeners(context, key, mux=context.sockets.hsm[index]),
        allowed_uids=context.users.allowed("switch", "api"),
        identity=context.users.identity("hsm"),
    )


def _network(context: StackContext, name: str) -> ProcessSpec:
    return ProcessSpec(
        plan=UnitPlan(key=name, stop_rank=STOP_RANKS["network"]),
        name=name,
        settings=_without_secrets(context.settings),
        data_dir=context.data_dir,
        listeners=_listeners(context, name, network=context.sockets.networks[name]),
        identity=context.users.identity(name),
    )


def _switch(context: StackContext, index: int) -> ProcessSpec:
    settings = context.settings
    key = switch_keys(settings)[index]
    workers = hsm_keys(settings)
    return ProcessSpec(
        plan=UnitPlan(
            key=key,
            needs=("schema", *workers, *simulated_networks(settings)),
            stop_rank=STOP_RANKS["switch"],
        ),
        name="switch",
        index=index,
        settings=_without_secrets(settings),
        data_dir=context.data_dir,
        listeners=_listeners(context, key, mux=context.sockets.switches[index]),
        endpoints={"hsm": context.hsm_sockets} | network_endpoints(context),
        secrets={"database_dsn": context.database.dsn(SWITCH)},
        allowed_uids=context.users.allowed("api"),
        identity=context.users.identity("switch", connects_to=("hsm",)),
    )


def _api(context: StackContext) -> ProcessSpec:
    return ProcessSpec(
        plan=UnitPlan(
            key="api",
            needs=(*switch_keys(context.settings), "provision"),
            stop_rank=STOP_RANKS["api"],
        ),
        name="api",
        settings=_without_secrets(context.settings),
        data_dir=context.data_dir,
        listeners=_listeners(context, "api", http=context.sockets.http),
        endpoints={"hsm": context.hsm_sockets, "switch": context.switch_sockets},
        secrets={"database_dsn": context.database.dsn(API)},
        identity=context.users.identity("api", connects_to=("hsm", "switch")),
    )


def _relay(context: StackContext) -> ProcessSpec:
    return ProcessSpec(
        plan=UnitPlan(key="relay", needs=("schema",), stop_rank=STOP_RANKS["relay"]),
        name="relay",
        settings=_without_secrets(context.settings),
        data_dir=context.data_dir,
        listeners=_listeners(context, "relay"),
        secrets={"database_dsn": context.database.dsn(RELAY)},
        identity=context.users.identity("relay"),
    )


def _postings(context: StackContext) -> ProcessSpec:
    return ProcessSpec(
        plan=UnitPlan(key="postings", needs=("schema",), stop_rank=STOP_RANKS["consumer"]),
        name="postings",
        settings=_without_secrets(context.settings),
        data_dir=context.data_dir,
        listeners=_listeners(context, "postings"),
        secrets={"database_dsn": context.database.dsn(POSTINGS)},
        identity=context.users.identity("postings", connects_to=("relay",)),
    )


def _reader_of_files(context: StackContext, name: str, *groups: str) -> ProcessSpec:
    """A process that works on files alone, as a member of the groups of those who write them."""
    return ProcessSpec(
        plan=UnitPlan(key=name, stop_rank=STOP_RANKS["consumer"]),
        name=name,
        settings=_without_secrets(context.settings),
        data_dir=context.data_dir,
        listeners=_listeners(context, name),
        identity=context.users.identity(name, connects_to=groups),
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
    """What a process may know: `ledger.url` is of a role that may do anything."""
    return msgspec.structs.replace(
        settings, ledger=msgspec.structs.replace(settings.ledger, url="")
    )
