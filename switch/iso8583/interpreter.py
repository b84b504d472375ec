"""The codec spelled out: one element after the other, every rule checked where it applies.

This is the definition of what the codec accepts, and the only place that raises. The compiled
plans (`plans`) are a faster way to the same result; whenever one of them meets anything it does
not like it hands the message to these functions, which find the exact element, byte and reason.
They also serve messages whose set of elements has no plan.

A message is its head (`head`: message type and bitmaps), then the elements in ascending order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from switch.iso8583.elements import Element
from switch.iso8583.errors import BITMAP_DE, MTI_DE, DecodeError, EncodeError, Reason
from switch.iso8583.head import Head

_DIGITS: Final = frozenset("0123456789")
_PRINTABLE: Final = frozenset(map(chr, range(0x20, 0x7F)))
_ALPHABETS: Final = {
    "n": (_DIGITS, Reason.BAD_DIGIT),
    "b": (_DIGITS | set("ABCDEF"), Reason.BAD_HEX),
    "an": (frozenset(c for c in _PRINTABLE if c.isalnum()) | {" "}, Reason.BAD_CHARACTER),
    "ans": (_PRINTABLE, Reason.BAD_CHARACTER),
}

Elements = Mapping[int, Element]


@attrs.frozen
class Located:
    """One element as it stands in a message.

    Attributes:
        element: which one.
        offset: the byte where it begins, with its length prefix if it has one.
        size: its bytes, prefix included.
        text: its value.
    """

    element: Element
    offset: int
    size: int
    text: str


@attrs.frozen
class Interpreter:
    """Encodes and decodes messages of some elements and message types."""

    elements: Elements
    mtis: frozenset[str]
    head: Head

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
                raise EncodeError(number, self.head.mti_bytes, Reason.UNKNOWN_ELEMENT)
        message = bytearray(self.head.encode_mti(mti) + self.head.bitmap_of(numbers))
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
        mti = self.mti_of(data)
        fields = {MTI_DE: mti}
        for located in self.walk(data):
            fields[located.element.number] = located.text
        return fields

    def mti_of(self, data: bytes) -> str:
        """Return the message type.

        Raises:
            DecodeError: there is none, or none of the dialect.
        """
        mti = self.head.decode_mti(data)
        if mti not in self.mtis:
            raise DecodeError(MTI_DE, 0, Reason.UNKNOWN_MTI)
        return mti

    def walk(self, data: bytes) -> Iterator[Located]:
        """Go through the elements of a message, in wire order; the message type is not looked at.

        Raises:
            DecodeError: unknown elements first, then whatever comes; what was yielded is good.
        """
        bitmap = self.head.bitmap(data)
        numbers = self.head.numbers_of(bitmap)
        for number in numbers:
            if number not in self.elements:
                raise DecodeError(number, self.head.mti_bytes, Reason.UNKNOWN_ELEMENT)
        offset = self.head.mti_bytes + len(bitmap)
        for number in numbers:
            element = self.elements[number]
            try:
                text, size = _unpack(element, data[offset:])
                yield Located(element, offset, size, text)
                offset += size
                continue
            except _FaultError as fault:
                reason = fault.reason
            raise DecodeError(number, offset, reason)
        if offset != len(data):
            last = numbers[-1] if numbers else BITMAP_DE
            raise DecodeError(last, offset, Reason.TRAILING_BYTES)


class _FaultError(Exception):
    """What is wrong with one element; the callers above know where it stands.

    They raise their error outside the `except` block, so that nothing is chained to it.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


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
    if length % element.prefix.unit:
        raise _FaultError(Reason.ODD_LENGTH)
    _check_alphabet(element, text)
    prefix = b"" if element.fixed else element.prefix.encode(length)
    if element.kind == "b":
        return prefix + bytes.fromhex(text)
    if not element.packed:
        return prefix + element.charset.encode(text)
    sign, digits = (text[:1], text[1:]) if element.signed else ("", text)
    pad = "0" if len(digits) % 2 else ""
    padded = pad + digits if element.pad_left else digits + pad
    return prefix + element.charset.encode(sign) + bytes.fromhex(padded)


def _unpack(element: Element, rest: bytes) -> tuple[str, int]:
    """Return the value that `rest` begins with, and the bytes that it takes with its prefix."""
    start = element.prefix.size
    length = element.length_max if element.fixed else _length(element, rest[:start])
    end = start + element.size_bytes(length)
    value = rest[start:end]
    if end > len(rest):
        raise _FaultError(Reason.TRUNCATED)
    if element.kind == "b":
        text = value.hex().upper()
    elif not element.packed:
        text = element.charset.decode(value)  # what is not printable is refused just below
    elif element.signed:
        text = element.charset.decode(value[:1]) + value[1:].hex().upper()
    else:
        text = _unpadded(element, value.hex().upper(), length)
    _check_alphabet(element, text)
    return text, end


def _length(element: Element, prefix: bytes) -> int:
    if len(prefix) < element.prefix.size:
        raise _FaultError(Reason.TRUNCATED)
    try:
        length = element.prefix.decode(prefix)
    except ValueError:
        length = -1
    if length < 0:
        raise _FaultError(Reason.BAD_PREFIX)
    _check_length(element, length)
    return length


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
    if element.signed:
        if text[0] not in "CD":
            raise _FaultError(Reason.BAD_SIGN)
        if not _DIGITS.issuperset(text[1:]):
            raise _FaultError(Reason.BAD_DIGIT)
        return
    if element.kind == "z":
        alphabet, reason = _DIGITS.union(element.separators), Reason.BAD_TRACK
    else:
        alphabet, reason = _ALPHABETS[element.kind]
    if not alphabet.issuperset(text):
        raise _FaultError(reason)
