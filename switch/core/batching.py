"""Splitting a batch so that no intent stands in it twice (money.md 4)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

T = TypeVar("T")


def split_distinct(items: Iterable[T], key: Callable[[T], Hashable]) -> tuple[list[T], list[T]]:
    """The first item of each key, and the rest; both keep their order."""
    first: list[T] = []
    rest: list[T] = []
    seen: set[Hashable] = set()
    for item in items:
        name = key(item)
        if name in seen:
            rest.append(item)
        else:
            seen.add(name)
            first.append(item)
    return first, rest
