"""Writes the Python source that encodes messages of one set of elements.

Theory of operation. A message has this set of elements when it has as many keys and no look-up
fails. Its values are joined into as few pieces as the layout allows: elements packed as nibbles
(n, x+n, z), each with its prefix and pad, become one string and one `a2b_hex`; text between two
length prefixes becomes one string and one `encode`, and for EBCDIC one translation. Lengths are
compared value by value, because only their sum would show in a piece; alphabets are checked piece
by piece (see `tables`). `a2b_hex` and `encode` refuse what is not ASCII, and the length of each
text piece shows a value that was no string.

As with decoding, a plan never says what is wrong: `careful` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

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


@attrs.define
class _Writer:
    lines: list[str] = attrs.Factory(list)
    conditions: list[str] = attrs.Factory(list)
    widths: dict[int, list[str]] = attrs.Factory(dict)  # required length -> variables
    pieces: list[str] = attrs.Factory(lambda: ["HEADS[fields[0]]"])  # MTI and bitmap
    digits: list[str] = attrs.Factory(list)  # the pieces to be checked as BCD
    texts: list[str] = attrs.Factory(list)  # the pieces to be checked as printable
    decimals: list[str] = attrs.Factory(list)  # text that must be digits

    def require_width(self, variable: str, width: int) -> None:
        """Demand the exact length of a value."""
        self.widths.setdefault(width, []).append(variable)


def encode_source(elements: Sequence[Element]) -> str:
    """Return the source of `encode(fields)` for messages of these elements, ascending."""
    writer = _Writer()
    for element in elements:
        writer.lines.append(f"a{element.number} = fields[{element.number}]")
    for view, group in groupby(elements, view_of):
        match view.split()[0]:
            case "digits":
                _digits(writer, list(group))
            case "text":
                _text(writer, list(group))
            case "z":
                _track(writer, next(group))
            case _:
                _binary(writer, next(group))
    conditions = [
        f"len(fields) == {1 + len(elements)}",
        *(
            " == ".join([*(f"len({name})" for name in variables), str(width)])
            for width, variables in sorted(writer.widths.items())
        ),
        *writer.conditions,
        *digits_only(writer.decimals),
        *alphabet_conditions(writer.digits, "BCD"),
        *alphabet_conditions(writer.texts, "PRINTABLE"),
    ]
    return "\n".join(
        [
            "def encode(fields):",
            "    try:",
            *(f"        {line}" for line in writer.lines),
            "        if (",
            "            " + "\n            and ".join(conditions),
            "        ):",
            f'            return b"".join(({", ".join(writer.pieces)},))',
            "    except (AttributeError, IndexError, KeyError, TypeError, ValueError):",
            "        pass",
            "    return careful(fields)",
            "",
        ]
    )


def _digits(writer: _Writer, stretch: Sequence[Element]) -> None:
    """Pack n and x+n elements, prefixes and pads into one piece.

    A prefix or sign that is not BCD becomes a piece of its own, with a new one behind it.
    """
    parts: list[str] = []
    first = stretch[0]

    def flush(following: Element) -> None:
        nonlocal first
        if parts:
            name = f"digits{first.number}"
            writer.lines.append(f'{name} = a2b_hex(f"{"".join(parts)}")')
            writer.pieces.append(name)
            writer.digits.append(name)
            parts.clear()
        first = following

    for element in stretch:
        value = f"a{element.number}"
        if not element.fixed:
            if element.prefix.kind != "bcd":
                flush(element)
            parts += _variable_nibbles(writer, element)
        elif element.signed:
            writer.require_width(value, 1 + element.length_max)
            if element.charset.is_ascii:
                parts.append(f"{{SIGN_TO_HEX[{value}[0]]}}")
            else:
                flush(element)
                writer.pieces.append(f"SIGN_BYTES{of_charset(element.charset)}[{value}[0]]")
            parts.append(f"{{{value}[1:]}}")
        else:
            writer.require_width(value, element.length_max)
            parts += _padded(element, value, "0" if element.length_max % 2 else "")
    flush(first)


def _variable_nibbles(writer: _Writer, element: Element) -> list[str]:
    """Look up prefix and pad of a value by its length; a prefix that is not BCD is a piece."""
    number = element.number
    inline = element.prefix.kind == "bcd"
    table = table_name(element, "prefixes_of_nibbles" if inline else "prefixes_and_pads")
    writer.lines.append(f"p{number}, q{number} = {table}[len(a{number})]")
    padded = _padded(element, f"a{number}", f"{{q{number}}}")
    if inline:
        return [f"{{p{number}}}", *padded]
    writer.pieces.append(f"p{number}")
    return padded


def _padded(element: Element, value: str, pad: str) -> list[str]:
    return [pad, f"{{{value}}}"] if element.pad_left else [f"{{{value}}}", pad]


def _track(writer: _Writer, element: Element) -> None:
    """Pack a z element; its letters must be upper-case, which `a2b_hex` would not mind."""
    value, name = f"a{element.number}", f"track{element.number}"
    if element.fixed:
        writer.require_width(value, element.length_max)
        parts = _padded(element, value, "0" if element.length_max % 2 else "")
    else:
        parts = _variable_nibbles(writer, element)
    writer.lines.append(f'{name} = a2b_hex(f"{"".join(parts)}")')
    writer.conditions += [
        f"{value} == {value}.upper()",
        f"{name}.translate(TRACK).isascii()",
    ]
    writer.pieces.append(name)


def _text(writer: _Writer, stretch: Sequence[Element]) -> None:
    """Encode elements of characters, one piece between two prefixes."""
    values: list[str] = []
    lengths: list[str] = []
    charset = of_charset(stretch[0].charset)
    from_ascii = f".translate(FROM_ASCII{charset})" if charset else ""

    def flush() -> None:
        if values:
            name = f"text{values[0][1:]}"
            joined = "".join(f"{{{value}}}" for value in values)
            writer.lines.append(f'{name} = f"{joined}".encode("ascii")')
            writer.conditions.append(f"len({name}) == {_sum(lengths)}")
            writer.pieces.append(f"{name}{from_ascii}")
            writer.texts.append(name)
            values.clear()
            lengths.clear()

    for element in stretch:
        value = f"a{element.number}"
        if element.fixed:
            width = element.size_bytes(element.length_max)
            writer.require_width(value, width)
            lengths.append(str(width))
        else:
            flush()
            n = f"n{element.number}"
            writer.lines.append(f"{n} = len({value})")
            writer.pieces.append(f"{table_name(element, 'prefixes_of_bytes')}[{n}]")
            lengths.append(n)
        values.append(value)
        conditions, decimals = content_conditions(element, value)
        writer.conditions += conditions
        writer.decimals += decimals
    flush()


def _sum(lengths: Sequence[str]) -> str:
    """Add up what is known now and leave the variables to run time."""
    constant = sum(int(length) for length in lengths if length.isdecimal())
    variables = [length for length in lengths if not length.isdecimal()]
    return " + ".join([*variables, *([str(constant)] if constant else [])])


def _binary(writer: _Writer, element: Element) -> None:
    """Pack a b element from upper-case hex; formatting turns what is no string into an error."""
    number = element.number
    value, name = f"a{number}", f"binary{number}"
    writer.lines.append(f'{name} = a2b_hex(f"{{{value}}}")')
    writer.conditions.append(f"{value} == {value}.upper()")
    if element.fixed:
        writer.require_width(value, 2 * element.length_max)
    else:
        table = table_name(element, "prefixes_of_bytes")
        writer.pieces.append(f"{table}[len({name})]")
    writer.pieces.append(name)
