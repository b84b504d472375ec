"""What is wrong with a dialect file, and where."""

from __future__ import annotations

import re
from typing import Final

_HEADER: Final = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_ENTRY: Final = re.compile(r"""\s*((?:[A-Za-z0-9_.\-\s]|"[^"]*"|'[^']*')+?)\s*=""")
_INDEX: Final = re.compile(r"\[[^\]]*\]$")


class DialectError(ValueError):
    """A dialect file is unusable; names the file, the line, the key and the reason.

    Attributes:
        file: as it was named to us.
        key: dotted, such as `elements.3.format`; or `file`, `name` and `syntax` for the whole.
        reason: in words.
        line: from 1; 0 where the fault stands at no line, as a table that is not there.
    """

    def __init__(self, file: str, key: str, reason: str, line: int = 0) -> None:
        super().__init__(file, key, reason, line)
        self.file = file
        self.key = key
        self.reason = reason
        self.line = line

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.reason}"


def line_of(text: str, key: str) -> int:
    """Find the line of a TOML file at which a key, or the nearest table around it, stands.

    The file is scanned line by line and not parsed: a line inside a multi-line string that looks
    like an entry would be taken for one. Dialect files have no use for such strings.

    Args:
        text: the file.
        key: dotted; indices into arrays are left aside.

    Returns:
        The line, from 1; 0 if not even the first part of the key is there.
    """
    path = tuple(_INDEX.sub("", part) for part in key.split("."))
    table: tuple[str, ...] = ()
    nearest, deepest = 0, 0
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.fullmatch(line):
            place = table = _path(header[1])
        elif entry := _ENTRY.match(line):
            place = table + _path(entry[1])
        else:
            continue
        if len(place) > deepest and path[: len(place)] == place:
            nearest, deepest = number, len(place)
    return nearest


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
