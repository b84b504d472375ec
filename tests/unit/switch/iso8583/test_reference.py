"""The reference: pyiso8583 with its traps fenced off, and those traps as they are."""

from __future__ import annotations

import iso8583
import pytest

from switch.iso8583 import DecodeError, EncodeError, Reason, load_dialect
from switch.iso8583.reference import ReferenceCodec
from tests.support.iso8583 import SALE

NET87B = load_dialect("net87b")
REFERENCE = ReferenceCodec(NET87B)


def test_an_undefined_bit_is_a_key_error_there_and_typed_here() -> None:
    """The specification has no DE 127, which pyiso8583 says by a bare KeyError."""
    message = bytes.fromhex("0800 8220000000000000 0000000000000002 0102030405 000001 00")
    with pytest.raises(KeyError):
        iso8583.decode(message, NET87B.pyiso8583_spec())
    with pytest.raises(DecodeError) as caught:
        REFERENCE.decode(message)
    assert (caught.value.de, caught.value.reason) == (127, Reason.UNKNOWN_ELEMENT)


def test_letters_are_digits_there_and_refused_here() -> None:
    """pyiso8583 takes A to F for BCD."""
    message = bytes.fromhex("0200 1000000000000000 00000000000A")
    assert iso8583.decode(message, NET87B.pyiso8583_spec())[0]["4"] == "00000000000A"
    with pytest.raises(DecodeError) as caught:
        REFERENCE.decode(message)
    assert (caught.value.de, caught.value.reason) == (4, Reason.BAD_DIGIT)


def test_element_one_and_sixty_five_are_dropped_there_and_refused_here() -> None:
    """Keys that announce bitmaps never vanish in silence."""
    for number in (1, 65):
        with pytest.raises(EncodeError) as caught:
            REFERENCE.encode({**SALE.fields, number: "8000000000000000"})
        assert (caught.value.de, caught.value.reason) == (number, Reason.UNKNOWN_ELEMENT)


def test_each_specification_is_fresh() -> None:
    """Whoever changes a specification changes no one else's."""
    first = NET87B.pyiso8583_spec()
    first["2"]["max_len"] = 1
    assert NET87B.pyiso8583_spec()["2"]["max_len"] == 19
    assert REFERENCE.encode(SALE.fields) == SALE.data
