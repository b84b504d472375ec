"""Packed messages broken in one place: what a decoder says of each, in every dialect."""

from __future__ import annotations

from random import Random

import pytest

from network_sim.faults import Corrupt
from network_sim.faults.corruptions import corrupted
from switch.iso8583 import DecodeError, Dialect, Reason, load_dialect
from tests.support.network import sale

DIALECTS = {name: load_dialect(name) for name in ("net87b", "vip", "cis")}


def _message(dialect: Dialect, changes: dict[int, str | None] | None = None) -> bytes:
    fields = sale({22: dialect.policy.pos_entry_mode, **(changes or {})})
    return dialect.encode(fields)


def _fault(message: bytes, dialect: Dialect) -> tuple[int, Reason]:
    with pytest.raises(DecodeError) as raised:
        dialect.decode(message)
    return raised.value.de, raised.value.reason


def _corrupt(
    dialect: Dialect, deed: Corrupt, changes: dict[int, str | None] | None = None
) -> bytes:
    return corrupted(_message(dialect, changes), deed, dialect, Random(1))


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize(
    ("deed", "de", "reason"),
    [
        (Corrupt(how="digit", element=4), 4, Reason.BAD_DIGIT),
        (Corrupt(how="truncated", count=1), 49, Reason.TRUNCATED),
        (Corrupt(how="trailing", count=2), 49, Reason.TRAILING_BYTES),
        (Corrupt(how="prefix", element=2), 2, Reason.TOO_LONG),
        (Corrupt(how="empty", element=2), 2, Reason.TOO_SHORT),
        (Corrupt(how="control", element=42), 42, Reason.BAD_CHARACTER),
        (Corrupt(how="bit", element=127), 127, Reason.UNKNOWN_ELEMENT),
    ],
    ids=lambda value: value.how if isinstance(value, Corrupt) else "",
)
def test_each_way_to_break_a_message_is_found(
    name: str, deed: Corrupt, de: int, reason: Reason
) -> None:
    """At its element and for its reason, however the dialect packs."""
    dialect = DIALECTS[name]
    assert _fault(_corrupt(dialect, deed), dialect) == (de, reason)


@pytest.mark.parametrize(("name", "value"), [("net87b", "0190"), ("net87b", "0A0F"),
                                             ("vip", "2100"), ("cis", "F2F1F0F0")])  # fmt: skip
def test_the_message_type_may_be_any(name: str, value: str) -> None:
    """Bytes in its place."""
    dialect = DIALECTS[name]
    message = _corrupt(dialect, Corrupt(how="mti", value=value))
    assert _fault(message, dialect) == (0, Reason.UNKNOWN_MTI)


@pytest.mark.parametrize(("name", "element"), [("net87b", 19), ("net87b", 32), ("vip", 19)])
def test_a_pad_nibble_may_be_wrong(name: str, element: int) -> None:
    """On whichever side it stands."""
    dialect = DIALECTS[name]
    message = _corrupt(dialect, Corrupt(how="pad", element=element), {32: "40000"})
    assert _fault(message, dialect) == (element, Reason.BAD_PAD)


@pytest.mark.parametrize("name", DIALECTS)
def test_an_unknown_bit_is_found_without_naming_one(name: str) -> None:
    """The highest that the bitmaps can name and the dialect does not."""
    dialect = DIALECTS[name]
    assert _fault(_corrupt(dialect, Corrupt(how="bit")), dialect)[1] is Reason.UNKNOWN_ELEMENT


@pytest.mark.parametrize("name", DIALECTS)
def test_bytes_without_a_bit_are_too_many(name: str) -> None:
    """The last element's: nothing before it is disturbed."""
    dialect = DIALECTS[name]
    message = _corrupt(dialect, Corrupt(how="no_bit", element=49))
    assert _fault(message, dialect)[1] is Reason.TRAILING_BYTES


@pytest.mark.parametrize("name", DIALECTS)
def test_an_announced_bitmap_may_be_missing(name: str) -> None:
    """The elements' first bytes are taken for it."""
    dialect = DIALECTS[name]
    with pytest.raises(DecodeError):
        dialect.decode(_corrupt(dialect, Corrupt(how="second_bitmap")))


@pytest.mark.parametrize("name", DIALECTS)
def test_an_empty_second_bitmap_is_legal(name: str) -> None:
    """To receive; nobody should send one."""
    dialect = DIALECTS[name]
    message = _corrupt(dialect, Corrupt(how="empty_bitmap"))
    assert len(message) == len(_message(dialect)) + 8
    assert dialect.decode(message) == dialect.decode(_message(dialect))


@pytest.mark.parametrize(
    ("deed", "offsets"),
    [
        (Corrupt(how="byte", offset=5), [5]),
        (Corrupt(how="byte", element=4), [22]),
    ],
)
def test_one_byte_is_another(deed: Corrupt, offsets: list[int], dialect: Dialect) -> None:
    """Where it is said to be."""
    before, after = _message(dialect), _corrupt(dialect, deed)
    assert [at for at in range(len(before)) if before[at] != after[at]] == offsets


def test_a_drawn_byte_follows_the_seed(dialect: Dialect) -> None:
    """The same seed breaks the same byte in the same way."""
    message, deed = _message(dialect), Corrupt(how="byte")
    first, second, other = (corrupted(message, deed, dialect, Random(seed)) for seed in (1, 1, 2))
    assert first == second != other
    assert sum(a != b for a, b in zip(message, first, strict=True)) == 1


@pytest.mark.parametrize(
    "deed",
    [
        Corrupt(how="pad", element=4),
        Corrupt(how="prefix", element=4),
        Corrupt(how="digit", element=90),
        Corrupt(how="no_bit", element=90),
        Corrupt(how="byte", element=90),
        Corrupt(how="byte", offset=4_000),
    ],
)
def test_what_fits_nothing_changes_nothing(deed: Corrupt, dialect: Dialect) -> None:
    """A fixed element has no prefix, an element that is missing no digits."""
    assert _corrupt(dialect, deed) == _message(dialect)


def test_a_whole_message_may_be_replaced(dialect: Dialect) -> None:
    """By anything, also by what was broken before."""
    assert _corrupt(dialect, Corrupt(how="replaced", value="DEADBEEF")) == b"\xde\xad\xbe\xef"
    broken = corrupted(b"\x02", Corrupt(how="bit"), dialect, Random(1))
    assert broken == b"\x02"


@pytest.mark.parametrize("fields", [{"how": "mti"}, {"how": "byte", "value": "00"}])
def test_a_value_belongs_to_what_puts_it_in(fields: dict[str, str]) -> None:
    """Refused when the rule is made."""
    with pytest.raises(ValueError, match="value belongs"):
        Corrupt(**fields)  # type: ignore[arg-type]
