"""Length prefixes: how a length becomes the bytes before a value, and back.

kind     ..  (LL)              ... (LLL)
bcd      one byte,    16: 16   two bytes,        25: 00 25
binary   one byte,    16: 10   two bytes,        25: 00 19
text     two digits,  16: "16" three digits,     25: "025", in the element's charset
"""

from __future__ import annotations

import attrs

from switch.dialects.schema import PrefixKind
from switch.iso8583.charsets import Charset


@attrs.frozen
class Prefix:
    """One kind of length prefix.

    Attributes:
        kind: how the number is written.
        size: bytes; 0 where the length is fixed and no prefix stands.
        charset: of the digits of kind `text`.
        unit: what the number counts of a value's length: 1, or 2 where it counts bytes that hold
            two digits each.
    """

    kind: PrefixKind
    size: int
    charset: Charset
    unit: int = 1

    def encode(self, length: int) -> bytes:
        """Write a length that fits."""
        number = length // self.unit
        match self.kind:
            case "bcd":
                return bytes.fromhex(f"{number:0{2 * self.size}d}")
            case "binary":
                return number.to_bytes(self.size, "big")
            case "text":
                return self.charset.encode(f"{number:0{self.size}d}")

    def decode(self, data: bytes) -> int:
        """Read a length.

        Raises:
            ValueError: the bytes are no number.
        """
        if self.kind == "binary":
            return int.from_bytes(data, "big") * self.unit
        digits = data.hex() if self.kind == "bcd" else self.charset.decode(data)
        if not digits.isdecimal():  # of Latin-1 only 0 to 9 are
            raise ValueError("not decimal")
        return int(digits) * self.unit
