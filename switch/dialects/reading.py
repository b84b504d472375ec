"""Reads a dialect file and refuses one that does not hold together.

Two steps: msgspec checks keys and types, then `checks` what types cannot say. Every error is a
`DialectError` that names file, line and key.
"""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from switch.dialects.checks import NAME, FaultError, check
from switch.dialects.errors import DialectError, line_of
from switch.dialects.schema import DialectDocument, ElementFormat, MessageRule

_SYNTAX_LINE: Final = re.compile(r"at line (\d+)")
_FIELD: Final = re.compile(r"Object (?:contains unknown|missing required) field `([^`]+)`")
_Record = TypeVar("_Record", bound=Struct)


def read_dialect(name_or_path: str | Path) -> DialectDocument:
    """Read a bundled dialect by its name, or any other by its path (something ending in .toml).

    Raises:
        DialectError: there is no such dialect, or it is unusable.
    """
    file = str(name_or_path)
    try:
        if file.endswith(".toml"):
            text = Path(file).read_text(encoding="utf-8")
        elif NAME.fullmatch(file):
            file = f"{file}.toml"
            text = resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
        else:
            raise DialectError(file, "name", "neither the name of a dialect nor a .toml path")
    except FileNotFoundError:
        known = ", ".join(bundled_dialects())
        raise DialectError(file, "file", f"not there; the bundled ones are {known}") from None
    except OSError as error:
        raise DialectError(file, "file", error.strerror or "unreadable") from None
    except UnicodeDecodeError:
        raise DialectError(file, "file", "not UTF-8") from None
    return parse_dialect(text, file)


def bundled_dialects() -> list[str]:
    """The names of the dialects that come with the product."""
    folder = resources.files(__package__)
    return sorted(
        path.name.removesuffix(".toml") for path in folder.iterdir() if path.name.endswith(".toml")
    )


def parse_dialect(text: str, file: str) -> DialectDocument:
    """Read the text of a dialect file.

    Raises:
        DialectError: with the place and the reason.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = _SYNTAX_LINE.search(str(error))
        raise DialectError(file, "syntax", str(error), int(line[1]) if line else 0) from None
    try:
        # Entry by entry first: an error inside a whole table would not name the entry.
        for table, entry_type in (("elements", ElementFormat), ("messages", MessageRule)):
            entries = tables.get(table)
            for key, entry in entries.items() if isinstance(entries, dict) else ():
                _convert(entry, entry_type, f"{table}.{key}")
        document = _convert(tables, DialectDocument, "")
        check(document)
    except FaultError as fault:
        key, reason = fault.key, fault.reason
    else:
        return msgspec.structs.replace(document, file=file)
    raise DialectError(file, key, reason, line_of(text, key))


def _convert(value: object, to: type[_Record], key: str) -> _Record:
    try:
        return msgspec.convert(value, to)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at ")
        named = _FIELD.match(reason)
        parts = [key, place.strip("`$."), named[1] if named else ""]
        raise FaultError(".".join(filter(None, parts)), reason) from None
