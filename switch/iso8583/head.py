"""The head of a message: its type, and the bitmaps that say which elements follow.

The message type is four digits in two bytes, or four characters. Behind it stand one to three
bitmaps of eight bytes, all together: bit 1 of the first announces the second, bit 1 of the second
(DE 65) the third, in dialects that have one. A bitmap of zeros behind the first is legal to
receive and never sent.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal, Self

import attrs

from switch.dialects.schema import Packing
from switch.iso8583.charsets import CHARSETS, Charset
from switch.iso8583.errors import BITMAP_DE, MTI_DE, DecodeError, Reason

BITMAP_BYTES: Final = 8
BITMAP_BITS: Final = 64
CONTINUED: Final = 0x80  # of a bitmap's first byte: another one follows
THIRD_BITMAP_DE: Final = 65


@attrs.frozen
class Head:
    """How a dialect packs what stands before the elements.

    Attributes:
        mti: two digits to a byte, or one character each.
        charset: of a message type that is text.
        bitmaps_max: 2 or 3.
    """

    mti: Literal["bcd", "text"]
    charset: Charset
    bitmaps_max: int

    @classmethod
    def from_packing(cls, packing: Packing) -> Self:
        """Build the head from its part of a dialect file."""
        return cls(packing.mti, CHARSETS[packing.text], packing.bitmaps_max)

    @property
    def mti_bytes(self) -> int:
        """Bytes of the message type; there the bitmaps begin."""
        return 2 if self.mti == "bcd" else 4

    def encode_mti(self, mti: str) -> bytes:
        """Pack a message type, four digits."""
        return bytes.fromhex(mti) if self.mti == "bcd" else self.charset.encode(mti)

    def decode_mti(self, data: bytes) -> str:
        """Unpack what stands where a message type should; any text may come out.

        Raises:
            DecodeError: the message ends inside.
        """
        packed = data[: self.mti_bytes]
        if len(packed) < self.mti_bytes:
            raise DecodeError(MTI_DE, 0, Reason.TRUNCATED)
        return packed.hex() if self.mti == "bcd" else self.charset.decode(packed)

    def bitmap_of(self, numbers: Collection[int]) -> bytes:
        """Return the bitmaps of some elements, as many as they need."""
        bits = sum(1 << (192 - number) for number in numbers)
        if max(numbers, default=0) > 2 * BITMAP_BITS:
            bits |= 1 << (192 - 1) | 1 << (192 - THIRD_BITMAP_DE)
            return bits.to_bytes(3 * BITMAP_BYTES, "big")
        if max(numbers, default=0) > BITMAP_BITS:
            return (bits >> 64 | 1 << 127).to_bytes(2 * BITMAP_BYTES, "big")
        return (bits >> 128).to_bytes(BITMAP_BYTES, "big")

    def numbers_of(self, bitmap: bytes) -> list[int]:
        """Return the elements that bitmaps name, ascending; bits that announce one do not."""
        bits = int.from_bytes(bitmap.ljust(3 * BITMAP_BYTES, b"\0"), "big")
        third = THIRD_BITMAP_DE if self.bitmaps_max > 2 else None
        return [n for n in range(2, 193) if bits >> (192 - n) & 1 and n != third]

    def bitmap(self, data: bytes) -> bytes:
        """Return the bitmaps of a message.

        Raises:
            DecodeError: the message ends inside.
        """
        start = self.mti_bytes
        bitmap = data[start : start + BITMAP_BYTES]
        count = 1
        while (
            count < self.bitmaps_max
            and len(bitmap) == count * BITMAP_BYTES
            and bitmap[-BITMAP_BYTES] & CONTINUED
        ):
            count += 1
            bitmap = data[start : start + count * BITMAP_BYTES]
        if len(bitmap) != count * BITMAP_BYTES:
            raise DecodeError(BITMAP_DE, start, Reason.TRUNCATED)
        return bitmap
