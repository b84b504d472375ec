"""Messages for the codec's tests: the golden vectors, sample values, hypothesis strategies."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import attrs
from hypothesis import strategies as st

from switch.iso8583 import Dialect, Element, Reason
from switch.iso8583.interpreter import Interpreter

VECTORS_FOLDER = Path(__file__).parents[1] / "vectors"
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_ALPHANUMERIC = "".join(c for c in _PRINTABLE if c.isalnum() or c == " ")


class Codec(Protocol):
    """What the compiled codec, the interpreter and the reference have in common."""

    def encode(self, fields: dict[int, str], /) -> bytes:
        """Encode a message."""
        ...

    def decode(self, data: bytes, /) -> dict[int, str]:
        """Decode a message."""
        ...


@attrs.frozen
class Vector:
    """A message and its bytes."""

    name: str
    fields: dict[int, str]
    data: bytes
    decode_only: bool


@attrs.frozen
class Refused:
    """Bytes that are no message, and what is said about them."""

    name: str
    data: bytes
    de: int
    offset: int
    reason: Reason


def _vectors(name: str) -> list[Vector]:
    return [
        Vector(
            name=entry["name"],
            fields={int(number): text for number, text in entry["fields"].items()},
            data=bytes.fromhex("".join(part for _, part in entry["parts"])),
            decode_only=entry.get("decode_only", False),
        )
        for entry in _DOCUMENTS[name]["messages"]
    ]


def _refused(name: str) -> list[Refused]:
    return [
        Refused(
            name=entry["name"],
            data=bytes.fromhex(entry["hex"]),
            de=entry["de"],
            offset=entry["offset"],
            reason=Reason[entry["reason"]],
        )
        for entry in _DOCUMENTS[name]["refused"]
    ]


BUNDLED = ("net87b", "vip", "cis")
_DOCUMENTS = {
    name: json.loads((VECTORS_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    for name in BUNDLED
}
VECTORS_OF = {name: _vectors(name) for name in BUNDLED}
REFUSED_OF = {name: _refused(name) for name in BUNDLED}
VECTORS = VECTORS_OF["net87b"]
SALE = next(vector for vector in VECTORS if vector.name == "sale_request")


def interpreter_of(dialect: Dialect) -> Interpreter:
    """The definition of what the dialect's compiled codec must do."""
    return dialect.interpreter


def sample(element: Element, length: int | None = None) -> str:
    """Return a plain valid value, of the greatest length unless told."""
    count = element.length_max if length is None else length
    match element.kind:
        case "n":
            return "1234567890"[: count % 10] + "1234567890" * (count // 10)
        case "z":
            return ("4222222222222D30121011234567890123456789")[:count]
        case "x+n":
            return "D" + "1" * count
        case "b":
            return "A5" * count
        case _:
            return "x" * count


def warm(dialect: Dialect, numbers: Iterable[int], mti: str = "0200") -> None:
    """Make the dialect compile both plans for these elements."""
    fields = {0: mti, **{number: sample(dialect.elements[number]) for number in numbers}}
    for _ in range(2):  # the first of a kind goes through the interpreter
        assert dialect.decode(dialect.encode(fields)) == dict(sorted(fields.items()))


def values(element: Element) -> st.SearchStrategy[str]:
    """Every valid value of an element."""
    by_bytes = element.prefix.unit > 1
    shortest, longest = element.length_min + by_bytes, element.length_max

    def text(alphabet: str) -> st.SearchStrategy[str]:
        drawn = st.text(alphabet, min_size=shortest, max_size=longest)
        return drawn.map(lambda value: value[: len(value) // 2 * 2]) if by_bytes else drawn

    match element.kind:
        case "n":
            return text("0123456789")
        case "z":
            return text("0123456789" + element.separators)
        case "x+n":
            return st.tuples(st.sampled_from("CD"), text("0123456789")).map("".join)
        case "b":
            return st.binary(min_size=shortest, max_size=longest).map(lambda b: b.hex().upper())
        case "an":
            return text(_ALPHANUMERIC)
        case "ans":
            return text(_PRINTABLE)


@st.composite
def messages(draw: st.DrawFn, dialect: Dialect, elements_max: int = 18) -> dict[int, str]:
    """Draw a valid message of a dialect: any MTI, any elements in any order, any values."""
    chosen = draw(
        st.lists(st.sampled_from(sorted(dialect.elements)), unique=True, max_size=elements_max)
    )
    fields = {0: draw(st.sampled_from(sorted(dialect.mtis)))}
    for number in chosen:
        fields[number] = draw(values(dialect.elements[number]))
    return fields
