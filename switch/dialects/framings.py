"""What can stand around a message on a stream, as data: the `[framing]` table and its bounds.

The names below are the catalog's; `switch.iso8583.framing` knows the bytes behind each.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from msgspec import Struct

LengthKind = Literal[
    "binary2",
    "binary2_inclusive",
    "binary2_zeros",
    "zeros_binary2",
    "binary3",
    "binary4",
    "bcd2",
    "ascii4",
    "hex4",
    "vmlh",
]
HeaderKind = Literal["none", "tpdu", "vip"]
TrailerKind = Literal["none", "etx"]

FRAME_BYTES_MIN: Final = 64
# What each length can say of all that follows it.
LENGTH_MAX: Final[dict[LengthKind, int]] = {
    "binary2": 65_535,
    "binary2_inclusive": 65_533,
    "binary2_zeros": 65_535,
    "zeros_binary2": 65_535,
    "binary3": 16_777_215,
    "binary4": 4_294_967_295,
    "bcd2": 9_999,
    "ascii4": 9_999,
    "hex4": 65_535,
    "vmlh": 2_048,  # the network's own bound
}
HEADER_BYTES: Final[dict[HeaderKind, int]] = {"none": 0, "tpdu": 5, "vip": 22}
TRAILER_BYTES: Final[dict[TrailerKind, int]] = {"none": 0, "etx": 1}

assert set(LENGTH_MAX) == set(get_args(LengthKind))


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every table of a dialect file: immutable, strangers' keys refused."""


class Framing(Table, frozen=True):
    """What stands around each message on a stream."""

    length: LengthKind
    frame_bytes_max: int  # of the message alone
    header: HeaderKind = "none"
    trailer: TrailerKind = "none"
    destination: str = ""  # the network's address in the header: tpdu 4 digits, vip 6
    source: str = ""  # ours

    @property
    def overhead_bytes(self) -> int:
        """Bytes of header and trailer, which the length counts besides the message."""
        return HEADER_BYTES[self.header] + TRAILER_BYTES[self.trailer]

    @property
    def message_bytes_max(self) -> int:
        """The longest message that the length can speak of."""
        return LENGTH_MAX[self.length] - self.overhead_bytes
