"""The options by which every command finds its settings and its data directory."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import click
import msgspec
from attrs import frozen

from chassis.settings import (
    SHARDS_MAX,
    Log,
    Settings,
    SettingsError,
    data_directory,
    load_settings,
    settings_of_shard,
)
from chassis.settings.tree import APIS_MAX, SWITCHES_MAX
from chassis.shard_names import shard_directory, shards_in

EXIT_CANNOT_START: Final = 3
# Every address is a setting and a flag (contract 1); `--set` reaches all other settings.
PORT_FLAGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "--api-port": "api.port",
        "--shop-port": "shop.port",
        "--vsim-port": "networks.vsim.port",
        "--msim-port": "networks.msim.port",
        "--metrics-api-port": "metrics.api",
        "--metrics-switch-port": "metrics.switch",
        "--metrics-hsm-port": "metrics.hsm",
        "--metrics-relay-port": "metrics.relay",
        "--metrics-networks-port": "metrics.networks",
        "--metrics-audit-port": "metrics.audit",
        "--metrics-witness-port": "metrics.witness",
        "--metrics-postings-port": "metrics.postings",
        "--metrics-webhooks-port": "metrics.webhooks",
        "--metrics-forwarder-port": "metrics.forwarder",
        "--metrics-second-relay-port": "metrics.second_relay",
        "--metrics-comparer-port": "metrics.comparer",
        "--metrics-shop-port": "metrics.shop",
    }
)


@frozen
class Place:
    """The settings that a command works with, and where.

    Attributes:
        settings: the whole tree; of a shard, as its processes have them.
        data_dir: absolute; need not exist. Of a shard, its own.
        shard: whose ledger is meant.
    """

    settings: Settings
    data_dir: Path
    shard: int = 0


def quiet_log(log: Log) -> Log:
    """For commands with words of their own: only trouble is logged, unless a level was set."""
    return msgspec.structs.replace(log, level="warning") if log.level == Log().level else log


def settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--data-dir`, `--config`, `--set`; it receives them as `place`.

    A setting that cannot be used ends the program with exit status 3 and names key and source.
    """

    @click.option("--data-dir", metavar="DIR", help="Where everything durable is kept.")
    @click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Settings file (TOML).",
    )
    @click.option(
        "--set",
        "assignments",
        metavar="KEY=VALUE",
        multiple=True,
        help="Override one setting, such as hsm.workers=2. May be repeated.",
    )
    @functools.wraps(command)
    def with_place(
        *, data_dir: str | None, config: Path | None, assignments: tuple[str, ...], **rest: Any
    ) -> None:
        overrides = dict(map(_parse_assignment, assignments))
        overrides |= rest.pop("flag_overrides", {})
        if data_dir is not None:
            overrides["data_dir"] = data_dir
        load = functools.partial(load_settings, config=config, environ=os.environ)
        try:
            settings = load(overrides=overrides)
            if rest.pop("free_ports", False):
                settings = load(overrides=_free_ports(settings) | overrides)
        except SettingsError as error:
            click.echo(f"turnout: {error}", err=True)
            sys.exit(EXIT_CANNOT_START)
        place = Place(settings, data_directory(settings, os.environ, os.geteuid()))
        command(place=rest.pop("narrow", _whole)(place), **rest)

    return with_place


def port_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one flag a port, and `--free-ports`; stands above `settings_options`."""

    @click.option("--free-ports", is_flag=True, help="Any free port for all that is not named.")
    @functools.wraps(command)
    def with_ports(**rest: Any) -> None:
        overrides = {}
        for flag, key in PORT_FLAGS.items():
            port = rest.pop(_parameter(flag))
            if port is not None:
                overrides[key] = str(port)
        command(flag_overrides=overrides, **rest)

    decorated: Callable[..., None] = with_ports
    for flag, key in reversed(tuple(PORT_FLAGS.items())):
        decorated = click.option(
            flag, type=click.IntRange(0, 65_535), help=f"Sets {key}; 0 = any free port."
        )(decorated)
    return decorated


def _whole(place: Place) -> Place:
    return place


def count_option(
    flag: str, key: str, maximum: int, what: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for a number of things; stands above `settings_options`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.option(flag, type=click.IntRange(1, maximum), help=f"{what}; sets {key}.")
        @functools.wraps(command)
        def with_count(**rest: Any) -> None:
            count = rest.pop(_parameter(flag))
            overrides = rest.pop("flag_overrides", {})
            if count is not None:
                overrides[key] = str(count)
            command(flag_overrides=overrides, **rest)

        decorated: Callable[..., None] = with_count
        return decorated

    return decorate


apis_option = count_option(
    "--apis", "api.processes", APIS_MAX, "How many api processes to run on one socket"
)
switches_option = count_option(
    "--switches", "switch.processes", SWITCHES_MAX, "How many switches to run for each shard"
)
shards_option = count_option(
    "--shards", "shards.count", SHARDS_MAX, "Over how many ledgers merchants are spread"
)


def replica_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--replica`; stands above `settings_options`."""

    @click.option(
        "--replica", is_flag=True, help="Read from a second Postgres; sets replica.enabled."
    )
    @functools.wraps(command)
    def with_replica(*, replica: bool, **rest: Any) -> None:
        overrides = rest.pop("flag_overrides", {})
        if replica:
            overrides["replica.enabled"] = "true"
        command(flag_overrides=overrides, **rest)

    return with_replica


def second_relay_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--second-relay`; stands above `settings_options`."""

    @click.option(
        "--second-relay",
        is_flag=True,
        help="Feed a second stream through a slot of its own, and compare both; sets relay.second.",
    )
    @functools.wraps(command)
    def with_second_relay(*, second_relay: bool, **rest: Any) -> None:
        overrides = rest.pop("flag_overrides", {})
        if second_relay:
            overrides["relay.second"] = "true"
        command(flag_overrides=overrides, **rest)

    decorated: Callable[..., None] = with_second_relay
    return decorated


def shard_option(command: Callable[..., None], *, may_be_new: bool = False) -> Callable[..., None]:
    """Give a command `--shard`; stands above `settings_options`, and narrows its `place`.

    Args:
        command: works on one ledger, and finds what it needs at its place.
        may_be_new: the shard need not be there yet.
    """

    @click.option(
        "--shard",
        type=click.IntRange(0, SHARDS_MAX - 1),
        default=0,
        help="Whose ledger.  [default: 0, the first]",
    )
    @functools.wraps(command)
    def with_shard(*, shard: int, **rest: Any) -> None:
        command(narrow=functools.partial(narrowed, shard, may_be_new=may_be_new), **rest)

    return with_shard


new_shard_option = functools.partial(shard_option, may_be_new=True)


def narrowed(shard: int, place: Place, *, may_be_new: bool = False) -> Place:
    """One shard of a place; a shard that is not there ends the program as wrong usage."""
    count = shards_in(place.data_dir)
    if shard >= count and not may_be_new:
        have = "shard 0 alone" if count == 1 else f"shards 0 to {count - 1}"
        raise click.BadParameter(f"{place.data_dir} has {have}", param_hint="--shard")
    settings = place.settings
    if shard >= settings.shards.count:  # a flag of `up` that nobody repeats here
        shards = msgspec.structs.replace(settings.shards, count=max(count, shard + 1))
        settings = msgspec.structs.replace(settings, shards=shards)
    return Place(settings_of_shard(settings, shard), shard_directory(place.data_dir, shard), shard)


def _free_ports(settings: Settings) -> dict[str, str]:
    """0 for every port that the stack binds; a real network's port is its own business."""
    keys = [key for key in PORT_FLAGS.values() if not key.startswith("networks.")]
    keys += [
        f"networks.{name}.port" for name, network in settings.networks.items() if network.simulate
    ]
    return dict.fromkeys(keys, "0")


def _parameter(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def _parse_assignment(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.BadParameter("must be KEY=VALUE", param_hint="--set")
    return key, value
