"""The table of cases.

It is `catalog.toml`, so that what is certified can be read without reading code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from importlib import resources

import msgspec


class UnknownCaseError(ValueError):
    """A pattern names no case."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the table."""

    id: str
    purpose: str
    stimulus: str
    expected: str


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cases: tuple[Row, ...]


def load_table() -> tuple[Row, ...]:
    """Every case there is, in the order of the catalog."""
    text = resources.files(__package__).joinpath("catalog.toml").read_text("utf-8")
    return msgspec.toml.decode(text, type=_Table).cases


def select(rows: Iterable[Row], patterns: Sequence[str]) -> list[Row]:
    """The rows whose id fits one of the patterns, such as `TL*`; all of them without patterns.

    Raises:
        UnknownCaseError: a pattern fits nothing.
    """
    listed = list(rows)
    if not patterns:
        return listed
    for pattern in patterns:
        if not any(fnmatchcase(row.id, pattern) for row in listed):
            raise UnknownCaseError(f"no case is called {pattern}")
    return [row for row in listed if any(fnmatchcase(row.id, pattern) for pattern in patterns)]
