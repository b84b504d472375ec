"""Packed messages broken in one place, each as a peer's bug would break them. Pure.

    byte            one byte is another one: at `offset`, in `element`, or drawn by the seed
    digit           a nibble of packed digits (or a digit's character) is A, which is none
    pad             the nibble beside an odd number of digits is F instead of zero
    truncated       the last `count` bytes are missing
    trailing        `count` bytes follow the last element
    bit             the bit of an element that is not there, and not in the dialect, is set
    no_bit          the bit of an element that is there is not set
    second_bitmap   bit 1 is set and no second bitmap follows
    empty_bitmap    bit 1 is set and the second bitmap is all zero: legal, though nobody should
    prefix          the length prefix of an element says more than the element may hold
    empty           the length prefix of an element says zero
    control         the first character of a text element is a control character
    mti             the message type is `value`, in hex
    replaced        the whole message is `value`, in hex

Where no element is named, the first that fits is taken. A deed that fits nothing in the message
leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType
from typing import Final

from network_sim.faults.actions import Corrupt
from switch.iso8583 import DecodeError, Dialect, Element
from switch.iso8583.head import BITMAP_BYTES
from switch.iso8583.interpreter import Located

_NOT_A_DIGIT: Final = 0xA
_BAD_PAD: Final = 0xF
_TRAIL: Final = b"\x00"
_SECOND: Final = 0x80  # of the first bitmap's first byte


Way = Callable[[bytes, Corrupt, Dialect, Random], bytes]
Fits = Callable[[Located], bool]
Spoil = Callable[[bytearray, Located], None]


def corrupted(message: bytes, deed: Corrupt, dialect: Dialect, chance: Random) -> bytes:
    """A packed message with one thing wrong."""
    if deed.how in _IN_ELEMENT:
        return _in_element(message, deed, dialect, *_IN_ELEMENT[deed.how])
    return _IN_MESSAGE[deed.how](message, deed, dialect, chance)


def located(message: bytes, dialect: Dialect) -> list[Located]:
    """Every element of a message and where it stands, up to the first that cannot be read."""
    found: list[Located] = []
    try:
        found.extend(dialect.interpreter.walk(message))
    except DecodeError:
        return found
    return found


def _byte(message: bytes, deed: Corrupt, dialect: Dialect, chance: Random) -> bytes:
    if deed.element:
        for each in located(message, dialect):
            if each.element.number == deed.element:
                return _set(message, each.offset + each.element.prefix.size, lambda b: b ^ 0xFF)
        return message
    offset = deed.offset if deed.offset >= 0 else chance.randrange(len(message))
    mask = chance.randrange(1, 256)
    return _set(message, offset, lambda byte: byte ^ mask) if offset < len(message) else message


def _set(message: bytes, offset: int, change: Callable[[int], int]) -> bytes:
    changed = bytearray(message)
    changed[offset] = change(changed[offset])
    return bytes(changed)


def _in_element(
    message: bytes,
    deed: Corrupt,
    dialect: Dialect,
    fits: Fits,
    spoil: Spoil,
) -> bytes:
    """Spoil the first element that fits, or the one that is named if it does."""
    for each in located(message, dialect):
        if deed.element in (0, each.element.number) and fits(each):
            changed = bytearray(message)
            spoil(changed, each)
            return bytes(changed)
    return message


def _has_digits(each: Located) -> bool:
    return each.element.kind == "n" and each.size > each.element.prefix.size


def _spoil_digit(message: bytearray, each: Located) -> None:
    at = each.offset + each.element.prefix.size
    if each.element.packed:
        message[at] = message[at] & 0x0F | _NOT_A_DIGIT << 4
    else:
        message[at : at + 1] = each.element.charset.encode("A")


def _is_padded(each: Located) -> bool:
    element = each.element
    digits = len(each.text) - element.signed
    return element.packed and digits % 2 == 1


def _spoil_pad(message: bytearray, each: Located) -> None:
    at = each.offset + each.element.prefix.size
    if each.element.pad_left:
        message[at] = message[at] & 0x0F | _BAD_PAD << 4
    else:
        message[each.offset + each.size - 1] |= _BAD_PAD


def _has_prefix(each: Located) -> bool:
    return not each.element.fixed


def _is_text(each: Located) -> bool:
    return each.element.kind in ("an", "ans") and each.size > each.element.prefix.size


def _control_character(message: bytearray, each: Located) -> None:
    message[each.offset + each.element.prefix.size] = 0x01


def _say_too_much(message: bytearray, each: Located) -> None:
    _say(message, each, _largest(each.element))


def _say_nothing(message: bytearray, each: Located) -> None:
    _say(message, each, 0)


def _largest(element: Element) -> int:
    """The largest length that an element's prefix can tell."""
    prefix = element.prefix
    if prefix.kind == "binary":
        return int(256**prefix.size - 1) * prefix.unit
    digits = 2 * prefix.size if prefix.kind == "bcd" else prefix.size
    return int(10**digits - 1) * prefix.unit


def _say(message: bytearray, each: Located, length: int) -> None:
    prefix = each.element.prefix
    message[each.offset : each.offset + prefix.size] = prefix.encode(length)


def _unknown_element(dialect: Dialect) -> int:
    """A number that the dialect's bitmaps can name and its elements do not."""
    last = 64 * dialect.head.bitmaps_max
    return next(
        number for number in range(last, 1, -1) if number not in dialect.elements and number != 65
    )


def _with_bit(message: bytes, deed: Corrupt, dialect: Dialect, chance: Random) -> bytes:
    """The same elements behind bitmaps that also name another."""
    del chance
    start = dialect.head.mti_bytes
    try:
        bitmap = dialect.head.bitmap(message)
    except DecodeError:
        return message
    added = deed.element or _unknown_element(dialect)
    numbers = [*dialect.head.numbers_of(bitmap), added]
    body = message[start + len(bitmap) :]
    return message[:start] + dialect.head.bitmap_of(numbers) + body


def _without_bit(message: bytes, deed: Corrupt, dialect: Dialect, chance: Random) -> bytes:
    """Bitmaps that keep silent about an element whose bytes are there."""
    del chance
    there = [each.element.number for each in located(message, dialect)]
    if not there or deed.element not in (0, *there):
        return message
    number = deed.element or there[0]
    at = dialect.head.mti_bytes + (number - 1) // 8
    return _set(message, at, lambda byte: byte & ~(0x80 >> (number - 1) % 8))


def _with_empty_bitmap(message: bytes, deed: Corrupt, dialect: Dialect, chance: Random) -> bytes:
    del deed, chance
    start = dialect.head.mti_bytes
    if message[start] & _SECOND:
        return message
    end = start + BITMAP_BYTES
    announced = _set(message, start, lambda byte: byte | _SECOND)
    return announced[:end] + bytes(BITMAP_BYTES) + announced[end:]


def _with_second_bitmap(message: bytes, deed: Corrupt, dialect: Dialect, chance: Random) -> bytes:
    del deed, chance
    return _set(message, dialect.head.mti_bytes, lambda byte: byte | _SECOND)


_IN_MESSAGE: Final[Mapping[str, Way]] = MappingProxyType(
    {
        "byte": _byte,
        "truncated": lambda message, deed, _dialect, _chance: message[: -deed.count],
        "trailing": lambda message, deed, _dialect, _chance: message + _TRAIL * deed.count,
        "bit": _with_bit,
        "no_bit": _without_bit,
        "second_bitmap": _with_second_bitmap,
        "empty_bitmap": _with_empty_bitmap,
        "mti": lambda message, deed, dialect, _chance: (
            bytes.fromhex(deed.value) + message[dialect.head.mti_bytes :]
        ),
        "replaced": lambda _message, deed, _dialect, _chance: bytes.fromhex(deed.value),
    }
)
_IN_ELEMENT: Final[Mapping[str, tuple[Fits, Spoil]]] = MappingProxyType(
    {
        "digit": (_has_digits, _spoil_digit),
        "pad": (_is_padded, _spoil_pad),
        "prefix": (_has_prefix, _say_too_much),
        "empty": (_has_prefix, _say_nothing),
        "control": (_is_text, _control_character),
    }
)
