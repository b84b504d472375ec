"""What a dialect file holds: its tables, as typed records.

`docs/dialects.md` explains every key to whoever writes such a file. Here stand the types alone:
`reading` fills them, `checks` says what types cannot.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, field

from switch.dialects.framings import Framing, Table

Kind = Literal["n", "z", "x+n", "an", "ans", "b"]
Digits = Literal["bcd", "text"]
Text = Literal["ascii", "cp037", "cp1047"]
PrefixKind = Literal["bcd", "binary", "text"]

_FORMAT: Final = re.compile(r"(n|z|x\+n|ans|an|b)(\.\.\.|\.\.)?([1-9][0-9]{0,2})")
_PREFIX_DIGITS: Final = {None: 0, "..": 2, "...": 3}
_HUNDRED_S: Final = Meta(gt=0, le=120)


class Packing(Table, frozen=True):
    """How messages are packed where an element does not say otherwise."""

    mti: Literal["bcd", "text"]
    bitmap: Literal["binary"]
    bitmaps_max: Literal[2, 3]  # all of them stand together behind the MTI
    digits: Digits  # n, z and the digits of x+n: two to a byte, or one character each
    text: Text  # an, ans, the sign of x+n, and digits that are text
    length_prefix: PrefixKind
    track_separators: Literal["D", "=", "D="] = "D"  # between the fields of z


class ElementFormat(Table, frozen=True):
    """One line of `[elements]`: a name, the ISO notation of its format, and what is special."""

    name: str
    format: str
    pad: Literal["left", "right", ""] = ""  # the side of the zero nibble beside an odd digit count
    min: int = 1
    digits: Digits | None = None  # None = as [packing] says; so for the next two
    text: Text | None = None
    length_prefix: PrefixKind | None = None
    counts: Literal["digits", "bytes"] = "digits"  # what a prefix counts of packed digits

    def parse(self, packing: Packing) -> tuple[Kind, int, int]:
        """Split the notation into kind, digits of the length prefix (0, 2 or 3) and length.

        Raises:
            ValueError: the notation, or what stands beside it, makes no sense; says why.
        """
        match = _FORMAT.fullmatch(self.format)
        if match is None:
            raise ValueError(f"format {self.format!r} is none of the notation's")
        kind, dots, digits = match.groups()
        prefix_digits, length = _PREFIX_DIGITS[dots], int(digits)
        packed = kind in ("n", "z", "x+n") and (self.digits or packing.digits) == "bcd"
        if kind == "x+n" and (prefix_digits or length % 2):
            raise ValueError("x+n is fixed and has an even number of digits")
        self._check_prefix(packing, prefix_digits, length, packed=packed)
        by_bytes = self.counts == "bytes"
        may_be_odd = packed and not by_bytes and (prefix_digits > 0 or length % 2 == 1)
        if may_be_odd and not self.pad:
            raise ValueError("an odd number of digits needs a pad side")
        if self.pad and not may_be_odd:
            raise ValueError("pad belongs to packed digits that may be odd in number")
        if not 1 <= self.min <= length:
            raise ValueError(f"min {self.min} is outside 1 to {length}")
        if self.min != 1 and not prefix_digits:
            raise ValueError("min belongs to elements of variable length")
        return kind, prefix_digits, length  # type: ignore[return-value]  # the pattern's first group

    def _check_prefix(
        self, packing: Packing, prefix_digits: int, length: int, *, packed: bool
    ) -> None:
        by_bytes = self.counts == "bytes"
        if by_bytes and not (packed and prefix_digits and length % 2 == 0):
            raise ValueError("counts belongs to packed digits behind a prefix, of even length")
        if not prefix_digits:
            return
        prefix = self.length_prefix or packing.length_prefix
        largest = 256 ** (prefix_digits - 1) - 1 if prefix == "binary" else 10**prefix_digits - 1
        if (length // 2 if by_bytes else length) > largest:
            raise ValueError(f"length {length} does not fit its prefix, which ends at {largest}")


class Policy(Table, frozen=True, kw_only=True):
    """What the network expects of whoever is connected to it; instants and money, not bytes."""

    response_deadline_s: Annotated[float, _HUNDRED_S]  # then an outcome is unknown
    echo_idle_s: Annotated[float, Meta(gt=0, le=3_600)]  # of silence, before an echo is sent
    echo_timeout_s: Annotated[float, _HUNDRED_S]
    echo_misses_max: Annotated[int, Meta(ge=1, le=10)]  # in a row; then the link is closed
    reversal_mti: Literal["0400", "0420"] = "0420"  # of a reversal that is stored and forwarded
    repeat_mti: Literal["repeat", "same"] = (
        "repeat"  # of a message sent again: 0421 after 0420, or 0420
    )
    repeat_refreshes_de7: bool = False  # whether a repeat carries a new DE 7
    unknown_outcome: Literal["inquire_then_reverse", "reverse"]
    mac: Literal["none", "cmac"]  # DE 64 or 128
    answers_on_other_links: bool  # whether an answer may come by another connection of the group
    pos_entry_mode: str  # DE 22 of a payment typed in at a merchant's web page
    pos_condition_code: str  # DE 25 of the same


class NetworkFunctions(Table, frozen=True):
    """The values of DE 70 in 0800 and 0810; empty where the network has no such function."""

    sign_on: str
    sign_off: str
    echo: str
    cutover: str = ""
    key_exchange: str = ""  # we ask for a key
    key_push: str = ""  # the network sends one


class PrivateTags(Table, frozen=True):
    """The element that carries private tag-length-value data, and the tags we know."""

    element: int
    tag_chars: Literal[2]
    length_digits: Literal[2]
    tags: dict[str, str]


class Echo(Table, frozen=True):
    """The elements a response repeats unchanged."""

    elements: tuple[int, ...]


class MessageRule(Table, frozen=True):
    """What one message type cannot do without."""

    mandatory: tuple[int, ...]


class DialectDocument(Table, frozen=True):
    """A dialect file as read and checked."""

    name: str
    title: str
    packing: Packing
    framing: Framing
    policy: Policy
    network_management: NetworkFunctions
    echo: Echo
    private: PrivateTags
    elements: dict[str, ElementFormat]
    messages: dict[str, MessageRule]
    file: str = field(default="", name="-")

    def functions(self) -> dict[str, str]:
        """Value of DE 70 by the name of its function, without those the network lacks."""
        functions: dict[str, str] = msgspec.structs.asdict(self.network_management)
        return {name: function for name, function in functions.items() if function}
