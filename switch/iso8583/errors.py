"""What can be wrong with a message. Errors say where and why, never what stood there."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final


@unique
class Reason(StrEnum):
    """Why a message was refused; the texts are stable and safe to show, log and count."""

    UNKNOWN_MTI = "message type not in the dialect"
    UNKNOWN_ELEMENT = "element not in the dialect"
    MISSING_MTI = "message type missing"
    NOT_TEXT = "value is not text"
    BAD_LENGTH = "length differs from the fixed length"
    ODD_LENGTH = "odd number of digits, counted in bytes"
    TOO_SHORT = "shorter than the minimum"
    TOO_LONG = "longer than the maximum"
    BAD_DIGIT = "not a decimal digit"
    BAD_TRACK = "not a digit or a separator"
    BAD_SIGN = "sign is neither C nor D"
    BAD_CHARACTER = "character outside the element's set"
    BAD_HEX = "not upper-case hexadecimal"
    BAD_PAD = "pad nibble is not zero"
    BAD_PREFIX = "length prefix is not decimal"
    TRUNCATED = "message ends inside the element"
    TRAILING_BYTES = "bytes after the last element"
    BAD_TAG = "private data is not tag, length, value"


MTI_DE: Final = 0
BITMAP_DE: Final = 1


class CodecError(ValueError):
    """Base of both directions; never raised itself.

    Holds no data of the message, so it may be logged, pickled and shown: `de` is the element
    (0 = MTI, 1 = a bitmap), `offset` the byte of the encoded message where that element begins
    (or would have begun), `reason` the `Reason`.
    """

    def __init__(self, de: int, offset: int, reason: Reason) -> None:
        super().__init__(de, offset, reason)
        self.de = de
        self.offset = offset
        self.reason = reason

    def __str__(self) -> str:
        return f"DE {self.de} at byte {self.offset}: {self.reason}"


class EncodeError(CodecError):
    """Our own fields cannot be put on the wire."""


class DecodeError(CodecError):
    """The peer's bytes are not a message of the dialect."""
