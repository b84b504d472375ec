"""Properties: the compiled codec, the interpreter and pyiso8583 agree on everything."""

from __future__ import annotations

import random
import string
from collections.abc import Mapping
from importlib import resources

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from switch.dialects import DialectDocument, read_dialect
from switch.iso8583 import CodecError, DecodeError, Dialect
from switch.iso8583.dialect import dialect_from_document
from switch.iso8583.interpreter import Interpreter, bitmap_of
from switch.iso8583.plans import compile_decoder, compile_encoder
from switch.iso8583.reference import ReferenceCodec
from tests.support.iso8583 import (
    SALE,
    VECTORS,
    Codec,
    Vector,
    interpreter_of,
    messages,
    sample,
    warm,
)

NET87B_DOCUMENT = read_dialect("net87b")
NET87B = dialect_from_document(NET87B_DOCUMENT)
INTERPRETER = interpreter_of(NET87B)
REFERENCE = ReferenceCodec(NET87B)
EXAMPLES = settings(
    max_examples=300,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def _odd_document() -> DialectDocument:
    """A dialect with every layout that the grammar allows and NET87B does not use."""
    text = (resources.files("switch.dialects") / "net87b.toml").read_text(encoding="utf-8")
    formats = {
        2: 'format = "n..19", pad = "left", min = 12',
        3: 'format = "n5", pad = "right"',
        4: 'format = "n...305", pad = "left"',
        7: 'format = "n..10", pad = "right"',
        11: 'format = "z7", pad = "left"',
        12: 'format = "z7", pad = "right"',
        13: 'format = "z4"',
        14: 'format = "z...104", pad = "left"',
        18: 'format = "b..8"',
        19: 'format = "an..11"',
        22: 'format = "ans...120"',
        25: 'format = "x+n2"',
        32: 'format = "n1", pad = "left"',
        37: 'format = "an1"',
        48: 'format = "ans..99"',
        64: 'format = "b1"',
        66: 'format = "n..11", pad = "left"',
        128: 'format = "ans..3"',
    }
    head = text.partition("[elements]\n")[0].replace(
        "elements = [2, 3, 4, 7, 11, 32, 37, 41, 42, 49]", "elements = [2]"
    )
    lines = [f'{number} = {{ name = "e{number}", {rest} }}' for number, rest in formats.items()]
    messages = ["[messages]", "0200 = { mandatory = [2] }", "0210 = { mandatory = [] }"]
    return DialectDocument.from_toml("\n".join([head, "[elements]", *lines, *messages]), "odd.toml")


ODD_DOCUMENT = _odd_document()
ODD = dialect_from_document(ODD_DOCUMENT)


def _outcome(codec: Codec, data: bytes) -> dict[int, str] | None:
    """Decode, or None for a refusal; anything but a DecodeError fails the test."""
    try:
        return codec.decode(data)
    except DecodeError:
        return None


def _agree(document: DialectDocument, fields: dict[int, str]) -> tuple[Dialect, bytes]:
    """Encode and decode by all codecs; return the dialect, its plans warm, and the bytes."""
    dialect = dialect_from_document(document)  # a fresh one: the number of plans is bounded
    expected = ReferenceCodec(dialect).encode(fields)
    for _ in range(3):  # the interpreter, the plan, the plan by its guess
        assert dialect.encode(fields) == expected
        assert dialect.decode(expected) == fields
    assert interpreter_of(dialect).encode(fields) == expected
    assert ReferenceCodec(dialect).decode(expected) == fields
    return dialect, expected


@EXAMPLES
@given(messages(NET87B, elements_max=30))
def test_agrees_with_pyiso8583(fields: dict[int, str]) -> None:
    """Any message has the same bytes by both codecs, and both read it back as it was."""
    _agree(NET87B_DOCUMENT, fields)


@EXAMPLES
@given(messages(ODD))
def test_agrees_on_layouts_that_net87b_lacks(fields: dict[int, str]) -> None:
    """The same holds for left pads of variable digits, fixed tracks and one-digit elements."""
    _agree(ODD_DOCUMENT, fields)


class _Unneeded(Interpreter):
    """Stands where plans look for help, and gives none."""

    def encode(self, fields: Mapping[int, str]) -> bytes:
        raise AssertionError(f"no plan for {sorted(fields)}")

    def decode(self, data: bytes) -> dict[int, str]:
        raise AssertionError(f"no plan for {len(data)} bytes")


@EXAMPLES
@given(st.sampled_from([NET87B, ODD]).flatmap(lambda d: st.tuples(st.just(d), messages(d))))
def test_plans_take_every_valid_message_themselves(drawn: tuple[Dialect, dict[int, str]]) -> None:
    """No valid message falls back to the interpreter: none is silently slow."""
    dialect, fields = drawn
    interpreter = _Unneeded(dialect.elements, dialect.mtis)
    encode = compile_encoder(interpreter, fields.keys(), interpreter.encode)
    data = encode(fields)
    bitmap = bitmap_of([number for number in fields if number])
    assert compile_decoder(interpreter, bitmap)(data) == fields


@EXAMPLES
@given(messages(ODD), st.data())
def test_agrees_on_damaged_messages(fields: dict[int, str], data: st.DataObject) -> None:
    """A damaged byte is judged alike, and by interpreter and plan in the same words."""
    dialect, encoded = _agree(ODD_DOCUMENT, fields)
    message = bytearray(encoded)
    place = data.draw(st.integers(0, len(message) - 1))
    message[place] = data.draw(st.integers(0, 255))
    damaged = bytes(message)
    assert _outcome(dialect, damaged) == _outcome(ReferenceCodec(dialect), damaged)
    assert _said(dialect, damaged) == _said(interpreter_of(dialect), damaged)


@EXAMPLES
@given(st.sampled_from(sorted(NET87B.mtis)), st.binary(max_size=200))
def test_survives_any_bytes(mti: str, data: bytes) -> None:
    """Bytes behind a known MTI are a message to all three codecs, or to none."""
    message = bytes.fromhex(mti) + data
    assert (
        _outcome(NET87B, message) == _outcome(INTERPRETER, message) == _outcome(REFERENCE, message)
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_every_flipped_bit_is_judged_alike(vector: Vector) -> None:
    """Each single flipped bit of a vector is accepted or refused alike by all three codecs."""
    NET87B.decode(vector.data)
    for bit in range(8 * len(vector.data)):
        message = _flipped(vector.data, bit)
        assert _outcome(NET87B, message) == _outcome(REFERENCE, message), bit
        assert _said(NET87B, message) == _said(INTERPRETER, message), bit


@pytest.mark.parametrize("shorter", [0, 1])
def test_every_flipped_bit_of_odd_layouts_is_judged_alike(shorter: int) -> None:
    """The same for a message with every element of the odd dialect, of either parity of length."""
    fields = {0: "0200"}
    for number, element in ODD.elements.items():
        fields[number] = sample(element, element.length_max - (0 if element.fixed else shorter))
    dialect, message = _agree(ODD_DOCUMENT, fields)
    reference = ReferenceCodec(dialect)
    interpreter = interpreter_of(dialect)
    for bit in range(8 * len(message)):
        damaged = _flipped(message, bit)
        assert _outcome(dialect, damaged) == _outcome(reference, damaged), bit
        assert _said(dialect, damaged) == _said(interpreter, damaged), bit


def _flipped(message: bytes, bit: int) -> bytes:
    damaged = bytearray(message)
    damaged[bit // 8] ^= 0x80 >> bit % 8
    return bytes(damaged)


def test_damage_never_escapes_as_another_error() -> None:
    """Thousands of vectors with several damaged bytes raise nothing but DecodeError."""
    source = random.Random(8583)
    refused = 0
    for _ in range(4_000):
        damaged = bytearray(source.choice(VECTORS).data)
        for _ in range(source.randint(1, 6)):
            match source.randrange(3):
                case 0:
                    damaged[source.randrange(len(damaged))] = source.randrange(256)
                case 1:
                    del damaged[source.randrange(len(damaged))]
                case _:
                    damaged.insert(source.randrange(len(damaged)), source.randrange(256))
        message = bytes(damaged)
        refused += _outcome(NET87B, message) is None
        assert _said(NET87B, message) == _said(INTERPRETER, message)
    assert refused > 2_000


@EXAMPLES
@given(
    st.sampled_from(sorted(SALE.fields)[1:]),
    st.text(string.printable + "\u00e9\u0663\uff14", max_size=48),
)
def test_any_value_is_encoded_alike_or_refused_alike(number: int, text: str) -> None:
    """A value of any kind in any element is refused by all three codecs or by none."""
    warm(NET87B, [n for n in SALE.fields if n])
    fields = {**SALE.fields, number: text}
    outcomes = []
    for codec in (NET87B, INTERPRETER, REFERENCE):
        try:
            outcomes.append(codec.encode(dict(fields)))
        except CodecError as error:
            outcomes.append((error.de, error.reason))
    assert outcomes[0] == outcomes[1]
    assert isinstance(outcomes[2], bytes) == isinstance(outcomes[0], bytes)


def _said(codec: Codec, data: bytes) -> tuple[int, int, str] | dict[int, str]:
    try:
        return codec.decode(data)
    except DecodeError as error:
        return error.de, error.offset, error.reason
