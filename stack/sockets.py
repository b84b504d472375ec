"""Every listening socket of the stack, bound before any process starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

from attrs import frozen

from chassis.settings import Settings
from chassis.shard_names import unit_key
from chassis.supervisor import Listener, Users, bind_tcp, bind_unix
from stack.layout import (
    consumers_run,
    forwarder_runs,
    postings_run,
    second_relay_runs,
    shop_runs,
    simulated_networks,
    webhooks_run,
)


@frozen(kw_only=True)
class Sockets:
    """The listeners of one stack.

    Attributes:
        http: the API.
        shop: the demo shop, if there is one.
        switches: by shard, one Unix socket a switch.
        hsm: one Unix socket a worker.
        networks: one TCP listener a simulated network.
        metrics: by process key.
    """

    http: Listener
    shop: Listener | None = None
    switches: list[list[Listener]]
    hsm: list[Listener]
    networks: Mapping[str, Listener]
    metrics: Mapping[str, Listener]

    def close(self) -> None:
        """Close our copies and remove the socket files; processes keep theirs."""
        for listener in self._all():
            listener.close()

    def _all(self) -> Iterator[Listener]:
        yield from (self.http, *chain(*self.switches), *self.hsm)
        yield from (*self.networks.values(), *self.metrics.values())
        if self.shop is not None:
            yield self.shop


def hsm_keys(settings: Settings) -> list[str]:
    """The key of each HSM worker."""
    return [f"hsm-{index}" for index in range(settings.hsm.workers)]


def api_keys(settings: Settings) -> list[str]:
    """The key of each api process, all on one listening socket."""
    return ["api", *(f"api-{index}" for index in range(1, settings.api.processes))]


def switch_keys(settings: Settings, shard: int = 0) -> list[str]:
    """The key of each switch of a shard: the name under which it owns its attempts."""
    return [unit_key(f"switch-{index}", shard) for index in range(settings.switch.processes)]


def bind_sockets(settings: Settings, runtime_dir: Path, users: Users) -> Sockets:
    """Bind everything, or nothing.

    Raises:
        StartError: an address is taken or not ours; names the setting that moves it.
    """
    with ExitStack() as bound:

        def keep(listener: Listener) -> Listener:
            bound.callback(listener.close)
            return listener

        def tcp(host: str, port: int, purpose: str, setting: str) -> Listener:
            return keep(bind_tcp(host, port, purpose=purpose, setting=setting))

        hsm_owner, switch_owner = users.owner("hsm"), users.owner("switch")
        sockets = Sockets(
            http=tcp(settings.api.host, settings.api.port, "the API", "api.port"),
            shop=(
                tcp(settings.shop.host, settings.shop.port, "the demo shop", "shop.port")
                if shop_runs(settings)
                else None
            ),
            switches=[
                [
                    keep(bind_unix(runtime_dir / key, owner=switch_owner))
                    for key in switch_keys(settings, shard)
                ]
                for shard in range(settings.shards.count)
            ],
            hsm=[keep(bind_unix(runtime_dir / key, owner=hsm_owner)) for key in hsm_keys(settings)],
            networks={
                name: tcp(network.host, network.port, f"network {name}", f"networks.{name}.port")
                for name, network in simulated_networks(settings).items()
            },
            metrics={
                key: tcp(settings.metrics.host, port, f"metrics of {key}", setting)
                for key, port, setting in metrics_ports(settings)
            },
        )
        bound.pop_all()
    return sockets


def metrics_ports(settings: Settings) -> Iterator[tuple[str, int, str]]:
    """(process key, port, setting) for each process.

    Where one setting stands for several processes the first one gets its port and the others any
    free one; `endpoints.json` tells which.
    """
    ports = settings.metrics
    switches = chain(*(switch_keys(settings, shard) for shard in range(settings.shards.count)))
    yield from _in_turn(api_keys(settings), ports.api, "metrics.api")
    yield from _in_turn(switches, ports.switch, "metrics.switch")
    yield from _in_turn(hsm_keys(settings), ports.hsm, "metrics.hsm")
    if settings.relay.enabled:
        yield from _in_each_shard(settings, "relay", ports.relay)
    if second_relay_runs(settings):
        yield from _in_each_shard(settings, "relay-2", ports.second_relay, "second_relay")
        yield from _in_each_shard(settings, "comparer", ports.comparer)
    yield from _in_turn(simulated_networks(settings), ports.networks, "metrics.networks")
    if consumers_run(settings):
        yield from _in_each_shard(settings, "audit", ports.audit)
        yield from _in_each_shard(settings, "witness", ports.witness)
    if postings_run(settings):
        yield from _in_each_shard(settings, "postings", ports.postings)
    if webhooks_run(settings):
        yield from _in_each_shard(settings, "webhooks", ports.webhooks)
    yield from _of_shop(settings)
    if forwarder_runs(settings):
        yield from _in_each_shard(settings, "forwarder", ports.forwarder)


def _of_shop(settings: Settings) -> Iterator[tuple[str, int, str]]:
    if shop_runs(settings):
        yield "shop", settings.metrics.shop, "metrics.shop"


def _in_turn(keys: Iterable[str], port: int, setting: str) -> Iterator[tuple[str, int, str]]:
    for position, key in enumerate(keys):
        yield key, 0 if position else port, setting


def _in_each_shard(
    settings: Settings, name: str, port: int, setting: str = ""
) -> Iterator[tuple[str, int, str]]:
    for shard in range(settings.shards.count):
        yield unit_key(name, shard), 0 if shard else port, f"metrics.{setting or name}"
