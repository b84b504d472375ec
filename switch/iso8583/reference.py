"""The same dialect spoken by pyiso8583 alone: the oracle of our tests, an option of the simulator.

Nothing here packs or unpacks a byte, and nothing is shared with the compiled codec but the
dialect's data, so that a bug there cannot hide in its mirror. pyiso8583 leaves the content of
elements to its caller; the rules of the dialect that it does not know are stated a second time
below, as one pattern per kind. What else its interface asks of a careful caller (version 4.0.1):

- it changes the caller's dict, so it gets a fresh one;
- a bit that its specification lacks is a bare KeyError;
- its errors carry the whole message, so none leaves this module, not even as a context;
- it takes DE 65 for the flag of a third bitmap, also where a dialect has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from itertools import takewhile
from typing import Final

import attrs
import iso8583

from switch.iso8583.dialect import Dialect
from switch.iso8583.elements import Element
from switch.iso8583.errors import BITMAP_DE, MTI_DE, DecodeError, EncodeError, Reason
from switch.iso8583.head import BITMAP_BYTES, CONTINUED, THIRD_BITMAP_DE
from switch.iso8583.pyiso8583_spec import Spec

_PATTERNS: Final = {
    "n": (re.compile(r"[0-9]*"), Reason.BAD_DIGIT),
    "x+n": (re.compile(r"[CD][0-9]*"), Reason.BAD_DIGIT),
    "an": (re.compile(r"[A-Za-z0-9 ]*"), Reason.BAD_CHARACTER),
    "ans": (re.compile(r"[ -~]*"), Reason.BAD_CHARACTER),
    "b": (re.compile(r"(?:[0-9A-F]{2})*"), Reason.BAD_HEX),
}
_TRACKS: Final = {marks: re.compile(rf"[0-9{marks}]*") for marks in ("D", "=", "D=")}
# To pyiso8583 a packed x+n element is binary: the sign as the hex of its byte.
_EBCDIC_SIGNS: Final = {"C": "C3", "D": "C4"}
_SIGNS: Final = {
    "ascii": {"C": "43", "D": "44"},
    "cp037": _EBCDIC_SIGNS,
    "cp1047": _EBCDIC_SIGNS,
}
# A length written in digits: `int` would also take a sign, a space or an underscore.
_EBCDIC_DIGITS: Final = re.compile(rb"[\xf0-\xf9]*")
_DIGITS: Final = {
    "ascii": re.compile(rb"[0-9]*"),
    "cp037": _EBCDIC_DIGITS,
    "cp1047": _EBCDIC_DIGITS,
}
Encoded = Mapping[str, Mapping[str, bytes]]

_KEYS: Final = {"t": MTI_DE, "p": BITMAP_DE, "1": BITMAP_DE}

# What pyiso8583 says, by what its text contains; the first that fits.
_SAYINGS: Final = (
    ("Extra data", Reason.TRAILING_BYTES),
    ("larger than maximum", Reason.TOO_LONG),
    ("decode field length", Reason.BAD_PREFIX),
    ("expecting -", Reason.BAD_PREFIX),
    ("bytes wide", Reason.TRUNCATED),
    ("invalid data", Reason.BAD_CHARACTER),
)
_FOUND_AND_EXPECTED: Final = re.compile(r"is (\d+) (?:bytes|nibbles), expecting (\d+)")


@attrs.frozen
class ReferenceCodec:
    """`encode` and `decode` as `Dialect` has them, by pyiso8583; about twenty times slower."""

    dialect: Dialect
    _spec: Spec = attrs.field(init=False, repr=False)

    @_spec.default
    def _spec_of_dialect(self) -> Spec:
        return self.dialect.pyiso8583_spec()

    def encode(self, fields: Mapping[int, str]) -> bytes:
        """Encode a message.

        Raises:
            EncodeError: the fields are not a message of the dialect.
        """
        mti = fields.get(MTI_DE)
        if mti is None:
            raise EncodeError(MTI_DE, 0, Reason.MISSING_MTI)
        if not isinstance(mti, str) or mti not in self.dialect.mtis:
            raise EncodeError(MTI_DE, 0, Reason.UNKNOWN_MTI)
        document = {"t": mti}
        for number, text in fields.items():
            if number == MTI_DE:
                continue
            element = self.dialect.elements.get(number)
            if element is None:
                raise EncodeError(number, self.dialect.head.mti_bytes, Reason.UNKNOWN_ELEMENT)
            reason = _fault(element, text)
            if reason is not None:
                raise EncodeError(number, 0, reason)
            document[str(number)] = _to_document(element, text)
        try:
            return bytes(iso8583.encode(document, self._spec)[0])
        except iso8583.EncodeError as error:
            refused = EncodeError(_number(error.field), 0, Reason.BAD_LENGTH)
            if "larger than maximum" in error.msg:
                refused = EncodeError(_number(error.field), 0, Reason.TOO_LONG)
        raise refused

    def decode(self, data: bytes) -> dict[int, str]:
        """Decode a message.

        Raises:
            DecodeError: the bytes are not a message of the dialect.
        """
        document, encoded = self._decode(data)
        fields = {MTI_DE: document["t"]}
        for key, value in document.items():
            if key in _KEYS:
                continue
            element = self.dialect.elements[int(key)]
            text = _from_document(element, value)
            reason = _prefix_fault(element, encoded[key]["len"]) or _fault(element, text)
            if reason is not None:
                raise DecodeError(element.number, self._offset(encoded, key), reason)
            fields[element.number] = text
        return fields

    def _decode(self, data: bytes) -> tuple[Mapping[str, str], Encoded]:
        try:
            document, encoded = iso8583.decode(data, self._spec)
            refused = self._head_fault(data)
            if refused is None:
                return document, encoded
        except iso8583.DecodeError as error:
            extra = "Extra" in error.msg
            offset = error.pos if extra else self._offset(error.doc_enc, error.field)
            refused = DecodeError(_number(error.field), offset, _reason(error.msg))
        except KeyError as error:  # a bit that the specification lacks
            start = self.dialect.head.mti_bytes
            refused = DecodeError(_number(error.args[0]), start, Reason.UNKNOWN_ELEMENT)
        raise self._head_fault(data) or refused

    def _head_fault(self, data: bytes) -> DecodeError | None:
        """What is wrong before the first element and does not trouble pyiso8583."""
        start = self.dialect.head.mti_bytes
        if len(data) < start:
            return None  # that does
        if self._mti_of(data[:start]) not in self.dialect.mtis:
            return DecodeError(MTI_DE, 0, Reason.UNKNOWN_MTI)
        if self.dialect.head.bitmaps_max < 3 and _announces_third_bitmap(data[start:]):
            return DecodeError(THIRD_BITMAP_DE, start, Reason.UNKNOWN_ELEMENT)
        return None

    def _mti_of(self, packed: bytes) -> str:
        """The message type, by way of a message that has nothing else; empty if it is no text."""
        with suppress(iso8583.DecodeError):
            mti: str = iso8583.decode(packed + bytes(BITMAP_BYTES), self._spec)[0]["t"]
            return mti
        return ""

    def _offset(self, encoded: Encoded, key: str) -> int:
        """The byte where an element begins: the sizes of all that stand before it."""
        if key in ("p", "1"):
            return self.dialect.head.mti_bytes
        before = takewhile(lambda known: known != key, encoded)
        return sum(len(part) for known in before for part in encoded[known].values())


def _announces_third_bitmap(bitmaps: bytes) -> bool:
    second = bitmaps[BITMAP_BYTES : 2 * BITMAP_BYTES]
    return len(second) == BITMAP_BYTES and bool(bitmaps[0] & second[0] & CONTINUED)


def _to_document(element: Element, text: str) -> str:
    if element.signed and element.packed:
        return _SIGNS[element.charset.name][text[0]] + text[1:]
    return text


def _from_document(element: Element, value: str) -> str:
    if not (element.signed and element.packed):
        return value
    signs = {hex_: sign for sign, hex_ in _SIGNS[element.charset.name].items()}
    return signs.get(value[:2], "?") + value[2:]


def _prefix_fault(element: Element, prefix: bytes) -> Reason | None:
    if element.prefix.kind != "text" or _DIGITS[element.charset.name].fullmatch(prefix):
        return None
    return Reason.BAD_PREFIX


def _fault(element: Element, text: object) -> Reason | None:
    """What the dialect forbids and pyiso8583 would let through."""
    if not isinstance(text, str):
        return Reason.NOT_TEXT
    if element.signed and text[:1] not in ("C", "D"):
        return Reason.BAD_SIGN
    if element.kind == "z":
        pattern, reason = _TRACKS[element.separators], Reason.BAD_TRACK
    else:
        pattern, reason = _PATTERNS[element.kind]
    length = element.length_of(text)
    if length < element.length_min and not element.fixed:
        return Reason.TOO_SHORT
    if length % element.prefix.unit:
        return Reason.ODD_LENGTH
    return None if pattern.fullmatch(text) else reason


def _number(key: str) -> int:
    return _KEYS[key] if key in _KEYS else int(key)


def _reason(text: str) -> Reason:
    """Translate what pyiso8583 says; its texts hold counts, never data."""
    counts = _FOUND_AND_EXPECTED.search(text)
    if counts is not None:
        # One nibble more than expected is a pad that was not zero; less is a message cut short.
        return Reason.BAD_PAD if int(counts[1]) > int(counts[2]) else Reason.TRUNCATED
    return next((reason for saying, reason in _SAYINGS if saying in text), Reason.BAD_CHARACTER)
