"""As much of JSON Schema (draft 2020-12) as our own schemas use; any other word is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_TYPES: Mapping[str, type] = {
    "object": dict,
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
}
_SILENT = {"$schema", "$id", "$defs", "title", "description", "then"}
_HOLDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "type": lambda wanted, value: type(value) is _TYPES[wanted],
    "const": lambda wanted, value: bool(value == wanted),
    "enum": lambda wanted, value: value in wanted,
    "pattern": lambda wanted, value: re.search(wanted, value) is not None,
    "minimum": lambda wanted, value: bool(value >= wanted),
    "maximum": lambda wanted, value: bool(value <= wanted),
    "required": lambda wanted, value: not set(wanted) - value.keys(),
}


def violations(value: Any, schema: Schema, root: Schema, place: str = "$") -> Iterator[str]:
    """Where a value breaks a schema, and which word it breaks there."""
    for word, wanted in schema.items():
        if word in _HOLDS:
            if not _HOLDS[word](wanted, value):
                yield f"{place}: {word}"
                return
        elif word == "anyOf":
            if all(any(violations(value, one, root, place)) for one in wanted):
                yield f"{place}: anyOf"
        elif word not in _SILENT:
            for part, one, where in _inner(word, value, schema, root, place):
                yield from violations(part, one, root, where)


def _inner(
    word: str, value: Any, schema: Schema, root: Schema, place: str
) -> Iterator[tuple[Any, Schema, str]]:
    """What else has to hold: values within, or other schemas for the same value."""
    wanted = schema[word]
    if word == "$ref":
        yield value, root["$defs"][wanted.removeprefix("#/$defs/")], place
    elif word == "properties":
        for name in wanted.keys() & value.keys():
            yield value[name], wanted[name], f"{place}.{name}"
    elif word == "allOf":
        for one in wanted:
            yield value, one, place
    elif word == "if":
        if not any(violations(value, wanted, root, place)):
            yield value, schema["then"], place
    else:
        raise NotImplementedError(word)
