"""What the types of a dialect file allow and a codec, a link or the money could not use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from switch.dialects.framings import FRAME_BYTES_MIN, Framing
from switch.dialects.schema import DialectDocument, ElementFormat, Policy

NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,2}")
_MTI: Final = re.compile(r"[0-9]{4}")
_FUNCTION: Final = re.compile(r"[0-9]{3}")
_BITMAP_ELEMENTS: Final = {65: "third", 129: "fourth"}

_ADDRESSES: Final = {
    "none": (re.compile(""), "an address belongs to a header"),
    "tpdu": (re.compile(r"[0-9A-F]{4}"), "an address of a TPDU has four upper-case hex digits"),
    "vip": (re.compile(r"[0-9]{6}"), "a station of a VIP header has six digits"),
}
_INQUIRY: Final = frozenset({"0600", "0610"})
_MAC_ELEMENTS: Final = frozenset({"64", "128"})

Fault = tuple[str, str]  # key, reason


class FaultError(ValueError):
    """Something is wrong at a key; the reader adds file and line."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason


def check(document: DialectDocument) -> None:
    """Refuse a document that does not hold together.

    Raises:
        FaultError: the first thing wrong, in the order of the file's tables.
    """
    for key, reason in _faults(document):
        raise FaultError(key, reason)


def _faults(document: DialectDocument) -> Iterator[Fault]:
    if not NAME.fullmatch(document.name):
        yield "name", "use lower-case letters, digits and underscores"
    packing = document.packing
    if packing.digits == "bcd" and packing.track_separators != "D":
        yield "packing.track_separators", "two digits to a byte leave room for the separator D only"
    yield from _framing(document.framing)
    yield from _network_functions(document)
    yield from _elements(document)
    yield from _messages(document)
    yield from _members(document, "echo.elements", document.echo.elements)
    yield from _members(document, "private.element", (document.private.element,))
    yield from _policy(document)


def _framing(framing: Framing) -> Iterator[Fault]:
    most = framing.message_bytes_max
    if not FRAME_BYTES_MIN <= framing.frame_bytes_max <= most:
        yield (
            "framing.frame_bytes_max",
            f"outside {FRAME_BYTES_MIN} to {most}, what the length can say",
        )
    form, words = _ADDRESSES[framing.header]
    for key in ("destination", "source"):
        if not form.fullmatch(getattr(framing, key)):
            yield f"framing.{key}", words


def _network_functions(document: DialectDocument) -> Iterator[Fault]:
    taken: set[str] = set()
    for name, function in document.functions().items():
        key = f"network_management.{name}"
        if not _FUNCTION.fullmatch(function):
            yield key, "a network function has three digits"
        if function in taken:
            yield key, f"{function} is another function already"
        taken.add(function)


def _elements(document: DialectDocument) -> Iterator[Fault]:
    names: set[str] = set()
    last = 64 * document.packing.bitmaps_max
    for number, element in document.elements.items():
        key = f"elements.{number}"
        if not _NUMBER.fullmatch(number) or not 2 <= int(number) <= last:
            yield key, f"elements are numbered 2 to {last}"
        elif int(number) in _BITMAP_ELEMENTS:
            which = _BITMAP_ELEMENTS[int(number)]
            yield key, f"DE {number} announces a {which} bitmap and is no element"
        elif not NAME.fullmatch(element.name) or element.name in names:
            yield f"{key}.name", "malformed or taken"
        else:
            try:
                element.parse(document.packing)
            except ValueError as error:
                yield key, str(error)
        names.add(element.name)


def _messages(document: DialectDocument) -> Iterator[Fault]:
    if not document.messages:
        yield "messages", "a dialect has at least one message"
    for mti, rule in document.messages.items():
        if not _MTI.fullmatch(mti):
            yield f"messages.{mti}", "an MTI has four digits"
        yield from _members(document, f"messages.{mti}.mandatory", rule.mandatory)


def _members(document: DialectDocument, key: str, numbers: tuple[int, ...]) -> Iterator[Fault]:
    for number in numbers:
        if str(number) not in document.elements:
            yield key, f"DE {number} is not in [elements]"
    if len(set(numbers)) != len(numbers):
        yield key, "an element is named twice"


def _policy(document: DialectDocument) -> Iterator[Fault]:
    policy = document.policy
    for mti in _reversal_messages(policy):
        if mti not in document.messages:
            yield "policy.reversal_mti", f"{mti} is not in [messages]"
    if policy.unknown_outcome == "inquire_then_reverse":
        for mti in sorted(_INQUIRY - document.messages.keys()):
            yield "policy.unknown_outcome", f"an inquiry needs {mti}, not in [messages]"
    if policy.mac != "none":
        for number in sorted(_MAC_ELEMENTS - document.elements.keys()):
            yield "policy.mac", f"DE {number} is not in [elements]"
    for number, key in (("22", "pos_entry_mode"), ("25", "pos_condition_code")):
        element = document.elements.get(number)
        if element is not None and not _fits(element, getattr(policy, key)):
            yield f"policy.{key}", f"does not fit DE {number}"


def _reversal_messages(policy: Policy) -> list[str]:
    """What a reversal that is stored and forwarded needs: itself, its repeat, its answer."""
    asks = policy.reversal_mti
    repeats = [f"{asks[:3]}1"] if policy.repeat_mti == "repeat" else []
    return [asks, *repeats, f"{asks[:2]}{int(asks[2]) + 1}0"]


def _fits(element: ElementFormat, value: str) -> bool:
    """Whether a value of digits or letters fits an element, as far as can be told."""
    fixed = re.fullmatch(r"(?:n|an|ans)([0-9]+)", element.format)
    if fixed is not None and len(value) != int(fixed[1]):
        return False
    if element.format.startswith("n"):
        return value.isascii() and value.isdecimal()
    return value.isascii() and value.isprintable()
