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

from switch.iso8583.elements import Element
from switch.iso8583.errors import BITMAP_DE, MTI_DE, DecodeError, EncodeError, Reason

BITMAP_BYTES: Final = 8
MTI_BYTES: Final = 2
DIGITS: Final = frozenset("0123456789")
TRACK: Final = DIGITS | {"D"}
HEXADECIMAL: Final = DIGITS | set("ABCDEF")
PRINTABLE: Final = frozenset(map(chr, range(0x20, 0x7F)))
ALPHANUMERIC: Final = frozenset(c for c in PRINTABLE if c.isalnum()) | {" "}

Elements = Mapping[int, Element]


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


def encode(fields: Mapping[int, str], elements: Elements, mtis: Collection[str]) -> bytes:
    """Encode a message.

    Raises:
        EncodeError: naming the first element, in wire order, that is wrong.
    """
    mti = fields.get(MTI_DE)
    if mti is None:
        raise EncodeError(MTI_DE, 0, Reason.MISSING_MTI)
    if mti not in mtis:
        raise EncodeError(MTI_DE, 0, Reason.UNKNOWN_MTI)
    numbers = sorted(number for number in fields if number != MTI_DE)
    for number in numbers:
        if number not in elements:
            raise EncodeError(number, MTI_BYTES, Reason.UNKNOWN_ELEMENT)
    message = bytearray(bytes.fromhex(mti) + bitmap_of(numbers))
    for number in numbers:
        message += _encode_element(elements[number], fields[number], len(message))
    return bytes(message)


def decode(data: bytes, elements: Elements, mtis: Collection[str]) -> dict[int, str]:
    """Decode a message.

    Raises:
        DecodeError: naming the first element, in wire order, that is wrong.
    """
    mti = data[:MTI_BYTES].hex().upper()
    if len(data) < MTI_BYTES:
        raise DecodeError(MTI_DE, 0, Reason.TRUNCATED)
    if mti not in mtis:
        raise DecodeError(MTI_DE, 0, Reason.UNKNOWN_MTI)
    bitmap = data[MTI_BYTES : MTI_BYTES + BITMAP_BYTES]
    if bitmap and bitmap[0] & 0x80:
        bitmap = data[MTI_BYTES : MTI_BYTES + 2 * BITMAP_BYTES]
    if len(bitmap) not in (BITMAP_BYTES, 2 * BITMAP_BYTES) or (
        bitmap[0] & 0x80 and len(bitmap) == BITMAP_BYTES
    ):
        raise DecodeError(BITMAP_DE, MTI_BYTES, Reason.TRUNCATED)
    numbers = numbers_of(bitmap)
    for number in numbers:
        if number not in elements:
            raise DecodeError(number, MTI_BYTES, Reason.UNKNOWN_ELEMENT)
    fields = {MTI_DE: mti}
    offset = MTI_BYTES + len(bitmap)
    for number in numbers:
        fields[number], offset = _decode_element(elements[number], data, offset)
    if offset != len(data):
        last = numbers[-1] if numbers else BITMAP_DE
        raise DecodeError(last, offset, Reason.TRAILING_BYTES)
    return fields


def _encode_element(element: Element, text: str, offset: int) -> bytes:
    """Return length prefix and value; `offset` is only told in errors."""

    def refuse(reason: Reason) -> EncodeError:
        return EncodeError(element.number, offset, reason)

    if not isinstance(text, str):
        raise refuse(Reason.NOT_TEXT)
    if element.kind == "b" and len(text) % 2:
        raise refuse(Reason.BAD_HEX)
    length = {"b": len(text) // 2, "x+n": len(text) - 1}.get(element.kind, len(text))
    if element.fixed and length != element.length_max:
        raise refuse(Reason.BAD_LENGTH)
    if length > element.length_max:
        raise refuse(Reason.TOO_LONG)
    if length < element.length_min:
        raise refuse(Reason.TOO_SHORT)
    reason = _fault(element, text)
    if reason is not None:
        raise refuse(reason)
    prefix = bytes.fromhex(f"{length:0{2 * element.prefix_bytes}d}") if not element.fixed else b""
    match element.kind:
        case "n" | "z":
            return prefix + bytes.fromhex(_padded(element, text))
        case "x+n":
            return text[0].encode("ascii") + bytes.fromhex(text[1:])
        case "b":
            return prefix + bytes.fromhex(text)
        case _:
            return prefix + text.encode("ascii")


def _decode_element(element: Element, data: bytes, start: int) -> tuple[str, int]:
    """Return the value and the offset behind it; `start` is where its prefix begins."""

    def refuse(reason: Reason) -> DecodeError:
        return DecodeError(element.number, start, reason)

    length, offset = element.length_max, start
    if not element.fixed:
        offset += element.prefix_bytes
        prefix = data[start:offset].hex()
        if len(prefix) < 2 * element.prefix_bytes:
            raise refuse(Reason.TRUNCATED)
        if not prefix.isdecimal():
            raise refuse(Reason.BAD_PREFIX)
        length = int(prefix)
        if length > element.length_max:
            raise refuse(Reason.TOO_LONG)
        if length < element.length_min:
            raise refuse(Reason.TOO_SHORT)
    end = offset + element.size_bytes(length)
    if end > len(data):
        raise refuse(Reason.TRUNCATED)
    value = data[offset:end]
    match element.kind:
        case "n" | "z":
            text = value.hex().upper()
            if length % 2:
                text, pad = (text[1:], text[0]) if element.pad_left else (text[:-1], text[-1])
                if pad != "0":
                    raise refuse(Reason.BAD_PAD)
        case "x+n":
            text = chr(value[0]) + value[1:].hex().upper()
        case "b":
            text = value.hex().upper()
        case _:
            text = value.decode("latin-1")  # what is not ASCII is refused just below
    reason = _fault(element, text)
    if reason is not None:
        raise refuse(reason)
    return text, end


def _fault(element: Element, text: str) -> Reason | None:
    """Return what is wrong with the characters of a value, whatever its length."""
    match element.kind:
        case "n":
            return None if DIGITS.issuperset(text) else Reason.BAD_DIGIT
        case "z":
            return None if TRACK.issuperset(text) else Reason.BAD_TRACK
        case "x+n":
            if text[:1] not in ("C", "D"):
                return Reason.BAD_SIGN
            return None if DIGITS.issuperset(text[1:]) else Reason.BAD_DIGIT
        case "b":
            return None if HEXADECIMAL.issuperset(text) else Reason.BAD_HEX
        case "an":
            return None if ALPHANUMERIC.issuperset(text) else Reason.BAD_CHARACTER
        case "ans":
            return None if PRINTABLE.issuperset(text) else Reason.BAD_CHARACTER


def _padded(element: Element, digits: str) -> str:
    """Return the digits with the zero nibble that makes their number even."""
    if len(digits) % 2 == 0:
        return digits
    return f"0{digits}" if element.pad_left else f"{digits}0"
