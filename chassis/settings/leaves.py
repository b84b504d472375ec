"""Finding one setting in the tree by its path, and checking what is written there.

A path is a tuple of lower-case names, `("networks", "vsim", "port")`. Checks go by type and by
the unit that ends every name, so that a new field is covered without another line here.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

import msgspec

from chassis.settings.errors import SettingsError
from chassis.settings.section import Section
from chassis.settings.shards import SHARDS_MAX
from chassis.settings.tree import APIS_MAX, SWITCHES_MAX, Settings

Path = tuple[str, ...]

PORT_MAX = 65_535
HOUR_MAX = 23
_UNITS = {"_ms": "milliseconds", "_s": "seconds", "_bytes": "bytes"}  # `_ms` before `_s`
_QUALIFIERS = ("_max", "_min")
# A bound or a pool of nothing would stop the product: refuse it where it is written.
_NEVER_ZERO = (
    *("_max", "workers", "processes", "connections", "_per_connection", "_count"),
    *("heartbeat_s", "reads_per_s", "writes_per_s", "_burst", "velocity.window_s"),
)
_AT_MOST: Mapping[Path, int] = {
    ("api", "processes"): APIS_MAX,
    ("switch", "processes"): SWITCHES_MAX,
}
_SHARES = ("_share", "_ratio")


def dotted(path: Path) -> str:
    """The path as people write it: `networks.vsim.port`."""
    return ".".join(path)


def leaf_type(path: Path, source: str) -> Any:
    """The declared type of the setting at `path`; a whole section is refused.

    Raises `SettingsError` for a key that does not exist, naming the nearest that does.
    """
    found: Any = Settings
    for depth, name in enumerate(path):
        found = _child(found, path[: depth + 1], name, source)
    if is_section(found):
        raise SettingsError(dotted(path), source, "is a section, not a setting")
    return found


def is_section(declared: Any) -> bool:
    """Whether a declared type holds further settings: a section, or named sections."""
    return get_origin(declared) is dict or (
        isinstance(declared, type) and issubclass(declared, Section)
    )


def _child(parent: Any, path: Path, name: str, source: str) -> Any:
    if get_origin(parent) is dict:
        return get_args(parent)[1]
    if not is_section(parent):
        raise SettingsError(dotted(path), source, f"{dotted(path[:-1])} has no settings below it")
    fields = {info.name: info.type for info in msgspec.structs.fields(parent)}
    if name not in fields:
        raise SettingsError(dotted(path), source, _unknown(path, list(fields)))
    return fields[name]


def _unknown(path: Path, siblings: list[str]) -> str:
    """Why a key is unknown: a wrong unit, a misspelling, or a stranger."""
    stem, unit = _split_unit(path[-1])
    twins = [name for name in siblings if unit and _split_unit(name)[0] == stem]
    near = twins or difflib.get_close_matches(path[-1], siblings, n=1)
    if not near:
        return "no such setting"
    unit = expected_at(near[0])
    suggested = dotted((*path[:-1], near[0])) + (f" ({unit})" if unit else "")
    return f"no such setting; did you mean {suggested}?"


def _split_unit(name: str) -> tuple[str, str]:
    for qualifier in _QUALIFIERS:
        name = name.removesuffix(qualifier)
    for ending in _UNITS:
        if name.endswith(ending):
            return name.removesuffix(ending), ending
    return name, ""


def expected_at(name: str) -> str:
    """The unit a name ends in, in words, or nothing."""
    return _UNITS.get(_split_unit(name)[1], "")


def parse_text(path: Path, text: str, declared: Any, source: str) -> Any:
    """Read a setting written as text (environment, command line) as its declared type."""
    if get_origin(declared) is tuple:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        element = get_args(declared)[0]
        return [_convert(path, part, element, source, strict=False) for part in parts]
    return _convert(path, text, declared, source, strict=False)


def check_value(path: Path, value: Any, declared: Any, source: str) -> Any:
    """Hold a value against its declared type and the range its name implies.

    Returns the value in the form the tree keeps it. Raises `SettingsError`.
    """
    checked = _convert(path, value, declared, source, strict=True)
    if isinstance(checked, int | float) and not isinstance(checked, bool):
        _check_range(path, checked, source)
    return checked


def _convert(path: Path, value: Any, declared: Any, source: str, *, strict: bool) -> Any:
    try:
        return msgspec.convert(value, declared, strict=strict)
    except msgspec.ValidationError:
        # msgspec's own message may quote the value, so it is not chained either.
        raise SettingsError(
            dotted(path), source, f"expected {_describe(path[-1], declared)}"
        ) from None


def _describe(name: str, declared: Any) -> str:
    if get_origin(declared) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(declared))
    if get_origin(declared) is tuple:
        return "a list of texts" if get_args(declared)[0] is str else "a list of numbers"
    nouns: Mapping[Any, str] = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
    }
    unit = expected_at(name)
    return nouns[declared] + (f" of {unit}, without a unit" if unit else "")


def _check_range(path: Path, number: float, source: str) -> None:
    name = path[-1]
    reason = ""
    if not math.isfinite(number) or number < 0:
        reason = "must be a finite number, not below zero"
    elif number == 0 and dotted(path).endswith(_NEVER_ZERO):
        reason = "must be above zero"
    elif number > 1 and name.endswith(_SHARES):
        reason = "must be a share between 0 and 1"
    elif number > PORT_MAX and _is_port(path):
        reason = f"must be a port: 0 (any free one) to {PORT_MAX}"
    elif number > HOUR_MAX and name.endswith("_hour"):
        reason = f"must be an hour of the day: 0 to {HOUR_MAX}"
    elif number > _AT_MOST.get(path, math.inf):
        reason = f"must not exceed {_AT_MOST[path]}"
    elif path == ("shards", "count") and not 1 <= number <= SHARDS_MAX:
        reason = f"must be between 1 and {SHARDS_MAX}"
    if reason:
        raise SettingsError(dotted(path), source, reason)


def _is_port(path: Path) -> bool:
    return path[-1] == "port" or path[0] == "metrics"
