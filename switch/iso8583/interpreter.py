"""The codec spelled out: one element after the other, every rule checked where it applies.

This is the definition of what the codec accepts, and the only place that raises. The compiled
plans (`plans`) are a faster way to the same result; whenever one of them meets anything it does
not like it hands the message to these functions, which find the exact element, byte and reason.
They also serve messages whose set of elements has no plan.

A message is MTI (4 BCD digits), primary bitmap (8 bytes), secondary bitmap (8 bytes, when bit 1
is set), then the elements in ascending order. A secondary bitmap of zeros is legal to receive
and never sent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import attrs

from switch.iso8583.elements import Element
from switch.iso8583.errors import BITMAP_DE, MTI_DE, DecodeError, EncodeError, Reason

MTI_BYTES: Final = 2
BITMAP_BYTES: Final = 8
SECONDARY_BIT: Final = 0x80  # of a primary bitmap's first byte: a secondary one follows

_DIGITS: Final = frozenset("0123456789")
_PRINTABLE: Final = frozenset(map(chr, range(0x20, 0x7F)))
_ALPHABETS: Final = {
    "n": (_DIGITS, Reason.BAD_DIGIT),
    "z": (_DIGITS | {"D"}, Reason.BAD_TRACK),
    "b": (_DIGITS | set("ABCDEF"), Reason.BAD_HEX),
    "an": (frozenset(c for c in _PRINTABLE if c.isalnum()) | {" "}, Reason.BAD_CHARACTER),
    "ans": (_PRINTABLE, Reason.BAD_CHARACTER),
}

Elements = Mapping[int, Element]


@attrs.frozen
class Interpreter:
    """Encodes and decodes messages of some elements and message types."""

    elements: Elements
    mtis: frozenset[str]

    def knows(self, mti: object) -> bool:
        """Whether this is a message type of the dialect."""
        return isinstance(mti, str) and mti in self.mtis

    def encode(self, fields: Mapping[int, str]) -> bytes:
        """Encode a message.

        Raises:
            EncodeError: naming what is wrong first: MTI, unknown elements, then in wire order.
        """
        mti = fields.get(MTI_DE)
        if mti is None:
            raise EncodeError(MTI_DE, 0, Reason.MISSING_MTI)
        if not self.knows(mti):
            raise EncodeError(MTI_DE, 0, Reason.UNKNOWN_MTI)
        numbers = [number for number in fields if number != MTI_DE]
        for number in numbers:
            if number not in self.elements:
                raise EncodeError(number, MTI_BYTES, Reason.UNKNOWN_ELEMENT)
        message = bytearray(bytes.fromhex(mti) + bitmap_of(numbers))
        for number in sorted(numbers):
            try:
                message += _pack(self.elements[number], fields[number])
                continue
            except _FaultError as fault:
                reason = fault.reason
            raise EncodeError(number, len(message), reason)
        return bytes(message)

    def decode(self, data: bytes) -> dict[int, str]:
        """Decode a message.

        Raises:
            DecodeError: naming what is wrong first: MTI, unknown elements, then in wire order.
        """
        if len(data) < MTI_BYTES:
            raise DecodeError(MTI_DE, 0, Reason.TRUNCATED)
        mti = data[:MTI_BYTES].hex()
        if mti not in self.mtis:
            raise DecodeError(MTI_DE, 0, Reason.UNKNOWN_MTI)
        bitmap = _bitmap(data)
        numbers = numbers_of(bitmap)
        for number in numbers:
            if number not in self.elements:
                raise DecodeError(number, MTI_BYTES, Reason.UNKNOWN_ELEMENT)
        fields = {MTI_DE: mti}
        offset = MTI_BYTES + len(bitmap)
        for number in numbers:
            try:
                fields[number], size = _unpack(self.elements[number], data[offset:])
                offset += size
                continue
            except _FaultError as fault:
                reason = fault.reason
            raise DecodeError(number, offset, reason)
        if offset != len(data):
            last = numbers[-1] if numbers else BITMAP_DE
            raise DecodeError(last, offset, Reason.TRAILING_BYTES)
        return fields


class _FaultError(Exception):
    """What is wrong with one element; the callers above know where it stands.

    They raise their error outside the `except` block, so that nothing is chained to it.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def bitmap_of(numbers: Collection[int]) -> bytes:
    """Return the primary bitmap, followed by the secondary one where an element needs it."""
    bits = 0
    for number in numbers:
        bits |= 1 << (128 - number)
    if bits & ((1 << 64) - 1):
        return (bits | 1 << 127).to_bytes(2 * BITMAP_BYTES, "big")
    return (bits >> 64).to_bytes(BITMAP_BYTES, "big")


def numbers_of(bitmap: bytes) -> list[int]:
    """Return the element numbers of one or two bitmaps, ascending, without bit 1."""
    bits = int.from_bytes(bitmap.ljust(2 * BITMAP_BYTES, b"\0"), "big")
    return [number for number in range(2, 129) if bits >> (128 - number) & 1]


def _bitmap(data: bytes) -> bytes:
    """Return the one or two bitmaps behind the MTI."""
    primary = data[MTI_BYTES : MTI_BYTES + BITMAP_BYTES]
    count = 2 if primary and primary[0] & SECONDARY_BIT else 1
    bitmap = data[MTI_BYTES : MTI_BYTES + count * BITMAP_BYTES]
    if len(bitmap) != count * BITMAP_BYTES:
        raise DecodeError(BITMAP_DE, MTI_BYTES, Reason.TRUNCATED)
    return bitmap


def _pack(element: Element, text: str) -> bytes:
    """Return length prefix and value."""
    if not isinstance(text, str):
        raise _FaultError(Reason.NOT_TEXT)
    if element.kind == "b" and len(text) % 2:
        raise _FaultError(Reason.BAD_HEX)
    length = element.length_of(text)
    if element.fixed and length != element.length_max:
        raise _FaultError(Reason.BAD_LENGTH)
    _check_length(element, length)
    _check_alphabet(element, text)
    prefix = b"" if element.fixed else bytes.fromhex(f"{length:0{2 * element.prefix_bytes}d}")
    match element.kind:
        case "an" | "ans":
            return prefix + text.encode("ascii")
        case "x+n":
            return text[0].encode("ascii") + bytes.fromhex(text[1:])
        case _:
            pad = "0" if len(text) % 2 else ""
            return prefix + bytes.fromhex(pad + text if element.pad_left else text + pad)


def _unpack(element: Element, rest: bytes) -> tuple[str, int]:
    """Return the value that `rest` begins with, and the bytes that it takes with its prefix."""
    start = element.prefix_bytes
    length = element.length_max
    if not element.fixed:
        prefix = rest[:start].hex()
        if len(prefix) < 2 * start:
            raise _FaultError(Reason.TRUNCATED)
        if not prefix.isdecimal():
            raise _FaultError(Reason.BAD_PREFIX)
        length = int(prefix)
        _check_length(element, length)
    end = start + element.size_bytes(length)
    value = rest[start:end]
    if end > len(rest):
        raise _FaultError(Reason.TRUNCATED)
    match element.kind:
        case "an" | "ans":
            text = value.decode("latin-1")  # what is not ASCII is refused just below
        case "x+n":
            text = value[:1].decode("latin-1") + value[1:].hex().upper()
        case "b":
            text = value.hex().upper()
        case _:
            text = _unpadded(element, value.hex().upper(), length)
    _check_alphabet(element, text)
    return text, end


def _unpadded(element: Element, nibbles: str, length: int) -> str:
    if len(nibbles) == length:
        return nibbles
    text, pad = (nibbles[1:], nibbles[0]) if element.pad_left else (nibbles[:-1], nibbles[-1])
    if pad != "0":
        raise _FaultError(Reason.BAD_PAD)
    return text


def _check_length(element: Element, length: int) -> None:
    if length > element.length_max:
        raise _FaultError(Reason.TOO_LONG)
    if length < element.length_min:
        raise _FaultError(Reason.TOO_SHORT)


def _check_alphabet(element: Element, text: str) -> None:
    """Refuse characters outside the element's set, whatever the length."""
    if element.kind == "x+n":
        if text[0] not in "CD":
            raise _FaultError(Reason.BAD_SIGN)
        if not _DIGITS.issuperset(text[1:]):
            raise _FaultError(Reason.BAD_DIGIT)
        return
    alphabet, reason = _ALPHABETS[element.kind]
    if not alphabet.issuperset(text):
        raise _FaultError(reason)
