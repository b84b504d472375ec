"""Plans: how they read, and that their number is bounded."""

from __future__ import annotations

import pytest

from switch.iso8583 import DecodeError, EncodeError, load_dialect, plans
from switch.iso8583.plans import PLANS_MAX, Decoders, Encoders
from tests.support.iso8583 import interpreter_of, sample, warm

NET87B = load_dialect("net87b")
INTERPRETER = interpreter_of(NET87B)

ENCODE = """\
def encode(fields):
    try:
        a2 = fields[2]
        a4 = fields[4]
        a19 = fields[19]
        a39 = fields[39]
        a41 = fields[41]
        a48 = fields[48]
        p2, q2 = prefixes_of_nibbles_12_19_1[len(a2)]
        digits2 = a2b_hex(f"{p2}{a2}{q2}{a4}0{a19}")
        text39 = f"{a39}{a41}".encode("ascii")
        n48 = len(a48)
        text48 = f"{a48}".encode("ascii")
        if (
            len(fields) == 7
            and len(a39) == 2
            and len(a19) == 3
            and len(a41) == 8
            and len(a4) == 12
            and (a39.isalnum() or a39.replace(" ", "0").isalnum())
            and len(text39) == 10
            and len(text48) == n48
            and digits2.translate(BCD).isascii()
            and (text39 + text48).translate(PRINTABLE).isascii()
        ):
            return b"".join((HEADS[fields[0]], digits2, text39, prefixes_of_bytes_1_999_2[n48], text48,))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        pass
    return careful(fields)
"""  # noqa: E501  # as the generator writes it

DECODE = """\
def decode(data):
    try:
        fields = BLANK.copy()
        fields[0] = MTIS[data[0:2]]
        h2 = data[10:29].hex()
        n2, w2 = nibble_prefixes_12_19_1[h2[0:2]]
        fields[2] = h2[2:2 + n2]
        o2 = 11 + (w2 >> 1)
        h4 = h2[2 + w2:]
        fields[4] = h4[0:12]
        fields[19] = h4[13:16]
        t39 = data[o2 + 8:o2 + 1019].decode("latin-1")
        fields[39] = a39 = t39[0:2]
        fields[41] = t39[2:10]
        n48 = text_prefixes_1_999_2[t39[10:12]]
        fields[48] = t39[12:12 + n48]
        o48 = o2 + 20 + n48
        if (
            len(data) == o48
            and (n2 == w2 or h2[2 + n2] == "0")
            and h4[12] == "0"
            and (a39.isalnum() or a39.replace(" ", "0").isalnum())
            and data[10:o2 + 8].translate(BCD).isascii()
            and (data[o2 + 8:o2 + 18] + data[o2 + 20:o48]).translate(PRINTABLE).isascii()
        ):
            return fields
    except (IndexError, KeyError):
        pass
    return careful(data)
"""


def test_an_encoding_plan_reads_like_this() -> None:
    """The generated source is fit to be read by whoever debugs it."""
    assert plans.encoder_source(NET87B.elements, [0, 2, 4, 19, 39, 41, 48]) == ENCODE


def test_a_decoding_plan_reads_like_this() -> None:
    """The generated source is fit to be read by whoever debugs it."""
    bitmap = bytes.fromhex("5000200002810000")
    assert plans.decoder_source(INTERPRETER, bitmap) == DECODE


def _message(*numbers: int) -> dict[int, str]:
    return {0: "0200", **{number: sample(NET87B.elements[number]) for number in numbers}}


def test_shapes_beyond_the_bound_are_still_encoded() -> None:
    """Past the bound no plan is added, and messages are encoded as before."""
    encoders = Encoders(INTERPRETER, plans_max=2)
    for number in (3, 4, 7, 11):
        for _ in range(3):
            fields = _message(number)
            assert encoders.careful(fields) == INTERPRETER.encode(fields)
    assert encoders.guesses.keys() == {("0200", 2)}
    assert encoders.compiled_count == 2


def test_shapes_beyond_the_bound_are_still_decoded() -> None:
    """Past the bound no plan is added, with one bitmap or two."""
    decoders = Decoders(INTERPRETER, plans_max=3)
    for number in (3, 4, 7, 70, 90, 95):
        data = INTERPRETER.encode(_message(number))
        for _ in range(3):
            plan = decoders.plans.get(data[2:10], decoders.careful)
            assert plan(data) == _message(number)
    assert decoders.compiled_count == 3
    assert len(decoders.plans) == 3


def test_two_bitmaps_with_one_first_half_have_plans_of_their_own() -> None:
    """Behind a shared primary bitmap the secondary one decides."""
    decoders = Decoders(INTERPRETER)
    for _ in range(3):
        for number in (66, 70, 90):
            data = INTERPRETER.encode(_message(3, number))
            plan = decoders.plans.get(data[2:10], decoders.careful)
            assert plan(data) == _message(3, number)
    assert len(decoders.plans) == 1
    assert decoders.compiled_count == 3


def test_refused_messages_compile_nothing() -> None:
    """Thousands of hostile bitmaps leave not one plan behind."""
    dialect = load_dialect("net87b")
    for number in range(4_000):
        bitmap = (number * 2_654_435_761 % 2**63).to_bytes(8, "big")
        with pytest.raises(DecodeError):
            dialect.decode(b"\x02\x00" + bitmap + b"\xff")
    assert dialect.decoders.compiled_count == 0


def test_unknown_message_types_leave_no_guesses() -> None:
    """However many MTIs of no dialect are tried, nothing is remembered of them."""
    dialect = load_dialect("net87b")
    warm(dialect, [3, 4])
    guesses = set(dialect.encoders.guesses)
    for number in range(1_000, 1_200):
        with pytest.raises(EncodeError):
            dialect.encode({**_message(3, 4), 0: str(number)})
    assert set(dialect.encoders.guesses) == guesses


def test_hostile_shapes_cannot_crowd_out_plans() -> None:
    """Valid messages of ever new shapes stop being compiled; the earlier plan stays."""
    dialect = load_dialect("net87b")
    first = INTERPRETER.encode(_message(3, 4))
    dialect.decode(first)
    plan = dialect.decoders.plans[first[2:10]]
    digits = [3, 4, 5, 6, 7, 8, 9, 10, 11]
    for subset in range(2 ** len(digits)):
        numbers = [number for bit, number in enumerate(digits) if subset >> bit & 1]
        dialect.decode(INTERPRETER.encode(_message(*numbers)))
    assert dialect.decoders.compiled_count == PLANS_MAX
    assert dialect.decoders.plans[first[2:10]] is plan
