"""Data elements: their names in code, and how one is laid out on the wire."""

from __future__ import annotations

from enum import IntEnum, unique
from typing import Self

import attrs

from switch.dialects import ElementFormat, Packing
from switch.dialects.schema import Kind
from switch.iso8583.charsets import CHARSETS, Charset
from switch.iso8583.prefixes import Prefix


@unique
class DE(IntEnum):
    """The elements that the product speaks of by name; the numbers are ISO 8583:1987's.

    `MTI` is our key for the message type, which has no element number.
    """

    MTI = 0
    PAN = 2
    PROCESSING_CODE = 3
    AMOUNT = 4
    TRANSMISSION_DATE_TIME = 7
    STAN = 11
    LOCAL_TIME = 12
    LOCAL_DATE = 13
    EXPIRY = 14
    SETTLEMENT_DATE = 15
    MERCHANT_CATEGORY = 18
    ACQUIRER_COUNTRY = 19
    POS_ENTRY_MODE = 22
    POS_CONDITION_CODE = 25
    ACQUIRER_ID = 32
    FORWARDING_ID = 33
    TRACK_2 = 35
    TRACK_3 = 36
    RRN = 37
    APPROVAL_CODE = 38
    RESPONSE_CODE = 39
    TERMINAL_ID = 41
    CARD_ACCEPTOR_ID = 42
    CARD_ACCEPTOR_NAME_LOCATION = 43
    ADDITIONAL_RESPONSE_DATA = 44
    TRACK_1 = 45
    PRIVATE_DATA = 48
    CURRENCY = 49
    SETTLEMENT_CURRENCY = 50
    PIN_BLOCK = 52
    SECURITY_CONTROL = 53
    ADDITIONAL_AMOUNTS = 54
    ICC_DATA = 55
    PRIVATE_62 = 62
    MAC = 64
    NETWORK_FUNCTION = 70
    ORIGINAL_DATA = 90
    REPLACEMENT_AMOUNTS = 95
    ACCOUNT_ID_1 = 102
    MAC_2 = 128


@attrs.frozen
class Element:
    """How one element is laid out.

    Lengths count digits for n and z, the digits after the sign for x+n, characters for an and ans,
    bytes for b (whose text is twice as long).

    Attributes:
        number: of the element.
        name: in lower case, of the dialect file.
        format: in the ISO notation.
        kind: how that begins.
        prefix: what stands before the value; of size 0 where the length is fixed.
        length_min: the shortest value.
        length_max: the longest; of a fixed element, the only one.
        packed: digits stand two to a byte; otherwise they are characters.
        pad_left: the side of the zero nibble beside an odd number of packed digits.
        charset: of all that is text.
        separators: what may stand between the digits of a z element.
    """

    number: int
    name: str
    format: str
    kind: Kind
    prefix: Prefix
    length_min: int
    length_max: int
    packed: bool
    pad_left: bool
    charset: Charset
    separators: str

    @classmethod
    def from_format(cls, number: int, line: ElementFormat, packing: Packing) -> Self:
        """Build the element from its checked line of a dialect file."""
        kind, prefix_digits, length = line.parse(packing)
        charset = CHARSETS[line.text or packing.text]
        prefix_kind = line.length_prefix or packing.length_prefix
        prefix_bytes = prefix_digits if prefix_kind == "text" else (prefix_digits + 1) // 2
        return cls(
            number=number,
            name=line.name,
            format=line.format,
            kind=kind,
            prefix=Prefix(prefix_kind, prefix_bytes, charset, 2 if line.counts == "bytes" else 1),
            length_min=line.min if prefix_digits else length,
            length_max=length,
            packed=kind in ("n", "z", "x+n") and (line.digits or packing.digits) == "bcd",
            pad_left=line.pad == "left",
            charset=charset,
            separators=packing.track_separators,
        )

    @property
    def fixed(self) -> bool:
        """Whether the length is part of the dialect instead of the message."""
        return self.prefix.size == 0

    @property
    def signed(self) -> bool:
        """Whether a letter for credit or debit stands before the digits."""
        return self.kind == "x+n"

    def length_of(self, text: str) -> int:
        """Return the length that counts for a value in its text form."""
        match self.kind:
            case "b":
                return len(text) // 2
            case "x+n":
                return len(text) - 1
            case _:
                return len(text)

    def size_bytes(self, length: int) -> int:
        """Bytes on the wire of a value of that length, without its prefix."""
        return int(self.signed) + ((length + 1) // 2 if self.packed else length)

    def fit(self, text: str) -> str:
        """Fill a value to its fixed width: digits with leading zeros, text with spaces behind.

        A value already too long is returned as it is, for `encode` to refuse.
        """
        if not self.fixed:
            return text
        return text.zfill(self.length_max) if self.kind == "n" else text.ljust(self.length_max)
