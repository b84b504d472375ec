"""Writes the Python source that decodes messages of one bitmap.

Theory of operation. Decoding element by element costs a call, a few comparisons and a handful of
slices for each, so the plan does as much as it can for many elements at once:

- Elements that stand side by side and are read the same way form a *stretch*: packed digits
  (n, x+n), text (an, ans, and digits of one character each), packed track (z) or binary (b). A
  stretch is turned into text once, digits by `bytes.hex` and text as Latin-1 (EBCDIC after one
  translation), and every value of it is one slice of that text.
- Offsets are constants up to the first element of variable length. Behind it the view is sliced
  anew, so that they are constants again; only the variable `o<DE>`, the byte where that element
  ended, is known at run time.
- What must hold is collected and asked in one condition at the end: no bytes missing or left
  over, pad nibbles zero, whole runs of bytes within their alphabet (see `tables`). Slices beyond
  the end of a short message yield short strings, harmless because its length is in the condition;
  an illegal length prefix is a `KeyError`.
- A plan never says what is wrong. It hands such a message to `careful`, the interpreter, which
  raises the exact error; called outside the `except` block, so that no exception holding a piece
  of the message becomes the error's context.

The source is made of numbers from the dialect only, never of anything a peer sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Self

import attrs

from switch.iso8583.elements import Element
from switch.iso8583.plan_parts import (
    alphabet_conditions,
    content_conditions,
    digits_only,
    of_charset,
    table_name,
    view_of,
)


@attrs.frozen
class _At:
    """A byte offset: a variable that run time fills (or none) plus a constant."""

    variable: str
    constant: int

    def __add__(self, count: int) -> Self:
        return attrs.evolve(self, constant=self.constant + count)

    def __str__(self) -> str:
        if not self.variable:
            return str(self.constant)
        return f"{self.variable} + {self.constant}" if self.constant else self.variable


@attrs.define
class _Writer:
    at: _At
    lines: list[str] = attrs.Factory(list)
    conditions: list[str] = attrs.Factory(list)
    runs: dict[str, list[str]] = attrs.Factory(dict)  # alphabet -> runs of bytes
    digits: list[str] = attrs.Factory(list)  # text that must be digits

    def advance_behind(self, element: Element, offset: _At, size: str) -> None:
        """Move behind a variable element whose value of `size` bytes begins at `offset`."""
        name = f"o{element.number}"
        self.lines.append(f"{name} = {offset} + {size}")
        self.at = _At(name, 0)

    def check_run(self, start: _At, end: _At, table: str) -> None:
        """Demand that the bytes between two offsets are all in a table's alphabet."""
        if str(start) != str(end):
            self.runs.setdefault(table, []).append(f"data[{start}:{end}]")


def decode_source(mti_bytes: int, start: int, elements: Sequence[Element]) -> str:
    """Return the source of `decode(data)` for messages of these elements.

    Args:
        mti_bytes: of the message type, 2 or 4.
        start: the byte behind the bitmap or bitmaps.
        elements: in ascending order.
    """
    writer = _Writer(_At("", start))
    for view, group in groupby(elements, view_of):
        stretch = list(group)
        match view.split()[0]:
            case "digits":
                _digits(writer, stretch)
            case "text":
                _text(writer, stretch)
            case "z":
                _track(writer, stretch[0])
            case _:
                _binary(writer, stretch[0])
    conditions = [
        f"len(data) == {writer.at}",
        *writer.conditions,
        *digits_only(writer.digits),
    ]
    for table, runs in writer.runs.items():
        conditions += alphabet_conditions(runs, table)
    return "\n".join(
        [
            "def decode(data):",
            "    try:",
            "        fields = BLANK.copy()",
            f"        fields[0] = MTIS[data[0:{mti_bytes}]]",
            *(f"        {line}" for line in writer.lines),
            "        if (",
            "            " + "\n            and ".join(conditions),
            "        ):",
            "            return fields",
            "    except (IndexError, KeyError):",
            "        pass",
            "    return careful(data)",
            "",
        ]
    )


def _digits(writer: _Writer, stretch: Sequence[Element]) -> None:
    """Read n and x+n elements from one hex text."""
    run_start = writer.at
    size = sum(e.prefix.size + e.size_bytes(e.length_max) for e in stretch)
    view, cursor = f"h{stretch[0].number}", 0  # cursor counts nibbles of the view
    writer.lines.append(f"{view} = data[{writer.at}:{writer.at + size}].hex()")
    for index, element in enumerate(stretch):
        other = _bytes_that_are_no_digits(element)
        if other:
            at = writer.at + cursor // 2
            writer.check_run(run_start, at, "BCD")
            run_start = at + other
        if element.fixed:
            cursor = _fixed_digits(writer, element, view, cursor)
            continue
        value = _variable_digits(writer, element, view, cursor)
        writer.advance_behind(element, writer.at + value // 2, f"(w{element.number} >> 1)")
        if index + 1 < len(stretch):
            rest = f"h{stretch[index + 1].number}"
            writer.lines.append(f"{rest} = {view}[{value} + w{element.number}:]")
            view = rest
        cursor = 0
    writer.at += cursor // 2
    writer.check_run(run_start, writer.at, "BCD")


def _bytes_that_are_no_digits(element: Element) -> int:
    """How many bytes before the element's digits are not BCD; each has a look-up of its own."""
    if element.signed and not element.charset.is_ascii:  # in ASCII C and D are 43 and 44
        return 1
    return 0 if element.prefix.kind == "bcd" else element.prefix.size


def _fixed_digits(writer: _Writer, element: Element, view: str, cursor: int) -> int:
    """Read one value of fixed length; return the cursor behind it."""
    number, length = element.number, element.length_max
    if element.signed:
        end = cursor + 2 + length
        table = f"SIGN_FROM_HEX{of_charset(element.charset)}"
        writer.lines.append(
            f"fields[{number}] = {table}[{view}[{cursor}:{cursor + 2}]]"
            f" + {view}[{cursor + 2}:{end}]"
        )
        return end
    if length % 2:
        pad = cursor if element.pad_left else cursor + length
        writer.conditions.append(f'{view}[{pad}] == "0"')
    first = cursor + (length % 2 if element.pad_left else 0)
    writer.lines.append(f"fields[{number}] = {view}[{first}:{first + length}]")
    return cursor + length + length % 2


def _variable_digits(writer: _Writer, element: Element, view: str, cursor: int) -> int:
    """Read one value with its prefix; return where its nibbles begin in the view.

    Leaves its digits in `n<DE>` and its nibbles, pad included, in `w<DE>`.
    """
    number = element.number
    value = cursor + 2 * element.prefix.size
    n, w = f"n{number}", f"w{number}"
    writer.lines.append(
        f"{n}, {w} = {table_name(element, 'nibble_prefixes')}[{view}[{cursor}:{value}]]"
    )
    upper = ".upper()" if element.kind == "z" else ""
    if element.pad_left:
        writer.lines.append(f"fields[{number}] = {view}[{value} + {w} - {n}:{value} + {w}]{upper}")
        writer.conditions.append(f'({n} == {w} or {view}[{value}] == "0")')
    else:
        writer.lines.append(f"fields[{number}] = {view}[{value}:{value} + {n}]{upper}")
        writer.conditions.append(f'({n} == {w} or {view}[{value} + {n}] == "0")')
    return value


def _track(writer: _Writer, element: Element) -> None:
    """Read a packed z element: digits and the separator D, upper-case."""
    view, start = f"h{element.number}", writer.at
    size = element.prefix.size + element.size_bytes(element.length_max)
    writer.lines.append(f"{view} = data[{start}:{start + size}].hex()")
    if element.fixed:
        length = element.length_max
        first = length % 2 if element.pad_left else 0
        writer.lines.append(f"fields[{element.number}] = {view}[{first}:{first + length}].upper()")
        if length % 2:
            writer.conditions.append(f'{view}[{0 if element.pad_left else length}] == "0"')
        writer.at += size
    else:
        value = _variable_digits(writer, element, view, 0)
        writer.advance_behind(element, start + value // 2, f"(w{element.number} >> 1)")
    writer.check_run(start + element.prefix.size, writer.at, "TRACK")


def _text(writer: _Writer, stretch: Sequence[Element]) -> None:
    """Read elements of characters from one Latin-1 text, whose offsets are those of its bytes."""
    run_start = writer.at
    charset = of_charset(stretch[0].charset)
    printable = f"PRINTABLE{charset}"
    size = sum(e.prefix.size + e.size_bytes(e.length_max) for e in stretch)
    view, cursor = f"t{stretch[0].number}", 0
    to_ascii = f".translate(TO_ASCII{charset})" if charset else ""
    writer.lines.append(
        f'{view} = data[{writer.at}:{writer.at + size}]{to_ascii}.decode("latin-1")'
    )
    for index, element in enumerate(stretch):
        number = element.number
        target = f"fields[{number}]"
        conditions, digits = content_conditions(element, f"a{number}")
        if conditions or digits:
            target += f" = a{number}"
            writer.conditions += conditions
            writer.digits += digits
        if element.fixed:
            end = cursor + element.size_bytes(element.length_max)
            writer.lines.append(f"{target} = {view}[{cursor}:{end}]")
            cursor = end
            continue
        value = cursor + element.prefix.size
        writer.check_run(run_start, writer.at + cursor, printable)
        run_start = writer.at + value
        writer.lines += [
            f"n{number} = {_text_length(element, view, cursor, writer.at + cursor)}",
            f"{target} = {view}[{value}:{value} + n{number}]",
        ]
        writer.advance_behind(element, run_start, f"n{number}")
        if index + 1 < len(stretch):
            rest = f"t{stretch[index + 1].number}"
            writer.lines.append(f"{rest} = {view}[{value} + n{number}:]")
            view = rest
        cursor = 0
    writer.at += cursor
    writer.check_run(run_start, writer.at, printable)


def _text_length(element: Element, view: str, cursor: int, start: _At) -> str:
    """Look up a length, in the view where its prefix reads as it is, otherwise in the bytes."""
    size = element.prefix.size
    if element.charset.is_ascii or element.prefix.kind == "text":
        return f"{table_name(element, 'text_prefixes')}[{view}[{cursor}:{cursor + size}]]"
    return f"{table_name(element, 'byte_prefixes')}[data[{start}:{start + size}]]"


def _binary(writer: _Writer, element: Element) -> None:
    """Read a b element as upper-case hex; any byte may stand there."""
    number, start = element.number, writer.at
    if element.fixed:
        writer.at += element.length_max
    else:
        value = start + element.prefix.size
        table = table_name(element, "hex_prefixes")
        writer.lines.append(f"n{number} = {table}[data[{start}:{value}].hex()]")
        writer.advance_behind(element, value, f"n{number}")
        start = value
    writer.lines.append(f"fields[{number}] = data[{start}:{writer.at}].hex().upper()")
