"""The character sets of messages: ASCII and two kinds of EBCDIC, as tables for `bytes.translate`.

Only the 95 printable characters of ASCII ever stand in a message; every charset gives each of them
one byte. `cp037` and `cp1047` (the one of open systems, and of the widely used ISO 8583 libraries)
differ in three of them: `[`, `]` and `^`. Python knows cp037 but not cp1047, so that one is made
from it here, and registered as a Python codec, because pyiso8583 takes charsets by the name of
their codec.
"""

from __future__ import annotations

import codecs
from types import MappingProxyType
from typing import Any, Final, Self, get_args

import attrs

from switch.dialects.schema import Text

NOT_PRINTABLE: Final = 0xFF  # what stands in ASCII for a byte that is no printable character
_PRINTABLE: Final = bytes(range(0x20, 0x7F))


@attrs.frozen(eq=False)  # one object for each, in `CHARSETS`
class Charset:
    """One charset.

    Attributes:
        name: of the dialect file, and of the Python codec.
        from_ascii: table for `bytes.translate`, right for printable ASCII.
        to_ascii: its inverse; what is not printable becomes `NOT_PRINTABLE`.
        printable: table of verdicts: 0x00 for bytes that are printable characters, else 0x80.
    """

    name: Text
    from_ascii: bytes = attrs.field(repr=False)
    to_ascii: bytes = attrs.field(repr=False)
    printable: bytes = attrs.field(repr=False)

    @classmethod
    def of_bytes(cls, name: Text, printable: bytes) -> Self:
        """Build a charset from the bytes of the printable characters, in ASCII's order."""
        to_ascii = bytearray([NOT_PRINTABLE] * 256)
        verdicts = bytearray(b"\x80" * 256)
        for ascii_byte, byte in zip(_PRINTABLE, printable, strict=True):
            to_ascii[byte] = ascii_byte
            verdicts[byte] = 0x00
        from_ascii = bytes.maketrans(_PRINTABLE, printable)
        return cls(name, from_ascii, bytes(to_ascii), bytes(verdicts))

    @property
    def is_ascii(self) -> bool:
        """Whether bytes are characters as they stand."""
        return self.name == "ascii"

    def encode(self, text: str) -> bytes:
        """Encode printable ASCII."""
        return text.encode("ascii").translate(self.from_ascii)

    def decode(self, data: bytes) -> str:
        """Decode; what is not printable ASCII becomes `ÿ`, for the caller to refuse."""
        return data.translate(self.to_ascii).decode("latin-1")


def _table_of_1047() -> str:
    """The characters of cp1047 by byte: those of cp037 with three pairs exchanged (IBM, CDRA)."""
    characters = list(bytes(range(256)).decode("cp037"))
    for one, other in ((0xBA, 0xAD), (0xBB, 0xBD), (0xB0, 0x5F)):
        characters[one], characters[other] = characters[other], characters[one]
    return "".join(characters)


_CHARACTERS_OF_1047: Final = _table_of_1047()
_BYTES_OF_1047: Final = codecs.charmap_build(_CHARACTERS_OF_1047)


def _encode_1047(text: str, errors: str = "strict") -> tuple[bytes, int]:
    return codecs.charmap_encode(text, errors, _BYTES_OF_1047)


def _decode_1047(data: Any, errors: str = "strict") -> tuple[str, int]:
    return codecs.charmap_decode(data, errors, _CHARACTERS_OF_1047)


def _find_codec(name: str) -> codecs.CodecInfo | None:
    if name != "cp1047":
        return None
    return codecs.CodecInfo(encode=_encode_1047, decode=_decode_1047, name="cp1047")


codecs.register(_find_codec)  # asked last: a Python that knows cp1047 keeps its own

CHARSETS: Final = MappingProxyType(
    {
        name: Charset.of_bytes(name, _PRINTABLE.decode("ascii").encode(name))
        for name in get_args(Text)
    }
)
