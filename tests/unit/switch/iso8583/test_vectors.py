"""Golden vectors: three codecs, one truth."""

from __future__ import annotations

import pytest

from switch.iso8583 import DecodeError, Dialect, load_dialect
from switch.iso8583.reference import ReferenceCodec
from tests.support.iso8583 import REFUSED, VECTORS, Codec, Refused, Vector, interpreter_of, warm

NET87B = load_dialect("net87b")
CODECS: dict[str, Codec] = {
    "compiled": NET87B,
    "interpreter": interpreter_of(NET87B),
    "pyiso8583": ReferenceCodec(NET87B),
}

each_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
each_refused = pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.name)


def _warm_for(data: bytes, dialect: Dialect) -> None:
    """Compile the plan that will meet these bytes, where their elements are of the dialect."""
    bitmaps = data[2:18] if data[2:3] >= b"\x80" else data[2:10]
    numbers = dialect.head.numbers_of(bitmaps)
    if set(numbers) <= dialect.elements.keys():
        warm(dialect, numbers)


@each_codec
@each_vector
def test_encodes_to_the_golden_bytes(codec: Codec, vector: Vector) -> None:
    """Fields become exactly the bytes of the vector, at first sight and by a compiled plan."""
    if vector.decode_only:
        assert codec.encode(vector.fields) != vector.data
        return
    for _ in range(3):
        assert codec.encode(dict(vector.fields)).hex() == vector.data.hex()


@each_codec
@each_vector
def test_decodes_the_golden_bytes(codec: Codec, vector: Vector) -> None:
    """Bytes become exactly the fields of the vector, in ascending order."""
    for _ in range(3):
        fields = codec.decode(vector.data)
        assert fields == vector.fields
        assert list(fields) == sorted(vector.fields)


@each_codec
@each_refused
def test_refuses_the_bad_twin(codec: Codec, refused: Refused) -> None:
    """Each bad twin is refused with its element, offset and reason, by a warm plan too."""
    _warm_for(refused.data, NET87B)
    with pytest.raises(DecodeError) as caught:
        codec.decode(refused.data)
    error = caught.value
    assert (error.de, error.offset, error.reason) == (refused.de, refused.offset, refused.reason)


@each_codec
@each_vector
def test_refuses_every_cut(codec: Codec, vector: Vector) -> None:
    """A vector cut anywhere is refused: no prefix of a message is a message."""
    codec.decode(vector.data)
    for length in range(len(vector.data)):
        with pytest.raises(DecodeError):
            codec.decode(vector.data[:length])


@each_codec
@each_vector
def test_refuses_bytes_behind(codec: Codec, vector: Vector) -> None:
    """A vector with a byte behind it is refused at its end, whatever the byte."""
    for byte in (b"\x00", b" ", b"\xff"):
        with pytest.raises(DecodeError) as caught:
            codec.decode(vector.data + byte)
        assert caught.value.offset == len(vector.data)
