"""Compiles plans on first sight of a set of elements and keeps a bounded number of them.

Theory of operation. Real traffic consists of a few dozen shapes: per message type the mandatory
elements and one or two more. So the codec writes a Python function for each shape it meets
(`encode_plan`, `decode_plan`), compiles it and keeps it; that is how `attrs` and `dataclasses`
make their methods. A plan is an order of magnitude faster than the interpreter; compiling one
takes half a millisecond.

That half millisecond and the memory are what a hostile peer could ask for with 2**126 bitmaps.
Therefore a plan is compiled only after the interpreter has accepted a whole message of its shape,
at most `PLANS_MAX` are ever compiled for each direction, and none is evicted: past the bound
unknown shapes go through the interpreter, at its constant cost, while the shapes of honest
traffic, met first, keep their plans.

A decoding plan is found by the bitmap in the message. An encoding plan would have to be found by
the set of keys, and hashing twenty keys costs a quarter of the whole encoding; so it is guessed
from MTI and number of keys, and the plan itself notices when the guess was wrong.
"""

from __future__ import annotations

from binascii import a2b_hex
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, cast

from switch.iso8583 import tables
from switch.iso8583.decode_plan import decode_source
from switch.iso8583.elements import Element
from switch.iso8583.encode_plan import encode_source
from switch.iso8583.errors import MTI_DE
from switch.iso8583.head import BITMAP_BYTES
from switch.iso8583.interpreter import Elements, Interpreter
from switch.iso8583.plan_parts import of_charset, table_name
from switch.iso8583.prefixes import Prefix

PLANS_MAX: Final = 256  # per direction: NET87B has 29 message types; a plan takes about 8 kB

Encode = Callable[[Mapping[int, str]], bytes]
Decode = Callable[[bytes], dict[int, str]]


class Encoders:
    """The encoding plans of one dialect."""

    def __init__(self, interpreter: Interpreter, plans_max: int = PLANS_MAX) -> None:
        self._interpreter = interpreter
        self._plans_max = plans_max
        self._plans: dict[frozenset[int], Encode] = {}
        self.guesses: dict[tuple[str, int], Encode] = {}  # by MTI and number of keys

    @property
    def compiled_count(self) -> int:
        """How many plans there are."""
        return len(self._plans)

    def careful(self, fields: Mapping[int, str]) -> bytes:
        """Encode what has no plan yet, and what the guessed plan did not like.

        Either the guess was meant for another set of keys, which is corrected here, or the
        interpreter says what is wrong.
        """
        keys = frozenset(fields)
        plan = self._plans.get(keys)
        if plan is None:
            message = self._interpreter.encode(fields)
            if len(self._plans) < self._plans_max:
                self._plans[keys] = compile_encoder(self._interpreter, keys, self.careful)
            return message
        mti = fields[MTI_DE]
        if not self._interpreter.knows(mti) or self.guesses.get((mti, len(keys))) is plan:
            return self._interpreter.encode(fields)
        self.guesses[mti, len(keys)] = plan
        return plan(fields)


class Decoders:
    """The decoding plans of one dialect."""

    def __init__(self, interpreter: Interpreter, plans_max: int = PLANS_MAX) -> None:
        self._interpreter = interpreter
        self._plans_max = plans_max
        self.plans: dict[bytes, Decode] = {}  # by primary bitmap
        self._by_two: dict[bytes, Decode] = {}  # by both bitmaps, where there are more than one
        self._by_three: dict[bytes, Decode] = {}  # apart: a cut message has the key of a shorter
        start = interpreter.head.mti_bytes
        self._two = slice(start, start + 2 * BITMAP_BYTES)
        self._three = slice(start, start + 3 * BITMAP_BYTES)
        self.compiled_count = 0

    def careful(self, data: bytes) -> dict[int, str]:
        """Decode what has no plan yet, and make one for the next message with this bitmap."""
        fields = self._interpreter.decode(data)
        if self.compiled_count < self._plans_max:
            self.compiled_count += 1
            bitmap = self._interpreter.head.bitmap(data)
            self._add(bitmap, compile_decoder(self._interpreter, bitmap))
        return fields

    def _add(self, bitmap: bytes, plan: Decode) -> None:
        one, two = bitmap[:BITMAP_BYTES], bitmap[: 2 * BITMAP_BYTES]
        if bitmap != two:
            self._by_three[bitmap] = plan
            plan = self._decode_three
        if bitmap != one:
            self._by_two[two] = plan
            plan = self._decode_two
        self.plans[one] = plan

    def _decode_two(self, data: bytes) -> dict[int, str]:
        plan = self._by_two.get(data[self._two])
        return self.careful(data) if plan is None else plan(data)

    def _decode_three(self, data: bytes) -> dict[int, str]:
        plan = self._by_three.get(data[self._three])
        return self.careful(data) if plan is None else plan(data)


def encoder_source(elements: Elements, keys: Collection[int]) -> str:
    """Return the source of the plan that encodes messages with these keys."""
    return encode_source(_ordered(elements, keys))


def decoder_source(interpreter: Interpreter, bitmap: bytes) -> str:
    """Return the source of the plan that decodes these bitmaps, all that a message has."""
    mti_bytes = interpreter.head.mti_bytes
    numbers = interpreter.head.numbers_of(bitmap)
    return decode_source(
        mti_bytes, mti_bytes + len(bitmap), _ordered(interpreter.elements, numbers)
    )


def _ordered(elements: Elements, keys: Collection[int]) -> list[Element]:
    return [elements[key] for key in sorted(keys) if key != MTI_DE]


def compile_encoder(interpreter: Interpreter, keys: Collection[int], careful: Encode) -> Encode:
    """Compile the plan that encodes messages with these keys and gives others to `careful`."""
    elements, head = _ordered(interpreter.elements, keys), interpreter.head
    bitmap = head.bitmap_of([element.number for element in elements])
    namespace: dict[str, Any] = {
        "a2b_hex": a2b_hex,
        "careful": careful,
        "HEADS": {mti: head.encode_mti(mti) + bitmap for mti in interpreter.mtis},
        "SIGN_TO_HEX": tables.SIGN_TO_HEX,
        **_ALPHABETS,
        **_charset_tables(elements),
        **_prefix_tables(
            elements,
            (tables.prefixes_of_nibbles, tables.prefixes_and_pads, tables.prefixes_of_bytes),
        ),
    }
    return cast(Encode, _compile(encode_source(elements), "encode", namespace))


def compile_decoder(interpreter: Interpreter, bitmap: bytes) -> Decode:
    """Compile the plan that decodes messages with these bitmaps, all that a message has."""
    head = interpreter.head
    elements = _ordered(interpreter.elements, head.numbers_of(bitmap))
    namespace: dict[str, Any] = {
        "careful": interpreter.decode,
        "MTIS": {head.encode_mti(mti): mti for mti in interpreter.mtis},
        "BLANK": dict.fromkeys([MTI_DE, *(element.number for element in elements)], ""),
        **_ALPHABETS,
        **_charset_tables(elements),
        **_prefix_tables(
            elements,
            (
                tables.nibble_prefixes,
                tables.text_prefixes,
                tables.byte_prefixes,
                tables.hex_prefixes,
            ),
        ),
    }
    return cast(Decode, _compile(decoder_source(interpreter, bitmap), "decode", namespace))


_ALPHABETS: Final = {"BCD": tables.BCD, "TRACK": tables.TRACK, "PRINTABLE": tables.PRINTABLE}


def _charset_tables(elements: Sequence[Element]) -> dict[str, object]:
    """The tables of every charset that the elements use."""
    named: dict[str, object] = {}
    for charset in {element.charset for element in elements}:
        name = of_charset(charset)
        named |= {
            f"FROM_ASCII{name}": charset.from_ascii,
            f"TO_ASCII{name}": charset.to_ascii,
            f"PRINTABLE{name}": charset.printable,
            f"SIGN_BYTES{name}": tables.sign_bytes(charset),
            f"SIGN_FROM_HEX{name}": tables.sign_from_hex(charset),
        }
    return named


def _prefix_tables(
    elements: Sequence[Element], makers: Sequence[Callable[[Prefix, int, int], object]]
) -> dict[str, object]:
    """The tables of every variable element; `functools.cache` shares them between plans."""
    return {
        table_name(element, maker.__name__): maker(
            element.prefix, element.length_min, element.length_max
        )
        for element in elements
        if not element.fixed
        for maker in makers
    }


def _compile(source: str, name: str, namespace: dict[str, Any]) -> object:
    """Compile the source and return its function.

    The source consists of names and numbers of a checked dialect, nothing of a message.
    """
    exec(compile(source, f"<{name} plan>", "exec"), namespace)  # noqa: S102  # as said above
    return namespace[name]
