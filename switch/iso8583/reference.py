"""The same dialect spoken by pyiso8583 alone: the oracle of our tests, an option of the simulator.

Nothing here packs or unpacks a byte, and nothing is shared with the compiled codec but the
dialect's data, so that a bug there cannot hide in its mirror. pyiso8583 leaves the content of
elements to its caller; the rules of the dialect that it does not know are stated a second time
below, as one pattern per kind. What else its interface asks of a careful caller (version 4.0.1):

- it changes the caller's dict, so it gets a fresh one;
- a bit that its specification lacks is a bare KeyError;
- its errors carry the whole message, so none leaves this module, not even as a context;
- it takes DE 65 for the flag of a third bitmap, which no dialect of ours has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import takewhile
from typing import Final

import attrs
import iso8583

from switch.iso8583.dialect import Dialect
from switch.iso8583.elements import Element
from switch.iso8583.errors import BITMAP_DE, MTI_DE, DecodeError, EncodeError, Reason
from switch.iso8583.pyiso8583_spec import Spec

_PATTERNS: Final = {
    "n": (re.compile(r"[0-9]*"), Reason.BAD_DIGIT),
    "z": (re.compile(r"[0-9D]*"), Reason.BAD_TRACK),
    "x+n": (re.compile(r"[CD][0-9]*"), Reason.BAD_DIGIT),
    "an": (re.compile(r"[A-Za-z0-9 ]*"), Reason.BAD_CHARACTER),
    "ans": (re.compile(r"[ -~]*"), Reason.BAD_CHARACTER),
    "b": (re.compile(r"(?:[0-9A-F]{2})*"), Reason.BAD_HEX),
}
_SIGNS: Final = {"C": "43", "D": "44"}  # ASCII as hex: to pyiso8583 an x+n element is binary
Encoded = Mapping[str, Mapping[str, bytes]]

MTI_BYTES: Final = 2
THIRD_BITMAP_DE: Final = 65
_KEYS: Final = {"t": MTI_DE, "p": BITMAP_DE, "1": BITMAP_DE}

# What pyiso8583 says, by what its text contains; the first that fits.
_SAYINGS: Final = (
    ("Extra data", Reason.TRAILING_BYTES),
    ("larger than maximum", Reason.TOO_LONG),
    ("invalid BCD", Reason.BAD_PREFIX),
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
                raise EncodeError(number, MTI_BYTES, Reason.UNKNOWN_ELEMENT)
            reason = _fault(element, text)
            if reason is not None:
                raise EncodeError(number, 0, reason)
            signed = element.kind == "x+n"
            document[str(number)] = _SIGNS[text[0]] + text[1:] if signed else text
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
        if document["t"] not in self.dialect.mtis:
            raise DecodeError(MTI_DE, 0, Reason.UNKNOWN_MTI)
        fields = {MTI_DE: document["t"]}
        for key, value in document.items():
            if key in _KEYS:
                continue
            element = self.dialect.elements[int(key)]
            signed = element.kind == "x+n"
            text = bytes.fromhex(value[:2]).decode("latin-1") + value[2:] if signed else value
            reason = _fault(element, text)
            if reason is not None:
                raise DecodeError(element.number, _offset(encoded, key), reason)
            fields[element.number] = text
        return fields

    def _decode(self, data: bytes) -> tuple[Mapping[str, str], Encoded]:
        try:
            document, encoded = iso8583.decode(data, self._spec)
            if not _announces_third_bitmap(document):
                return document, encoded
            refused = DecodeError(THIRD_BITMAP_DE, MTI_BYTES, Reason.UNKNOWN_ELEMENT)
        except iso8583.DecodeError as error:
            offset = error.pos if "Extra" in error.msg else _offset(error.doc_enc, error.field)
            refused = DecodeError(_number(error.field), offset, _reason(error.msg))
            if _announces_third_bitmap(error.doc_dec):
                refused = DecodeError(THIRD_BITMAP_DE, MTI_BYTES, Reason.UNKNOWN_ELEMENT)
        except KeyError as error:  # a bit that the specification lacks
            refused = DecodeError(_number(error.args[0]), MTI_BYTES, Reason.UNKNOWN_ELEMENT)
        raise refused


def _announces_third_bitmap(document: Mapping[str, str]) -> bool:
    """Whether pyiso8583 appended sixteen more hex digits to the secondary bitmap."""
    return len(document.get("1", "")) > 16


def _fault(element: Element, text: object) -> Reason | None:
    """What the dialect forbids and pyiso8583 would let through."""
    if not isinstance(text, str):
        return Reason.NOT_TEXT
    if element.kind == "x+n" and text[:1] not in _SIGNS:
        return Reason.BAD_SIGN
    pattern, reason = _PATTERNS[element.kind]
    if not pattern.fullmatch(text):
        return reason
    if element.length_of(text) < element.length_min and not element.fixed:
        return Reason.TOO_SHORT
    return None


def _number(key: str) -> int:
    return _KEYS[key] if key in _KEYS else int(key)


def _offset(encoded: Encoded, key: str) -> int:
    """The byte where an element begins: the sizes of all that stand before it."""
    if key in ("p", "1"):
        return MTI_BYTES
    before = takewhile(lambda known: known != key, encoded)
    return sum(len(part) for known in before for part in encoded[known].values())


def _reason(text: str) -> Reason:
    """Translate what pyiso8583 says; its texts hold counts, never data."""
    counts = _FOUND_AND_EXPECTED.search(text)
    if counts is not None:
        # One nibble more than expected is a pad that was not zero; less is a message cut short.
        return Reason.BAD_PAD if int(counts[1]) > int(counts[2]) else Reason.TRUNCATED
    return next((reason for saying, reason in _SAYINGS if saying in text), Reason.BAD_CHARACTER)
