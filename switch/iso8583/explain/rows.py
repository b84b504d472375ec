"""A message as rows: where each element stands, its bytes, its value, what it means; masked.

What may be seen is `masking.mask_fields`' decision. Here two things come on top of it, because a
tool is given the messages that are wrong. A value that is a card number is hidden whatever its
element; in a message that cannot be read to its end, so is every element that shares bytes with
what looks like a card number behind its length (a bit missing in the bitmap makes it part of
others). And DE 62 is shown only where it is the outcome of an inquiry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import attrs

from chassis.masking import passes_luhn
from switch.iso8583.dialect import Dialect
from switch.iso8583.elements import DE
from switch.iso8583.errors import BITMAP_DE, MTI_DE, DecodeError
from switch.iso8583.explain.meanings import is_inquiry_outcome, meaning_of, mti_in_words
from switch.iso8583.head import BITMAP_BYTES
from switch.iso8583.interpreter import Located
from switch.iso8583.masking import HIDDEN, mask_fields

HIDDEN_BYTE: Final = "**"
_EBCDIC_DIGITS: Final = bytes(range(0xF0, 0xFA))
_TO_DIGITS: Final = bytes.maketrans(_EBCDIC_DIGITS, b"0123456789")
# A length of 12 to 19, then at least so many digits, of which the first says a card network.
_CARD: Final = re.compile(r"(?=(1[2-9])(0?[2-6][0-9]{11,18}))")
_CARD_ALONE: Final = re.compile(r"[2-6][0-9]{12,18}")
_CARD_BINARY: Final = re.compile(r"(?=(0[cdef]|1[0-3])(0?[2-6][0-9]{11,18}))")


@attrs.frozen(kw_only=True)
class Row:
    """One element of a message, fit to be shown.

    Attributes:
        de: element number; 0 is the message type, 1 the bitmaps.
        name: as in the dialect.
        format: in the notation of the dialect; empty for the head.
        offset: the byte where it begins, with its length prefix.
        size: bytes, prefix included.
        raw: the bytes as hex, prefix and value apart, hidden ones as `**`.
        value: as text, masked.
        meaning: in words, empty where there are none.
    """

    de: int
    name: str
    format: str
    offset: int
    size: int
    raw: str
    value: str
    meaning: str


@attrs.frozen
class Explanation:
    """A message as far as it can be read.

    Attributes:
        rows: its elements, in wire order.
        error: what ended the reading; None for a message of the dialect.
    """

    rows: tuple[Row, ...]
    error: DecodeError | None


def explain(dialect: Dialect, data: bytes) -> Explanation:
    """Explain one message, without what stands around it on a stream."""
    located: list[Located] = []
    error: DecodeError | None = None
    fields: dict[int, str] = {}
    try:
        fields[MTI_DE] = dialect.interpreter.mti_of(data)
        for one in dialect.interpreter.walk(data):
            located.append(one)
            fields[one.element.number] = one.text
    except DecodeError as refused:
        error = refused.with_traceback(None)
    rows = list(_head(dialect, data, fields[MTI_DE], broken=error is not None)) if fields else []
    masked, cards = mask_fields(fields), list(_cards(data)) if error else []
    rows += [_row(dialect, data, one, fields, masked, cards) for one in located]
    return Explanation(tuple(rows), error)


def _head(dialect: Dialect, data: bytes, mti: str, *, broken: bool) -> Iterator[Row]:
    """The message type and the bitmaps, as far as they are there."""
    start = dialect.head.mti_bytes
    yield Row(
        de=MTI_DE,
        name="message_type",
        format="",
        offset=0,
        size=start,
        raw=data[:start].hex(),
        value=mti,
        meaning=mti_in_words(mti),
    )
    try:
        bitmap = dialect.head.bitmap(data)
    except DecodeError:
        return
    numbers = dialect.head.numbers_of(bitmap)
    parts = [bitmap[at : at + BITMAP_BYTES].hex() for at in range(0, len(bitmap), BITMAP_BYTES)]
    # Whoever left the bitmap out put something else in its place.
    hidden = broken and any(map(_is_card, parts))
    yield Row(
        de=BITMAP_DE,
        name="bitmap",
        format="",
        offset=start,
        size=len(bitmap),
        raw=HIDDEN_BYTE * len(bitmap) if hidden else " ".join(parts),
        value=HIDDEN if hidden else " ".join(map(str, numbers)),
        meaning=f"{len(numbers)} elements",
    )


def _row(
    dialect: Dialect,
    data: bytes,
    located: Located,
    fields: dict[int, str],
    masked: dict[int, str],
    cards: list[range],
) -> Row:
    element, number = located.element, located.element.number
    value = masked[number]
    end = located.offset + located.size
    if number != DE.PAN and (
        any(located.offset < card.stop and card.start < end for card in cards)
        or _is_card(value.strip())
        or (number == DE.PRIVATE_62 and not is_inquiry_outcome(fields))
    ):
        value = HIDDEN
    shown = value == fields[number]
    return Row(
        de=number,
        name=element.name,
        format=element.format,
        offset=located.offset,
        size=located.size,
        raw=_raw(data, located, shown=shown),
        value=value,
        meaning=meaning_of(dialect, fields, number) if shown else "",
    )


def _is_card(text: str) -> bool:
    return bool(_CARD_ALONE.fullmatch(text)) and passes_luhn(text)


def _raw(data: bytes, located: Located, *, shown: bool) -> str:
    """The bytes of an element as hex, its prefix apart."""
    start = located.offset + located.element.prefix.size
    end = located.offset + located.size
    value = data[start:end].hex() if shown else HIDDEN_BYTE * (end - start)
    return f"{data[located.offset : start].hex()} {value}".strip()


def _cards(data: bytes) -> Iterator[range]:
    """Where bytes look like a card number behind its length: packed digits, or text."""
    nibbles = data.hex()
    for pattern, base in ((_CARD, 10), (_CARD_BINARY, 16)):
        for match in pattern.finditer(nibbles):
            digits = _card_digits(match, base)
            if digits and match.start() % 2 == 0:
                yield range(match.start() // 2, (match.start(2) + digits + 1) // 2)
    for match in _CARD.finditer(data.translate(_TO_DIGITS).decode("latin-1")):
        digits = _card_digits(match, 10)
        if digits:
            yield range(match.start(), match.start(2) + digits)


def _card_digits(match: re.Match[str], base: int) -> int:
    """How many digits, a pad before them included, belong to the card number; 0 for none."""
    count, digits = int(match[1], base), match[2]
    pad = int(digits.startswith("0"))
    card = digits[pad : pad + count]
    return pad + count if len(card) == count and passes_luhn(card) else 0
