"""Finding and hiding card numbers in anything that is about to be logged.

Theory of operation. Card data is kept out of logs by its types (`chassis.secrets`); this is the
net below, for what arrives as plain text: an exception's message, a peer's words, a repr. It errs
towards hiding:

* A run of digits counts with up to two separators between any two digits. Over 19 digits it is
  hidden at once (a card number in hex is such a run: `34323432...`). From 12 to 19 it is hidden if
  it passes the Luhn check, or if a part of it of at least 12 digits does and begins like a payment
  card (2-6): a length prefix or a STAN may stand right before the number.
* A word of 16 or more base64 or hex characters is decoded at every alignment and hidden if a card
  number appears.
* Bytes are never shown, objects only by their masked repr, deep or wide structures are cut.

Every pattern is linear: separators and digits are disjoint classes, so there is nothing to
backtrack into, and text is cut to `TEXT_CHARS_MAX` first. What this cannot see is a number spread
over several values, or encrypted, compressed or encoded twice.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Collection, Mapping
from datetime import date
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from chassis.secrets import PAN_DIGITS_MAX, PAN_DIGITS_MIN

TEXT_CHARS_MAX = 65_536  # one value of one event; a long traceback fits
VALUES_MAX = 256  # in one event
DEPTH_MAX = 6  # of nested structures
MASK = "[masked]"
CUT = "[cut]"

# Up to two of: white space, hyphens and dashes, dot, slash, underscore, comma, middle dot, and the
# zero-width characters. Anything that is no digit ends the run.
_SEPARATOR = r"[\s\-\u2010-\u2015._/,\u00b7\u200b-\u200d\ufeff]"
_DIGIT_RUN = re.compile(rf"\d(?:{_SEPARATOR}{{0,2}}\d){{{PAN_DIGITS_MIN - 1},}}")
_ENCODED_WORD = re.compile(r"[A-Za-z0-9+/_-]{16,}")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_WORD_AT_END = re.compile(r"(?:[A-Za-z0-9+=]|" + _SEPARATOR + r"){1,4096}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MULTILINE_KEYS = frozenset({"exception", "stack"})  # tracebacks, rendered by us
_STANDARD_ALPHABET = str.maketrans("-_", "+/")
_CARD_FIRST_DIGITS = "23456"  # ISO/IEC 7812-1 major industries of the card networks
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)  # Luhn: twice the digit, digits of the product added
_LARGE = 10 ** (PAN_DIGITS_MIN - 1)  # the smallest number with as many digits as a card has


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit)
        total += _DOUBLED[value] if position % 2 else value
    return total % 10 == 0


def mask_text(text: str) -> str:
    """The text without card numbers, cut to `TEXT_CHARS_MAX` characters."""
    text = _cut(text)
    text = _ENCODED_WORD.sub(_mask_word, text)
    return _DIGIT_RUN.sub(_mask_run, text)


def _cut(text: str) -> str:
    """Cut over-long text, and with it the last word: half a card number is not recognized."""
    if len(text) <= TEXT_CHARS_MAX:
        return text
    text = text[:TEXT_CHARS_MAX]
    # The pattern is tried on the tail only, so that the search stays linear.
    tail = _WORD_AT_END.search(text, TEXT_CHARS_MAX - 4096)
    return (text[: tail.start()] if tail else text) + CUT


def _mask_run(run: re.Match[str]) -> str:
    return MASK if _is_card(run.group()) else run.group()


def _is_card(run: str) -> bool:
    digits = "".join(character for character in run if character.isdecimal())
    length = len(digits)
    if length > PAN_DIGITS_MAX or passes_luhn(digits):
        return True
    return any(
        digits[start] in _CARD_FIRST_DIGITS and passes_luhn(digits[start:end])
        for start in range(length - PAN_DIGITS_MIN + 1)
        for end in range(start + PAN_DIGITS_MIN, length + 1)
    )


def _mask_word(word: re.Match[str]) -> str:
    text = word.group()
    decoded = [*_as_base64(text)]
    if _HEX.fullmatch(text):
        decoded += [*_as_hex(text)]
    found = (run.group() for plain in decoded for run in _DIGIT_RUN.finditer(plain))
    return MASK if any(_is_card(run) for run in found) else text


def _as_base64(word: str) -> list[str]:
    """The word decoded from each place where a quartet may begin."""
    word = word.translate(_STANDARD_ALPHABET)
    tails = (word[start:] for start in range(4))
    # Zeros (`A`) complete the last quartet, which may hold up to two more bytes.
    return [binascii.a2b_base64(tail + "A" * (-len(tail) % 4)).decode("latin-1") for tail in tails]


def _as_hex(word: str) -> list[str]:
    """The word decoded from its first and from its second character."""
    pairs = (word[start : start + (len(word) - start) // 2 * 2] for start in range(2))
    return [binascii.unhexlify(text).decode("latin-1") for text in pairs]


def mask_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of an event's values made of plain, masked, printable types only.

    Raises whatever the objects in it raise when asked for their repr: the caller must then
    withhold the whole event.
    """
    return _Masker().mapping(values, depth=0)


class _Masker:
    """One walk over one event; counts the values so that a huge structure ends early."""

    def __init__(self) -> None:
        self._values_left = VALUES_MAX

    def mapping(self, values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        masked: dict[str, Any] = {}
        for key, value in values.items():
            if self._values_left <= 0:
                masked[CUT] = CUT
                break
            if key in _MULTILINE_KEYS and isinstance(value, str):
                masked[key] = "\n".join(map(_printable, mask_text(value).split("\n")))
            else:
                masked[_printable(str(key))] = self.value(value, depth + 1)
        return masked

    def collection(self, values: Collection[Any], depth: int) -> list[Any]:
        masked: list[Any] = []
        for value in values:
            if self._values_left <= 0:
                masked.append(CUT)
                break
            masked.append(self.value(value, depth + 1))
        return masked

    def value(self, value: Any, depth: int) -> Any:
        self._values_left -= 1
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            if depth > DEPTH_MAX:
                return CUT
            if isinstance(value, Mapping):
                return self.mapping(value, depth)
            return self.collection(value, depth)
        return _scalar(value)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, str | BaseException | UUID | PurePath | date | Enum):
        return _printable(str(value))
    return _printable(repr(value))


def _number(value: float) -> Any:
    """Numbers are shown as they are unless their digits could be a card's."""
    if math.isfinite(value) and abs(value) >= _LARGE and value == int(value):
        too_long = abs(value) >= 10**PAN_DIGITS_MAX
        return MASK if too_long or _is_card(str(abs(int(value)))) else value
    return value


def _printable(text: str) -> str:
    """Masked, then without control characters: an event must not forge a line of its own."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", mask_text(text))
