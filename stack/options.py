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

from chassis.settings import Log, Settings, SettingsError, data_directory, load_settings
from chassis.settings.tree import SWITCHES_MAX

EXIT_CANNOT_START: Final = 3
# Every address is a setting and a flag (contract 1); `--set` reaches all other settings.
PORT_FLAGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "--api-port": "api.port",
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
        "--metrics-forwarder-port": "metrics.forwarder",
    }
)


@frozen
class Place:
    """The settings that a command works with, and where.

    Attributes:
        settings: the whole tree.
        data_dir: absolute; need not exist.
    """

    settings: Settings
    data_dir: Path


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
        command(place=place, **rest)

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


def switches_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--switches`; stands between `port_options` and `settings_options`."""

    @click.option(
        "--switches",
        type=click.IntRange(1, SWITCHES_MAX),
        help="How many switches to run; sets switch.processes.",
    )
    @functools.wraps(command)
    def with_switches(*, switches: int | None, **rest: Any) -> None:
        overrides = rest.pop("flag_overrides", {})
        if switches is not None:
            overrides["switch.processes"] = str(switches)
        command(flag_overrides=overrides, **rest)

    return with_switches


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
