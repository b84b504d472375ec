"""Splitting a batch so that no intent stands in it twice (money.md 4)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

T = TypeVar("T")


def split_distinct(items: Sequence[T], key: Callable[[T], Hashable]) -> tuple[list[T], list[T]]:
    """The first item of each key, and the rest; both keep their order."""
    names = list(map(key, items))
    if len(set(names)) == len(names):  # as nearly every batch is
        return list(items), []
    first: list[T] = []
    rest: list[T] = []
    seen: set[Hashable] = set()
    for name, item in zip(names, items, strict=True):
        if name in seen:
            rest.append(item)
        else:
            seen.add(name)
            first.append(item)
    return first, rest
