"""A dialect ready for use: its data, and the codec built from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from switch.dialects import DialectDocument, Framing, Policy, PrivateTags, read_dialect
from switch.iso8583.elements import Element
from switch.iso8583.errors import MTI_DE
from switch.iso8583.head import BITMAP_BYTES, Head
from switch.iso8583.interpreter import Interpreter
from switch.iso8583.plans import Decoders, Encoders
from switch.iso8583.pyiso8583_spec import Spec, spec_of


@attrs.frozen(eq=False)
class Dialect:
    """What one network speaks. Immutable; share one among all links of a network."""

    name: str
    title: str
    framing: Framing
    policy: Policy
    head: Head
    elements: Mapping[int, Element]
    mtis: frozenset[str]  # the message types that are let in, and out
    mandatory: Mapping[str, frozenset[int]]  # by MTI
    echo: tuple[int, ...]  # elements that a response repeats unchanged
    network_functions: Mapping[str, str]  # "sign_on" -> DE 70; without those the network lacks
    private: PrivateTags
    encoders: Encoders = attrs.field(repr=False)  # the compiled plans
    decoders: Decoders = attrs.field(repr=False)
    interpreter: Interpreter = attrs.field(repr=False)  # the same codec, one element at a time
    _primary: slice = attrs.field(repr=False)  # where the primary bitmap stands

    def encode(self, fields: Mapping[int, str]) -> bytes:
        """Encode a message: key 0 is the MTI, every other key an element number.

        Values have the full width of their element: digits and text of fixed elements are not
        filled here (`Element.fit` does that), so `decode` returns exactly what was encoded.

        Raises:
            EncodeError: the fields are not a message of this dialect.
        """
        try:
            plan = self.encoders.guesses[fields[0], len(fields)]
        except (KeyError, TypeError):  # the first of its kind, or no MTI to speak of
            plan = self.encoders.careful
        return plan(fields)

    def decode(self, data: bytes) -> dict[int, str]:
        """Decode a message into what `encode` would have taken.

        Text of fixed elements keeps the spaces it is filled with; binary elements are upper-case
        hex; the elements stand in ascending order behind key 0.

        Raises:
            DecodeError: the bytes are not a message of this dialect.
        """
        plan = self.decoders.plans.get(data[self._primary])
        return self.decoders.careful(data) if plan is None else plan(data)

    def missing(self, fields: Mapping[int, str]) -> list[int]:
        """Return the mandatory elements that a message of a known MTI lacks, ascending."""
        return sorted(self.mandatory[fields[MTI_DE]] - fields.keys())

    def pyiso8583_spec(self) -> Spec:
        """Return the dialect as pyiso8583's specification dict, a fresh one."""
        return spec_of(self.elements, self.head)

    def fit(self, number: int, text: str) -> str:
        """Fill a value to the fixed width of its element; see `Element.fit`."""
        return self.elements[number].fit(text)


def dialect_from_document(document: DialectDocument) -> Dialect:
    """Build the dialect that a checked document describes."""
    elements = {
        int(number): Element.from_format(int(number), line, document.packing)
        for number, line in document.elements.items()
    }
    head = Head.from_packing(document.packing)
    interpreter = Interpreter(elements, frozenset(document.messages), head)
    return Dialect(
        name=document.name,
        title=document.title,
        framing=document.framing,
        policy=document.policy,
        head=head,
        elements=elements,
        mtis=interpreter.mtis,
        mandatory={mti: frozenset(rule.mandatory) for mti, rule in document.messages.items()},
        echo=document.echo.elements,
        network_functions=document.functions(),
        private=document.private,
        encoders=Encoders(interpreter),
        decoders=Decoders(interpreter),
        interpreter=interpreter,
        primary=slice(head.mti_bytes, head.mti_bytes + BITMAP_BYTES),
    )


def load_dialect(name_or_path: str | Path) -> Dialect:
    """Load a bundled dialect by name ("net87b") or another by the path of its .toml file.

    Raises:
        DialectError: there is no such dialect, or its file is unusable; names file, line and key.
    """
    return dialect_from_document(read_dialect(name_or_path))
