"""What the sources of encoding and decoding plans have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from switch.iso8583.elements import Element

_VIEWS: Final = {"n": "digits", "x+n": "digits", "an": "text", "ans": "text"}


def view_of(element: Element) -> str:
    """How the element's bytes are looked at; z and b stand each for itself."""
    return _VIEWS.get(element.kind) or f"{element.kind} {element.number}"


def table_name(element: Element, view: str) -> str:
    """The name that a plan's namespace gives to the prefix table of such an element."""
    return f"{view}_{element.length_min}_{element.length_max}_{element.prefix_bytes}"


def alphabet_conditions(runs: Sequence[str], table: str) -> list[str]:
    """One condition over all runs of bytes: adding them up costs less than asking twice."""
    if not runs:
        return []
    joined = runs[0] if len(runs) == 1 else f"({' + '.join(runs)})"
    return [f"{joined}.translate({table}).isascii()"]


def alphanumeric(variable: str) -> str:
    """The condition that a text known to be printable ASCII holds letters, digits, spaces only."""
    return f'({variable}.isalnum() or {variable}.replace(" ", "0").isalnum())'
