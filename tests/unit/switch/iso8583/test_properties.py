"""Properties: the compiled codec, the interpreter and pyiso8583 agree on everything."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Mapping
from importlib import resources

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from switch.dialects import DialectDocument, parse_dialect, read_dialect
from switch.iso8583 import CodecError, DecodeError, Dialect
from switch.iso8583.dialect import dialect_from_document
from switch.iso8583.interpreter import Interpreter
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
    max_examples=150,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


# Every layout that the grammar allows and the bundled dialects do not use.
ODD_FORMATS = {
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
    33: 'format = "n..11", digits = "text"',
    34: 'format = "n..28", counts = "bytes", length_prefix = "binary"',
    35: 'format = "z..37", digits = "text"',
    36: 'format = "x+n8", digits = "text"',
    37: 'format = "an1"',
    38: 'format = "x+n8", text = "cp037"',
    39: 'format = "ans..99", text = "cp1047", length_prefix = "binary"',
    40: 'format = "an6", text = "cp037"',
    41: 'format = "n4", digits = "text", text = "cp037"',
    42: 'format = "ans...255", length_prefix = "text"',
    43: 'format = "n..19", pad = "right", length_prefix = "text", text = "cp037"',
    44: 'format = "b..8", length_prefix = "text"',
    45: 'format = "z..37", pad = "left", length_prefix = "binary"',
    46: 'format = "n...40", counts = "bytes"',
    48: 'format = "ans..99"',
    64: 'format = "b1"',
    66: 'format = "n..11", pad = "left"',
    128: 'format = "ans..3"',
    130: 'format = "ans..4"',
    192: 'format = "n3", pad = "left"',
}


def _odd_document() -> DialectDocument:
    text = (resources.files("switch.dialects") / "net87b.toml").read_text(encoding="utf-8")
    head = text.partition("[elements]\n")[0]
    head = re.sub(r"(?m)^elements = .*$", "elements = [2]", head)
    head = head.replace("bitmaps_max = 2", "bitmaps_max = 3")
    lines = [f'{number} = {{ name = "e{number}", {rest} }}' for number, rest in ODD_FORMATS.items()]
    mtis = ("0200", "0210", "0420", "0421", "0430", "0600", "0610")
    messages = ["[messages]", *(f"{mti} = {{ mandatory = [2] }}" for mti in mtis)]
    return parse_dialect("\n".join([head, "[elements]", *lines, *messages]), "odd.toml")


def _ascii_document() -> DialectDocument:
    """Text all through, in ASCII."""
    text = (resources.files("switch.dialects") / "cis.toml").read_text(encoding="utf-8")
    return parse_dialect(text.replace('text = "cp037"', 'text = "ascii"'), "ascii.toml")


ODD_DOCUMENT = _odd_document()
ODD = dialect_from_document(ODD_DOCUMENT)
DOCUMENTS = {
    "net87b": NET87B_DOCUMENT,
    "vip": read_dialect("vip"),
    "cis": read_dialect("cis"),
    "ascii": _ascii_document(),
    "odd": ODD_DOCUMENT,
}
DIALECTS = {name: dialect_from_document(document) for name, document in DOCUMENTS.items()}
each_dialect = pytest.mark.parametrize("name", DOCUMENTS)


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


@each_dialect
@EXAMPLES
@given(data=st.data())
def test_agrees_with_pyiso8583(name: str, data: st.DataObject) -> None:
    """Any message has the same bytes by both codecs, and both read it back as it was."""
    _agree(DOCUMENTS[name], data.draw(messages(DIALECTS[name], elements_max=30)))


class _Unneeded(Interpreter):
    """Stands where plans look for help, and gives none."""

    def encode(self, fields: Mapping[int, str]) -> bytes:
        raise AssertionError(f"no plan for {sorted(fields)}")

    def decode(self, data: bytes) -> dict[int, str]:
        raise AssertionError(f"no plan for {len(data)} bytes")


@each_dialect
@EXAMPLES
@given(data=st.data())
def test_plans_take_every_valid_message_themselves(name: str, data: st.DataObject) -> None:
    """No valid message falls back to the interpreter: none is silently slow."""
    dialect = DIALECTS[name]
    fields = data.draw(messages(dialect))
    interpreter = _Unneeded(dialect.elements, dialect.mtis, dialect.head)
    encode = compile_encoder(interpreter, fields.keys(), interpreter.encode)
    encoded = encode(fields)
    bitmap = dialect.head.bitmap_of([number for number in fields if number])
    assert compile_decoder(interpreter, bitmap)(encoded) == fields


@each_dialect
@EXAMPLES
@given(data=st.data())
def test_agrees_on_damaged_messages(name: str, data: st.DataObject) -> None:
    """A damaged byte is judged alike, and by interpreter and plan in the same words."""
    dialect, encoded = _agree(DOCUMENTS[name], data.draw(messages(DIALECTS[name])))
    message = bytearray(encoded)
    place = data.draw(st.integers(0, len(message) - 1))
    message[place] = data.draw(st.integers(0, 255))
    damaged = bytes(message)
    assert _outcome(dialect, damaged) == _outcome(ReferenceCodec(dialect), damaged)
    assert _said(dialect, damaged) == _said(interpreter_of(dialect), damaged)


@each_dialect
@EXAMPLES
@given(data=st.data())
def test_survives_any_bytes(name: str, data: st.DataObject) -> None:
    """Bytes behind a known MTI are a message to all three codecs, or to none."""
    dialect = DIALECTS[name]
    mti = data.draw(st.sampled_from(sorted(dialect.mtis)))
    message = dialect.head.encode_mti(mti) + data.draw(st.binary(max_size=200))
    assert (
        _outcome(dialect, message)
        == _outcome(interpreter_of(dialect), message)
        == _outcome(ReferenceCodec(dialect), message)
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_every_flipped_bit_is_judged_alike(vector: Vector) -> None:
    """Each single flipped bit of a vector is accepted or refused alike by all three codecs."""
    NET87B.decode(vector.data)
    for bit in range(8 * len(vector.data)):
        message = _flipped(vector.data, bit)
        assert _outcome(NET87B, message) == _outcome(REFERENCE, message), bit
        assert _said(NET87B, message) == _said(INTERPRETER, message), bit


@each_dialect
@pytest.mark.parametrize("shorter", [0, 1])
def test_every_flipped_bit_of_every_layout_is_judged_alike(name: str, shorter: int) -> None:
    """The same for messages that hold every element, of either parity of length."""
    for numbers in _shares(sorted(DIALECTS[name].elements), 12):
        fields = {0: "0200"}
        for number in numbers:
            element = DIALECTS[name].elements[number]
            length = min(element.length_max, max(element.length_min, 8) + shorter)
            length = element.length_max if element.fixed else length
            fields[number] = sample(element, length - length % element.prefix.unit)
        dialect, message = _agree(DOCUMENTS[name], fields)
        reference = ReferenceCodec(dialect)
        interpreter = interpreter_of(dialect)
        for bit in range(0, 8 * len(message), 5):
            damaged = _flipped(message, bit)
            assert _outcome(dialect, damaged) == _outcome(reference, damaged), bit
            assert _said(dialect, damaged) == _said(interpreter, damaged), bit


def _shares(numbers: list[int], size: int) -> list[list[int]]:
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


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
