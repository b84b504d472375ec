"""Charsets: the printable characters of ASCII, in three ways."""

from __future__ import annotations

import pytest

from switch.dialects.schema import Text
from switch.iso8583.charsets import CHARSETS

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
NAMES: tuple[Text, ...] = ("ascii", "cp037", "cp1047")


@pytest.mark.parametrize("name", NAMES)
def test_printable_text_is_what_the_python_codec_says(name: Text) -> None:
    """The tables and Python's codec of that name agree, both ways."""
    charset = CHARSETS[name]
    assert charset.encode(PRINTABLE) == PRINTABLE.encode(name)
    assert charset.decode(PRINTABLE.encode(name)) == PRINTABLE


@pytest.mark.parametrize("name", NAMES)
def test_bytes_that_are_not_printable_are_seen_to_be_so(name: Text) -> None:
    """Every other byte decodes to the one character that no alphabet holds."""
    charset = CHARSETS[name]
    for byte in set(range(256)) - set(charset.encode(PRINTABLE)):
        assert charset.decode(bytes([byte])) == "\xff"
        assert not bytes([byte]).translate(charset.printable).isascii()


def test_known_bytes_of_ebcdic() -> None:
    """Digits, letters, and the three characters in which the two kinds differ (IBM CDRA)."""
    for name in ("cp037", "cp1047"):
        assert CHARSETS[name].encode("0AJSaz =").hex() == "f0c1d1e281a9407e"
    assert CHARSETS["cp037"].encode("[]^").hex() == "babbb0"
    assert CHARSETS["cp1047"].encode("[]^").hex() == "adbd5f"


def test_the_registered_codec_covers_every_byte() -> None:
    """Python's `cp1047` is a bijection, as pyiso8583 expects of a charset."""
    everything = bytes(range(256))
    assert len(set(everything.decode("cp1047"))) == 256
    assert everything.decode("cp1047").encode("cp1047") == everything
    with pytest.raises(UnicodeEncodeError):
        "\u20ac".encode("cp1047")
