"""Postgres' binary formats, checked against hand-written bytes and against each other."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import pgtypes
from ledger.pgdecode import column_decoder, decode_array

SIXTEEN = bytes(range(16))
INT2S = st.integers(-(2**15), 2**15 - 1)
INT4S = st.integers(-(2**31), 2**31 - 1)
INT8S = st.integers(-(2**63), 2**63 - 1)
UUIDS = st.binary(min_size=16, max_size=16)
# What timestamptz can hold and still fit after the shift of epochs: years 1 to 9999.
INSTANTS_US = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))


def test_uuid_array_has_the_layout_of_array_recv() -> None:
    """Header of dimensions, null flag, type, length, lower bound; then length and bytes each."""
    expected = bytes.fromhex("00000001 00000000 00000b86 00000002 00000001")
    expected += bytes.fromhex("00000010") + SIXTEEN + bytes.fromhex("00000010") + SIXTEEN
    assert expected == pgtypes.uuid_array([SIXTEEN, SIXTEEN])


def test_null_in_an_array_is_length_minus_one_and_raises_the_flag() -> None:
    """A NULL element has no bytes, and the header says that there is one."""
    expected = bytes.fromhex("00000001 00000001 00000015 00000002 00000001")
    expected += bytes.fromhex("00000002 0007 ffffffff")
    assert expected == pgtypes.int2_array([7, None])


def test_empty_array_has_no_dimensions() -> None:
    """Postgres knows an empty array by its missing dimensions."""
    assert bytes.fromhex("00000000 00000000 00000019") == pgtypes.text_array([])


def test_instants_count_from_the_year_2000() -> None:
    """2000-01-01 UTC is zero in Postgres and 946,684,800 s in Unix time."""
    assert bytes(8) == pgtypes.timestamptz_(946_684_800_000_000)


@pytest.mark.parametrize(
    ("expected", "packed"),
    [
        (SIXTEEN, pgtypes.uuid_(SIXTEEN)),
        (b"\xff\xfe", pgtypes.int2_(-2)),
        (b"\x00\x00\x00\x05", pgtypes.int4_(5)),
        (b"\x00\x00\x00\x00\x00\x00\x01\x00", pgtypes.int8_(256)),
        ("Zürich".encode(), pgtypes.text_("Zürich")),
        (b"\x00\xff", pgtypes.bytea_(b"\x00\xff")),
        (b"\x01", pgtypes.bool_(True)),
        (b"\x00", pgtypes.bool_(False)),
        (b"\x01{}", pgtypes.jsonb_(b"{}")),
    ],
)
def test_scalars_have_the_layout_of_their_recv_functions(expected: bytes, packed: bytes) -> None:
    """Each scalar is the bytes that Postgres' own recv function reads."""
    assert expected == packed


@pytest.mark.parametrize(
    ("encode", "elements"),
    [
        (pgtypes.uuid_array, UUIDS),
        (pgtypes.int2_array, INT2S),
        (pgtypes.int4_array, INT4S),
        (pgtypes.int8_array, INT8S),
        (pgtypes.timestamptz_array, INSTANTS_US),
        (pgtypes.bool_array, st.booleans()),
        (pgtypes.text_array, TEXTS),
        (pgtypes.bytea_array, st.binary()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_arrays_come_back_as_they_went(
    encode: Callable[[list[Any]], bytes], elements: st.SearchStrategy[Any]
) -> None:
    """Packing and unpacking any list, with and without NULLs, gives the list again."""

    @given(st.lists(st.none() | elements, max_size=20), st.lists(elements, max_size=20))
    def round_trip(with_nulls: list[Any], without: list[Any]) -> None:
        assert with_nulls == decode_array(encode(with_nulls))
        assert without == decode_array(encode(without))

    round_trip()


@pytest.mark.parametrize("values", [[SIXTEEN[:15]], [SIXTEEN, SIXTEEN + b"x"], [b"", None]])
def test_uuid_of_another_length_is_refused(values: list[bytes | None]) -> None:
    """A uuid of 15 or 17 bytes would shift every element after it, so it never leaves."""
    with pytest.raises(ValueError, match="16 bytes"):
        pgtypes.uuid_array(values)


def test_uuids_whose_lengths_make_up_for_each_other_are_refused() -> None:
    """15 and 17 bytes are as many as twice 16, and still wrong."""
    with pytest.raises(ValueError, match="16 bytes"):
        pgtypes.uuid_array([SIXTEEN[:15], SIXTEEN + b"x"])


def test_scalar_uuid_of_another_length_is_refused() -> None:
    """The scalar form checks its length too."""
    with pytest.raises(ValueError, match="not 3"):
        pgtypes.uuid_(b"abc")


@pytest.mark.parametrize(
    ("encode", "value"),
    [
        (pgtypes.int2_array, 2**15),
        (pgtypes.int4_array, -(2**31) - 1),
        (pgtypes.int8_array, 2**63),
    ],
)
def test_integer_out_of_range_is_refused(encode: Callable[[list[int]], bytes], value: int) -> None:
    """A number that the column cannot hold is never cut to fit."""
    with pytest.raises(struct.error):
        encode([value])


def test_columns_keep_nulls_in_their_places() -> None:
    """A NULL cell is None at its own index, for the block-wise types as well."""
    cells = [pgtypes.int8_(1), None, pgtypes.int8_(3)]
    assert column_decoder(pgtypes.INT8)(cells) == [1, None, 3]
    assert column_decoder(pgtypes.TEXT)([b"a", None]) == ["a", None]
    assert column_decoder(pgtypes.BOOL)([b"\x01", None, b"\x00"]) == [True, None, False]


def test_empty_columns_are_empty_lists() -> None:
    """No rows give no values, whatever the type."""
    oids = (pgtypes.INT8, pgtypes.TIMESTAMPTZ, pgtypes.TEXT, pgtypes.UUID, pgtypes.BOOL)
    assert [column_decoder(oid)([]) for oid in oids] == [[], [], [], [], []]


def test_a_type_without_decoder_is_an_error_not_a_guess() -> None:
    """The type numeric (oid 1700) is used nowhere, so its bytes are not passed on raw."""
    with pytest.raises(LookupError, match="1700"):
        column_decoder(1700)


def test_arrays_of_two_dimensions_are_refused() -> None:
    """Nothing of ours is a matrix; one read as a list would lose its shape."""
    with pytest.raises(ValueError, match="2-dimensional"):
        decode_array(struct.pack("!iiI", 2, 0, pgtypes.INT4) + bytes(24))


@pytest.mark.parametrize(
    "values",
    [
        ["0200", "0210"],
        ["Ä200", "0210"],
        ["visa", "mastercard"],
        ["visa", "Mästercard"],
        ["visa", "a" * 127],
        ["visa", "a" * 128],
        ["visa", "a" * 1_200_000],
        ["a" * 127, "b" * 127],
        ["a" * 128, "b" * 128],
        ["", ""],
    ],
)
def test_texts_are_packed_alike_at_once_and_one_by_one(values: list[str]) -> None:
    """Of one length or several, short or long, ASCII or not: lengths count bytes."""
    one_by_one = pgtypes.text_array([*values, None])[pgtypes.ARRAY_HEADER.size : -4]
    assert pgtypes.text_array(values)[pgtypes.ARRAY_HEADER.size :] == one_by_one


@pytest.mark.parametrize(
    ("encode", "value"),
    [
        (pgtypes.int2_array, 1),
        (pgtypes.int8_array, 0),
        (pgtypes.timestamptz_array, 1_800_000_000_000_000),
    ],
)
def test_a_column_of_one_value_is_packed_like_others(
    encode: Callable[[list[int]], bytes], value: int
) -> None:
    """The phase, amount and instant of a commit are packed once and repeated."""
    assert decode_array(encode([value] * 3)) == [value] * 3
