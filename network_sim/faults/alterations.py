"""Answers made wrong before they are packed: elements changed, taken out, put in. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from network_sim.faults.actions import Alter, Unsolicited
from switch.iso8583 import Dialect

Fields = dict[int, str]


def altered(answer: Mapping[int, str], deed: Alter | Unsolicited, dialect: Dialect) -> Fields:
    """An answer with a deed done to it; what is put in is filled to its element's width."""
    fields = dict(answer)
    for number in deed.wrong:
        if number in fields:
            fields[number] = other_value(fields[number])
    for number, text in deed.set.items():
        fields[number] = dialect.fit(number, text) if number in dialect.elements else text
    if isinstance(deed, Alter):
        _remove(fields, deed.remove)
    return fields


def other_value(text: str) -> str:
    """Another value of the same form: the last digit one higher, or the last letter another."""
    head, last = text[:-1], text[-1:]
    if last.isdecimal():
        return head + str((int(last) + 1) % 10)
    if last in "AB":
        return head + ("B" if last == "A" else "A")
    stripped = text.rstrip(" ")
    if stripped != text and stripped:
        return other_value(stripped).ljust(len(text))
    return head + "A"


def _remove(fields: Fields, numbers: Iterable[int]) -> None:
    for number in numbers:
        fields.pop(number, None)
