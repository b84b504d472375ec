"""What the sources of encoding and decoding plans have in common."""

from __future__ import annotations

from collections.abc import Sequence

from switch.iso8583.charsets import Charset
from switch.iso8583.elements import Element


def view_of(element: Element) -> str:
    """How the element's bytes are looked at; packed z, and b, stand each for itself."""
    if element.kind == "b" or (element.kind == "z" and element.packed):
        return f"{element.kind} {element.number}"
    return "digits" if element.packed else f"text {element.charset.name}"


def table_name(element: Element, view: str) -> str:
    """The name that a plan's namespace gives to the prefix table of such an element."""
    prefix = element.prefix
    name = f"{view}_{element.length_min}_{element.length_max}_{prefix.size}"
    if prefix.kind != "bcd":
        name += f"_{prefix.kind}"
    if prefix.unit > 1:
        name += "_pairs"
    return name + of_charset(prefix.charset)


def of_charset(charset: Charset) -> str:
    """What a name in a plan ends with that belongs to a charset; nothing for ASCII."""
    return "" if charset.is_ascii else f"_{charset.name}"


def alphabet_conditions(runs: Sequence[str], table: str) -> list[str]:
    """One condition over all runs of bytes: adding them up costs less than asking twice."""
    if not runs:
        return []
    joined = runs[0] if len(runs) == 1 else f"({' + '.join(runs)})"
    return [f"{joined}.translate({table}).isascii()"]


def alphanumeric(variable: str) -> str:
    """The condition that a text known to be printable ASCII holds letters, digits, spaces only."""
    return f'({variable}.isalnum() or {variable}.replace(" ", "0").isalnum())'


def digits_only(values: Sequence[str]) -> list[str]:
    """The condition that values known to be printable ASCII hold digits only; all in one go."""
    if not values:
        return []
    joined = "".join(f"{{{value}}}" for value in values)
    return [f'f"{joined}".isdecimal()']


def content_conditions(element: Element, variable: str) -> tuple[list[str], list[str]]:
    """What must hold of a value that is text, beyond being printable ASCII.

    Returns:
        Conditions, and expressions that must be digits only (for `digits_only`).
    """
    match element.kind:
        case "an":
            return [alphanumeric(variable)], []
        case "n":
            return [], [variable]
        case "x+n":
            return [f'{variable}[0] in "CD"'], [f"{variable}[1:]"]
        case "z":
            as_digits = "".join(f'.replace("{mark}", "0")' for mark in element.separators)
            return [f"{variable}{as_digits}.isdecimal()"], []
        case _:
            return [], []
