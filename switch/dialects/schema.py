"""Reads a dialect file and refuses one that does not hold together.

The file's grammar is explained atop `net87b.toml`. Reading has two steps: msgspec checks keys and
types, then `_check` and `ElementFormat.parse` check what types cannot say. Every error is a
`DialectError` that names the file and the key or element.
"""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

import msgspec
from msgspec import Struct, field

Kind = Literal["n", "z", "x+n", "an", "ans", "b"]

_Record = TypeVar("_Record", bound=Struct)

_FORMAT: Final = re.compile(r"(n|z|x\+n|ans|an|b)(\.\.\.|\.\.)?([1-9][0-9]{0,2})")
_PREFIX_DIGITS: Final = {None: 0, "..": 2, "...": 3}
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,2}")
_MTI: Final = re.compile(r"[0-9]{4}")
_FUNCTION: Final = re.compile(r"[0-9]{3}")


class DialectError(ValueError):
    """A dialect file is unusable; names the file, the key in it and the reason."""

    def __init__(self, file: str, key: str, reason: str) -> None:
        super().__init__(file, key, reason)
        self.file = file
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.reason}"


class ElementFormat(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of `[elements]`: a name and the ISO notation of its format."""

    name: str
    format: str
    pad: Literal["left", "right", ""] = ""  # the side of the zero nibble beside an odd digit count
    min: int = 1

    def parse(self) -> tuple[Kind, int, int]:
        """Split the notation into kind, digits of the length prefix (0, 2 or 3) and length.

        Raises:
            ValueError: the notation, or what stands beside it, makes no sense; says why.
        """
        match = _FORMAT.fullmatch(self.format)
        if match is None:
            raise ValueError(f"format {self.format!r} is none of the notation's")
        kind, dots, digits = match.groups()
        prefix_digits, length = _PREFIX_DIGITS[dots], int(digits)
        if kind == "x+n" and (prefix_digits or length % 2):
            raise ValueError("x+n is fixed and has an even number of digits")
        if prefix_digits and length >= 10**prefix_digits:
            raise ValueError(f"length {length} does not fit {prefix_digits} prefix digits")
        may_be_odd = kind in ("n", "z") and (prefix_digits > 0 or length % 2 == 1)
        if may_be_odd and not self.pad:
            raise ValueError("an odd number of digits needs a pad side")
        if self.pad and not may_be_odd:
            raise ValueError("pad belongs to digits that may be odd in number")
        if not 1 <= self.min <= length:
            raise ValueError(f"min {self.min} is outside 1 to {length}")
        if self.min != 1 and not prefix_digits:
            raise ValueError("min belongs to elements of variable length")
        return kind, prefix_digits, length  # type: ignore[return-value]  # the pattern's first group


class Packing(Struct, frozen=True, forbid_unknown_fields=True):
    """How the parts before and beside the elements are packed; one way each today."""

    mti: Literal["bcd"]
    bitmap: Literal["binary"]
    length_prefix: Literal["bcd"]


class Framing(Struct, frozen=True, forbid_unknown_fields=True):
    """The length header before each message: big-endian, excluding itself."""

    header_bytes: Literal[2, 4]
    frame_bytes_max: int


class PrivateTags(Struct, frozen=True, forbid_unknown_fields=True):
    """The element that carries private tag-length-value data, and the tags we know."""

    element: int
    tag_chars: Literal[2]
    length_digits: Literal[2]
    tags: dict[str, str]


class Echo(Struct, frozen=True, forbid_unknown_fields=True):
    """The elements a response repeats unchanged."""

    elements: tuple[int, ...]


class MessageRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What one message type cannot do without."""

    mandatory: tuple[int, ...]


class DialectDocument(Struct, frozen=True, forbid_unknown_fields=True):
    """A dialect file as read and checked."""

    name: str
    title: str
    packing: Packing
    framing: Framing
    network_management: dict[str, str]
    echo: Echo
    private: PrivateTags
    elements: dict[str, ElementFormat]
    messages: dict[str, MessageRule]
    file: str = field(default="", name="-")

    @classmethod
    def from_toml(cls, text: str, file: str) -> Self:
        """Read the text of a dialect file.

        Raises:
            DialectError: with the place and the reason.
        """
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise DialectError(file, "syntax", str(error)) from None
        # Entry by entry first: an error inside a whole table would not name the entry.
        for table, entry_type in (("elements", ElementFormat), ("messages", MessageRule)):
            entries = tables.get(table)
            for key, entry in entries.items() if isinstance(entries, dict) else ():
                _convert(entry, entry_type, file, f"{table}.{key}")
        document = _convert(tables, cls, file, "")
        document = msgspec.structs.replace(document, file=file)
        _check(document)
        return document


def _convert(value: object, to: type[_Record], file: str, key: str) -> _Record:
    try:
        return msgspec.convert(value, to)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at ")
        place = ".".join(filter(None, (key, place.strip("`$."))))
        raise DialectError(file, place or "top level", reason) from None


def read_dialect(name_or_path: str | Path) -> DialectDocument:
    """Read a bundled dialect by its name, or any other by its path (something ending in .toml).

    Raises:
        DialectError: there is no such dialect, or it is unusable.
    """
    file = str(name_or_path)
    try:
        if file.endswith(".toml"):
            text = Path(file).read_text(encoding="utf-8")
        elif _NAME.fullmatch(file):
            file = f"{file}.toml"
            text = resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
        else:
            raise DialectError(file, "name", "neither the name of a dialect nor a .toml path")
    except OSError as error:
        raise DialectError(file, "file", error.strerror or "unreadable") from None
    except UnicodeDecodeError:
        raise DialectError(file, "file", "not UTF-8") from None
    return DialectDocument.from_toml(text, file)


def _check(document: DialectDocument) -> None:
    """Refuse what the types allow and a codec could not use."""
    if not _NAME.fullmatch(document.name):
        raise DialectError(document.file, "name", "use lower-case letters, digits and underscores")
    if not 64 <= document.framing.frame_bytes_max < 256**document.framing.header_bytes:
        raise DialectError(
            document.file, "framing.frame_bytes_max", "outside 64 to what the header can say"
        )
    _check_elements(document)
    if not document.messages:
        raise DialectError(document.file, "messages", "a dialect has at least one message")
    for mti, rule in document.messages.items():
        if not _MTI.fullmatch(mti):
            raise DialectError(document.file, f"messages.{mti}", "an MTI has four digits")
        _check_members(document, f"messages.{mti}.mandatory", rule.mandatory)
    for name, function in document.network_management.items():
        if not _FUNCTION.fullmatch(function):
            raise DialectError(
                document.file, f"network_management.{name}", "a network function has three digits"
            )
    _check_members(document, "echo.elements", document.echo.elements)
    _check_members(document, "private.element", (document.private.element,))


def _check_elements(document: DialectDocument) -> None:
    names: set[str] = set()
    for number, element in document.elements.items():
        reason = None
        if not _NUMBER.fullmatch(number) or not 2 <= int(number) <= 128:
            reason = "elements are numbered 2 to 128"
        elif number == "65":
            reason = "DE 65 announces a third bitmap and is no element"
        elif not _NAME.fullmatch(element.name) or element.name in names:
            reason = "its name is malformed or taken"
        else:
            try:
                element.parse()
            except ValueError as error:
                reason = str(error)
        if reason is not None:
            raise DialectError(document.file, f"elements.{number}", reason)
        names.add(element.name)


def _check_members(document: DialectDocument, key: str, numbers: tuple[int, ...]) -> None:
    for number in numbers:
        if str(number) not in document.elements:
            raise DialectError(document.file, key, f"DE {number} is not in [elements]")
    if len(set(numbers)) != len(numbers):
        raise DialectError(document.file, key, "an element is named twice")
