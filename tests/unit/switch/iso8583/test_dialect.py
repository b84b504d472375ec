"""The public codec: what it takes, what it refuses to encode, what it never reveals."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from switch.iso8583 import (
    DE,
    CodecError,
    DecodeError,
    DialectError,
    EncodeError,
    Reason,
    load_dialect,
)
from switch.iso8583.reference import ReferenceCodec
from tests.support.iso8583 import SALE, VECTORS, Codec, Vector, interpreter_of, sample, warm

NET87B = load_dialect("net87b")
CODECS: dict[str, Codec] = {
    "compiled": NET87B,
    "interpreter": interpreter_of(NET87B),
    "pyiso8583": ReferenceCodec(NET87B),
}
each_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())

FULL_WIDTH_DIGITS = "\uff11\uff12\uff13\uff14\uff15\uff16"
ARABIC_DIGITS = "\u0663\u0664\u0665\u0666\u0667\u0668"

UNFIT = [
    # element, value, reason
    (0, "0201 ", Reason.UNKNOWN_MTI),
    (0, "0190", Reason.UNKNOWN_MTI),
    (0, "0A0F", Reason.UNKNOWN_MTI),
    (0, 200, Reason.UNKNOWN_MTI),
    (0, ["0200"], Reason.UNKNOWN_MTI),
    (1, "00", Reason.UNKNOWN_ELEMENT),
    (65, "00", Reason.UNKNOWN_ELEMENT),
    (127, "x", Reason.UNKNOWN_ELEMENT),
    (129, "x", Reason.UNKNOWN_ELEMENT),
    (-3, "x", Reason.UNKNOWN_ELEMENT),
    (2, "", Reason.TOO_SHORT),
    (2, "4" * 11, Reason.TOO_SHORT),
    (2, "4" * 20, Reason.TOO_LONG),
    (2, "424242424242424F", Reason.BAD_DIGIT),
    (2, "4242 4242 4242 42", Reason.BAD_DIGIT),
    (3, "00000", Reason.BAD_LENGTH),
    (3, "0000000", Reason.BAD_LENGTH),
    (3, 0, Reason.NOT_TEXT),
    (3, None, Reason.NOT_TEXT),
    (3, b"000000", Reason.NOT_TEXT),
    (3, "00000\n", Reason.BAD_DIGIT),
    (3, "+00000", Reason.BAD_DIGIT),
    (3, FULL_WIDTH_DIGITS, Reason.BAD_DIGIT),
    (3, ARABIC_DIGITS, Reason.BAD_DIGIT),
    (28, "D1234567", Reason.BAD_LENGTH),
    (28, "D123456", Reason.BAD_LENGTH),
    (28, "D1234567890", Reason.BAD_LENGTH),
    (28, "E12345678", Reason.BAD_SIGN),
    (28, "c12345678", Reason.BAD_SIGN),
    (28, "D1234567A", Reason.BAD_DIGIT),
    (35, "4222222222222=3012", Reason.BAD_TRACK),
    (35, "4222222222222d3012", Reason.BAD_TRACK),
    (37, "60020300000", Reason.BAD_LENGTH),
    (37, "60020300000-", Reason.BAD_CHARACTER),
    (37, "60020300000é", Reason.BAD_CHARACTER),
    (41, "TERM001", Reason.BAD_LENGTH),
    (41, "TERM\x00001", Reason.BAD_CHARACTER),
    (41, "TERM\x7f001", Reason.BAD_CHARACTER),
    (41, "TERM\n001", Reason.BAD_CHARACTER),
    (41, "TERMÉ001", Reason.BAD_CHARACTER),
    (41, "TERM\ud800001", Reason.BAD_CHARACTER),
    (41, b"TERM0001", Reason.NOT_TEXT),
    (41, list("TERM0001"), Reason.NOT_TEXT),
    (48, "", Reason.TOO_SHORT),
    (48, "x" * 1000, Reason.TOO_LONG),
    (48, "9203\t23", Reason.BAD_CHARACTER),
    (48, b"9203123", Reason.NOT_TEXT),
    (55, "", Reason.TOO_SHORT),
    (55, "9F2", Reason.BAD_HEX),
    (55, "9f26", Reason.BAD_HEX),
    (64, "00112233445566F", Reason.BAD_HEX),
    (64, "00112233445566", Reason.BAD_LENGTH),
    (64, "00112233445566ff", Reason.BAD_HEX),
    (64, "00112233445566XX", Reason.BAD_HEX),
    (64, b"00112233445566FF", Reason.NOT_TEXT),
]


@each_codec
@pytest.mark.parametrize(("number", "value", "reason"), UNFIT)
def test_refuses_to_encode(codec: Codec, number: int, value: str, reason: Reason) -> None:
    """A value that does not fit is refused with its element and reason, by a warm plan too."""
    fields = dict(SALE.fields)
    warm(NET87B, SALE.fields.keys() - {0})
    if number in NET87B.elements:
        warm(NET87B, {*SALE.fields, number} - {0})
        fields[number] = sample(NET87B.elements[number], 13 if number == 2 else None)
        codec.encode(dict(fields))  # the good twin
    fields[number] = value
    with pytest.raises(EncodeError) as caught:
        codec.encode(fields)
    assert (caught.value.de, caught.value.reason) == (number, reason)


@each_codec
def test_refuses_a_message_without_mti(codec: Codec) -> None:
    """Fields without key 0 are no message."""
    for fields in ({}, {3: "000000"}):
        with pytest.raises(EncodeError) as caught:
            codec.encode(fields)
        assert (caught.value.de, caught.value.reason) == (DE.MTI, Reason.MISSING_MTI)


@each_codec
def test_leaves_the_fields_of_its_caller_alone(codec: Codec) -> None:
    """Encoding changes nothing in the dict it is given."""
    fields = {0: "0800", 7: "0102030405", 11: "000001", 70: "301"}
    before = dict(fields)
    for _ in range(3):
        codec.encode(fields)
        assert fields == before


def test_the_order_of_keys_is_free() -> None:
    """Elements travel in ascending order whatever the order of the keys."""
    backwards = dict(reversed(SALE.fields.items()))
    assert NET87B.encode(backwards) == SALE.data


def test_names_serve_as_keys() -> None:
    """`DE.STAN` is the key 11."""
    by_name = {DE(n) if n in set(DE) else n: text for n, text in SALE.fields.items()}
    assert NET87B.encode(by_name) == SALE.data


def test_shapes_of_equal_size_may_alternate() -> None:
    """Two shapes with one MTI and one number of keys are told apart, both ways round."""
    first = {0: "0210", 11: "000001", 38: "A1B2C3"}
    second = {0: "0210", 11: "000001", 44: "Try later"}
    reference = ReferenceCodec(NET87B)
    for _ in range(3):
        for fields in (first, second):
            assert NET87B.encode(fields) == reference.encode(fields)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_errors_carry_no_data(vector: Vector) -> None:
    """An error, its arguments, its context and its pickle hold numbers and a reason only."""
    NET87B.decode(vector.data)
    for codec in CODECS.values():
        for damaged in (vector.data[:-1], vector.data + b"\0", b"\x99" + vector.data[1:]):
            with pytest.raises(DecodeError) as caught:
                codec.decode(damaged)
            _assert_clean(caught.value)
        with pytest.raises(EncodeError) as refused:
            codec.encode({**vector.fields, 3: "4242424242424242"})
        _assert_clean(refused.value)


def _assert_clean(error: CodecError) -> None:
    assert error.__cause__ is None
    assert error.__context__ is None
    assert error.args == (error.de, error.offset, error.reason)
    assert str(error) == f"DE {error.de} at byte {error.offset}: {error.reason.value}"
    assert error.__dict__.keys() == {"de", "offset", "reason"}
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (copy.de, copy.offset, copy.reason) == (error.de, error.offset, error.reason)


def test_the_offset_of_an_encoding_error_is_where_the_element_would_begin() -> None:
    """DE 4 would have followed MTI, bitmap, nine bytes of PAN and three of DE 3."""
    with pytest.raises(EncodeError) as caught:
        NET87B.encode({**SALE.fields, 4: "x"})
    assert caught.value.offset == 2 + 8 + 9 + 3


def test_net87b_says_what_links_need() -> None:
    """Framing, network functions, echoes and private tags come with the dialect."""
    assert NET87B.name == "net87b"
    assert (NET87B.framing.length, NET87B.framing.frame_bytes_max) == ("binary2", 4096)
    assert NET87B.network_functions["sign_on"] == "001"
    assert NET87B.network_functions["echo"] == "301"
    assert NET87B.echo == (2, 3, 4, 7, 11, 32, 37, 41, 42, 49)
    assert (NET87B.private.element, NET87B.private.tags["cvc2"]) == (48, "92")


def test_names_in_code_are_the_names_in_the_file() -> None:
    """Each member of `DE` is the element of that number, so the file cannot drift from code."""
    for member in DE:
        if member is not DE.MTI:
            name = NET87B.elements[member].name
            assert name.removesuffix("_transaction").upper() in {member.name, _ALIASES.get(member)}


_ALIASES = {
    DE.SETTLEMENT_CURRENCY: "CURRENCY_SETTLEMENT",
    DE.PRIVATE_DATA: "ADDITIONAL_DATA_PRIVATE",
}


def test_missing_names_what_a_message_lacks() -> None:
    """An answer without response code and STAN is recognized as incomplete."""
    approval = next(vector for vector in VECTORS if vector.name == "approval").fields
    assert NET87B.missing(approval) == []
    assert NET87B.missing(SALE.fields) == []
    assert NET87B.missing({n: t for n, t in approval.items() if n not in (11, 39)}) == [11, 39]


def test_fit_fills_fixed_elements() -> None:
    """Digits get leading zeros, text trailing spaces, variable and too long values nothing."""
    assert NET87B.fit(DE.AMOUNT, "2499") == "000000002499"
    assert NET87B.fit(DE.TERMINAL_ID, "T1") == "T1      "
    assert NET87B.fit(DE.ACQUIRER_ID, "400001") == "400001"
    assert NET87B.fit(DE.TERMINAL_ID, "TERMINAL-1") == "TERMINAL-1"


def test_a_dialect_is_also_loaded_by_path(tmp_path: Path) -> None:
    """A file elsewhere works like the bundled one; a missing one is named."""
    bundled = Path(load_dialect.__code__.co_filename).parents[1] / "dialects" / "net87b.toml"
    path = tmp_path / "mine.toml"
    path.write_text(bundled.read_text().replace('name = "net87b"', 'name = "mine"'))
    dialect = load_dialect(path)
    assert dialect.name == "mine"
    assert dialect.encode(SALE.fields) == SALE.data
    with pytest.raises(DialectError, match=r"absent\.toml: file: not there"):
        load_dialect(tmp_path / "absent.toml")


def test_showing_a_dialect_shows_no_plans() -> None:
    """The repr stays short enough for a log line about start-up."""
    assert "encoders" not in repr(NET87B)
