"""Golden vectors of every bundled dialect: three codecs, one truth."""

from __future__ import annotations

import pytest

from switch.iso8583 import DecodeError, Dialect, load_dialect
from switch.iso8583.reference import ReferenceCodec
from tests.support.iso8583 import (
    BUNDLED,
    REFUSED_OF,
    VECTORS_OF,
    Codec,
    Refused,
    Vector,
    interpreter_of,
    warm,
)

DIALECTS = {name: load_dialect(name) for name in BUNDLED}


def _codec(dialect: Dialect, kind: str) -> Codec:
    match kind:
        case "compiled":
            return dialect
        case "interpreter":
            return interpreter_of(dialect)
        case _:
            return ReferenceCodec(dialect)


each_codec = pytest.mark.parametrize("kind", ["compiled", "interpreter", "pyiso8583"])
each_vector = pytest.mark.parametrize(
    ("name", "vector"),
    [
        pytest.param(name, vector, id=f"{name} {vector.name}")
        for name in BUNDLED
        for vector in VECTORS_OF[name]
    ],
)
each_refused = pytest.mark.parametrize(
    ("name", "refused"),
    [
        pytest.param(name, refused, id=f"{name} {refused.name}")
        for name in BUNDLED
        for refused in REFUSED_OF[name]
    ],
)


def _warm_for(data: bytes, dialect: Dialect) -> None:
    """Compile the plan that will meet these bytes, where their elements are of the dialect."""
    try:
        numbers = dialect.head.numbers_of(dialect.head.bitmap(data))
    except DecodeError:
        return
    if set(numbers) <= dialect.elements.keys():
        warm(dialect, numbers)


@each_codec
@each_vector
def test_encodes_to_the_golden_bytes(kind: str, name: str, vector: Vector) -> None:
    """Fields become exactly the bytes of the vector, at first sight and by a compiled plan."""
    codec = _codec(DIALECTS[name], kind)
    if vector.decode_only:
        assert codec.encode(vector.fields) != vector.data
        return
    for _ in range(3):
        assert codec.encode(dict(vector.fields)).hex() == vector.data.hex()


@each_codec
@each_vector
def test_decodes_the_golden_bytes(kind: str, name: str, vector: Vector) -> None:
    """Bytes become exactly the fields of the vector, in ascending order."""
    codec = _codec(DIALECTS[name], kind)
    for _ in range(3):
        fields = codec.decode(vector.data)
        assert fields == vector.fields
        assert list(fields) == sorted(vector.fields)


@each_codec
@each_refused
def test_refuses_the_bad_twin(kind: str, name: str, refused: Refused) -> None:
    """Each bad twin is refused with its element, offset and reason, by a warm plan too."""
    _warm_for(refused.data, DIALECTS[name])
    with pytest.raises(DecodeError) as caught:
        _codec(DIALECTS[name], kind).decode(refused.data)
    error = caught.value
    assert (error.de, error.offset, error.reason) == (refused.de, refused.offset, refused.reason)


@each_codec
@each_vector
def test_refuses_every_cut(kind: str, name: str, vector: Vector) -> None:
    """A vector cut anywhere is refused: no prefix of a message is a message."""
    codec = _codec(DIALECTS[name], kind)
    codec.decode(vector.data)
    for length in range(len(vector.data)):
        with pytest.raises(DecodeError):
            codec.decode(vector.data[:length])


@each_codec
@each_vector
def test_refuses_bytes_behind(kind: str, name: str, vector: Vector) -> None:
    """A vector with a byte behind it is refused at its end, whatever the byte."""
    for byte in (b"\x00", b" ", b"\xff"):
        with pytest.raises(DecodeError) as caught:
            _codec(DIALECTS[name], kind).decode(vector.data + byte)
        assert caught.value.offset == len(vector.data)
