"""Elements: layout from one line of a dialect file."""

from __future__ import annotations

import pytest

from switch.dialects import ElementFormat, read_dialect
from switch.iso8583 import Element

PACKING = read_dialect("net87b").packing


def _element(text: str, pad: str = "", shortest: int = 1) -> Element:
    line = ElementFormat(name="e", format=text, pad=pad, min=shortest)
    return Element.from_format(2, line, PACKING)


@pytest.mark.parametrize(
    ("element", "prefix_bytes", "shortest", "longest", "size"),
    [
        (_element("n6"), 0, 6, 6, 3),
        (_element("n3", "left"), 0, 3, 3, 2),
        (_element("n..19", "right", 12), 1, 12, 19, 10),
        (_element("n...120", "left"), 2, 1, 120, 60),
        (_element("x+n8"), 0, 8, 8, 5),
        (_element("an12"), 0, 12, 12, 12),
        (_element("ans...999"), 2, 1, 999, 999),
        (_element("b8"), 0, 8, 8, 8),
        (_element("z..37", "right"), 1, 1, 37, 19),
    ],
)
def test_layout(
    element: Element, prefix_bytes: int, shortest: int, longest: int, size: int
) -> None:
    """Prefix, bounds and bytes follow from the notation."""
    assert element.prefix.size == prefix_bytes
    assert element.fixed == (prefix_bytes == 0)
    assert (element.length_min, element.length_max) == (shortest, longest)
    assert element.size_bytes(element.length_max) == size


def test_length_counts_what_a_prefix_counts() -> None:
    """Digits of x+n without the sign, bytes of b, characters of all else."""
    assert _element("x+n8").length_of("D00000012") == 8
    assert _element("b8").length_of("00112233445566FF") == 8
    assert _element("ans8").length_of("TERM0001") == 8
