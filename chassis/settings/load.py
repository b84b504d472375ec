"""Filling the settings tree: defaults < settings file < environment < flags.

Each layer is flattened to assignments (path, value, source) which are checked one by one before
they are laid over the tree, so that an error names the file, the variable or the flag that is
wrong. Only the settings file can add a network (it starts from `Network()`): a misspelled variable
must not create one.

Environment: `TURNOUT_SECTION__KEY` (`TURNOUT_NETWORKS__VSIM__PORT`), and the short names
`TURNOUT_DATABASE_URL` and `TURNOUT_DATA_DIR` of contract 1. Any other `TURNOUT_` variable is a
misspelling and refused. Lists are written with commas.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
from attrs import frozen

from chassis.settings import leaves
from chassis.settings.directories import default_config_path
from chassis.settings.errors import SettingsError
from chassis.settings.live import check_live
from chassis.settings.of_shard import raised
from chassis.settings.redis import RedisAddressError, parse_address
from chassis.settings.tree import Network, Settings

ENVIRONMENT_PREFIX = "TURNOUT_"
ENVIRONMENT_ALIASES: Mapping[str, leaves.Path] = MappingProxyType(
    {"TURNOUT_DATABASE_URL": ("ledger", "url"), "TURNOUT_DATA_DIR": ("data_dir",)}
)
FLAGS_SOURCE = "command line"
FILE_BYTES_MAX = 1_048_576  # a settings file is a few kilobytes; more is another file by mistake
NETWORK_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
RESERVED_NAMES = frozenset({"admin", "api", "hsm", "postgres", "switch"})  # other processes' names
# Pairs in which the first must not exceed the second; `*` stands for every network.
_ORDERED_PAIRS: tuple[tuple[leaves.Path, str, str], ...] = (
    (("networks", "*"), "reconnect_min_s", "reconnect_max_s"),
    (("supervisor",), "restart_min_s", "restart_max_s"),
)


@frozen
class Assignment:
    """One setting as one layer has it."""

    path: leaves.Path
    value: Any
    source: str
    is_text: bool  # written as text, to be read as the declared type


def load_settings(
    *,
    config: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, str] = MappingProxyType({}),
) -> Settings:
    """Load and check every setting.

    Args:
        config: the settings file (TOML), which must exist; None = the platform's default place,
            where it may be absent.
        environ: the process environment; only `TURNOUT_*` and the XDG folders are read.
        overrides: flags, by dotted key (`{"api.port": "0"}`), as text.

    Raises:
        SettingsError: unknown key, wrong type, value out of range, unreadable file; names the
            key and the file, variable or flag. Also what live mode refuses.
    """
    tree: dict[str, Any] = msgspec.to_builtins(Settings())
    sources: dict[leaves.Path, str] = {}
    for layer in (_from_file(config, environ), _from_environ(environ), _from_flags(overrides)):
        for assignment in layer:
            _assign(tree, assignment)
            sources[assignment.path] = assignment.source
    settings = msgspec.convert(tree, Settings)
    _check_ordered_pairs(tree, sources)
    _check_lease(settings, sources)
    _check_inquiries(settings, sources)
    _check_shards(settings, sources)
    _check_proxies(settings, sources)
    _check_redis(settings, sources)
    check_live(settings)
    return settings


def _from_file(config: Path | None, environ: Mapping[str, str]) -> Iterator[Assignment]:
    path = config or default_config_path(environ)
    if path is None:
        return
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        if config is None and isinstance(error, FileNotFoundError | NotADirectoryError):
            return
        raise SettingsError("settings file", str(path), error.strerror or "unreadable") from error
    if len(data) > FILE_BYTES_MAX:
        raise SettingsError("settings file", str(path), f"is larger than {FILE_BYTES_MAX} bytes")
    try:
        document = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("settings file", str(path), f"is not TOML: {error}") from None
    yield from _flatten((), document, str(path))


def _flatten(path: leaves.Path, table: Mapping[str, Any], source: str) -> Iterator[Assignment]:
    for name, value in table.items():
        here = (*path, name)
        if isinstance(value, dict):
            if not value and path == ("networks",):
                yield Assignment(path=here, value={}, source=source, is_text=False)
            yield from _flatten(here, value, source)
        else:
            yield Assignment(path=here, value=value, source=source, is_text=False)


def _from_environ(environ: Mapping[str, str]) -> Iterator[Assignment]:
    for variable, text in sorted(environ.items()):
        if variable.startswith(ENVIRONMENT_PREFIX):
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            path = ENVIRONMENT_ALIASES.get(variable) or tuple(name.split("__"))
            yield Assignment(path=path, value=text, source=variable, is_text=True)


def _from_flags(overrides: Mapping[str, str]) -> Iterator[Assignment]:
    for key, text in overrides.items():
        yield Assignment(path=tuple(key.split(".")), value=text, source=FLAGS_SOURCE, is_text=True)


def _assign(tree: dict[str, Any], assignment: Assignment) -> None:
    path, source = assignment.path, assignment.source
    if path[0] == "networks" and len(path) > 1 and path[1] not in tree["networks"]:
        _add_network(tree, assignment)
    if assignment.value == {}:
        return
    declared = leaves.leaf_type(path, source)
    value = assignment.value
    if assignment.is_text:
        value = leaves.parse_text(path, value, declared, source)
    value = leaves.check_value(path, value, declared, source)
    place = tree
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value


def _add_network(tree: dict[str, Any], assignment: Assignment) -> None:
    name = assignment.path[1]
    key = leaves.dotted(assignment.path[:2])
    if assignment.is_text:
        reason = "no such network; only the settings file can add one"
        raise SettingsError(key, assignment.source, reason)
    if not NETWORK_NAME.fullmatch(name) or name in RESERVED_NAMES:
        reason = "a network's name is lower-case letters, digits and _, and no other process's name"
        raise SettingsError(key, assignment.source, reason)
    tree["networks"][name] = msgspec.to_builtins(Network())


def _check_ordered_pairs(tree: dict[str, Any], sources: Mapping[leaves.Path, str]) -> None:
    for section, lower, upper in _ORDERED_PAIRS:
        for path in _expand(section, tree):
            place = tree
            for name in path:
                place = place[name]
            if place[lower] > place[upper]:
                source = sources.get((*path, lower)) or sources.get((*path, upper), "default")
                reason = f"must not exceed {upper}"
                raise SettingsError(leaves.dotted((*path, lower)), source, reason)


def _check_lease(settings: Settings, sources: Mapping[leaves.Path, str]) -> None:
    """A lease must outlive the time to its next heartbeat, less the margin."""
    switch = settings.switch
    if switch.lease_heartbeat_s + switch.lease_margin_s < switch.lease_ttl_s:
        return
    names = ("lease_ttl_s", "lease_heartbeat_s", "lease_margin_s")
    source = next((sources["switch", n] for n in names if ("switch", n) in sources), "default")
    reason = "must exceed lease_heartbeat_s and lease_margin_s together"
    raise SettingsError("switch.lease_ttl_s", source, reason)


def _check_inquiries(settings: Settings, sources: Mapping[leaves.Path, str]) -> None:
    """Inquiries are asked one after the other, and before their window ends."""
    for name, network in settings.networks.items():
        times = (0.0, *network.inquiry_times_s, network.inquiry_window_s)
        if all(earlier < later for earlier, later in pairwise(times)):
            continue
        path = ("networks", name, "inquiry_times_s")
        source = sources.get(path) or sources.get((*path[:2], "inquiry_window_s"), "default")
        reason = "must rise from above 0, and stay below inquiry_window_s"
        raise SettingsError(leaves.dotted(path), source, reason)


def _check_shards(settings: Settings, sources: Mapping[leaves.Path, str]) -> None:
    """Every shard has a database of its own, and a number to its acquirer ids."""
    count, urls = settings.shards.count, settings.shards.database_urls
    source = sources.get(("shards", "database_urls")) or sources.get(("shards", "count"), "default")
    if urls and len(urls) != count:
        reason = f"must name as many databases as shards.count says: {count}, not {len(urls)}"
        raise SettingsError("shards.database_urls", source, reason)
    if settings.ledger.url and (urls or count > 1):
        reason = "must name every shard's database, in the place of ledger.url"
        raise SettingsError("shards.database_urls", source, reason)
    if count == 1:
        return
    for name, network in settings.networks.items():
        try:
            raised(network.acquirer_id, count - 1)
        except ValueError:
            path = ("networks", name, "acquirer_id")
            reason = f"must be digits, and leave room for {count} shards: each counts one up"
            raise SettingsError(leaves.dotted(path), sources.get(path, source), reason) from None


def _check_proxies(settings: Settings, sources: Mapping[leaves.Path, str]) -> None:
    """What is meant to be a proxy's address is one."""
    path = ("limits", "trusted_proxies")
    for text in settings.limits.trusted_proxies:
        try:
            ip_network(text)
        except ValueError:
            reason = "must be addresses or networks, such as 10.0.0.0/8"
            raise SettingsError(leaves.dotted(path), sources[path], reason) from None


def _check_redis(settings: Settings, sources: Mapping[leaves.Path, str]) -> None:
    """The address of a Redis is one; it is not quoted, for it may hold a password."""
    if not settings.redis.url:
        return
    try:
        parse_address(settings.redis.url)
    except RedisAddressError as error:
        source = sources["redis", "url"]
        raise SettingsError("redis.url", source, str(error)) from None


def _expand(section: leaves.Path, tree: dict[str, Any]) -> list[leaves.Path]:
    if section[-1] != "*":
        return [section]
    return [(*section[:-1], name) for name in tree[section[0]]]
