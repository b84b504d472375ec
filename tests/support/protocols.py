"""Holding fakes and seams to the interface of what they stand for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def same_parameters(function: Callable[..., Any], names: tuple[str, ...]) -> bool:
    """Whether a function takes parameters of just these names, in this order."""
    return tuple(inspect.signature(function).parameters) == names


def assert_same_methods(fake: type, real: type, *names: str) -> None:
    """Fail unless both classes have these methods, of one kind and with equal parameters."""
    for name in names:
        ours, theirs = getattr(fake, name), getattr(real, name)
        assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs), name
        assert _shape(ours) == _shape(theirs), name


def _shape(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    return [(p.name, p.kind) for p in inspect.signature(function).parameters.values()]
