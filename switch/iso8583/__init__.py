"""ISO 8583 messages: fields to bytes and back, by a dialect that is data.

`load_dialect("net87b")` gives a `Dialect` whose `encode` and `decode` speak `dict[int, str]`:
key 0 is the MTI, digits are strings, binary elements are upper-case hex.
"""

from __future__ import annotations

from switch.dialects import DialectError
from switch.iso8583.dialect import Dialect, load_dialect
from switch.iso8583.elements import DE, Element
from switch.iso8583.errors import CodecError, DecodeError, EncodeError, Reason

__all__ = [
    "DE",
    "CodecError",
    "DecodeError",
    "Dialect",
    "DialectError",
    "Element",
    "EncodeError",
    "Reason",
    "load_dialect",
]
