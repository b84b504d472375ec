"""docs/dialects.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from switch.dialects import (
    DialectDocument,
    ElementFormat,
    Framing,
    NetworkFunctions,
    Packing,
    Policy,
    PrivateTags,
)
from switch.dialects.framings import HeaderKind, LengthKind, TrailerKind
from switch.iso8583.framing import framer_for
from tests.support.framings import framing
from tests.support.iso8583 import VECTORS_OF

PAGE = (Path(__file__).parents[4] / "docs" / "dialects.md").read_text(encoding="utf-8")
MESSAGE = bytes.fromhex("0800ab")


@pytest.mark.parametrize("name", ["net87b", "vip", "cis"])
def test_the_worked_example_is_the_golden_sale(name: str) -> None:
    """Line by line, the bytes of the page are those of the vector."""
    [block] = re.findall(rf"```hex {name}\n(.*?)```", PAGE, re.DOTALL)
    words = [re.match(r"[0-9a-f]+(?: [0-9a-f]+)*(?=  )", line) for line in block.splitlines()]
    shown = "".join(word[0].replace(" ", "") for word in words if word)
    assert shown == VECTORS_OF[name][0].data.hex()


@pytest.mark.parametrize(
    "table",
    [DialectDocument, Packing, Framing, Policy, NetworkFunctions, PrivateTags, ElementFormat],
)
def test_every_key_is_explained(table: type[msgspec.Struct]) -> None:
    """Tables by their header, keys in code type."""
    for field in msgspec.structs.fields(table):
        name = field.encode_name
        assert f"`{name}`" in PAGE or f"### [{name}]" in PAGE or name == "-"


def test_every_value_of_a_key_is_listed() -> None:
    """A value that can be chosen stands in the row of its key."""
    for table in (Packing, Policy, ElementFormat):
        for field in msgspec.structs.fields(table):
            for value in get_args(field.type):
                if isinstance(value, str) and value:
                    assert f"`{value}`" in PAGE, (field.name, value)


@pytest.mark.parametrize("length", get_args(LengthKind))
def test_every_length_is_shown_as_it_is(length: str) -> None:
    """The bytes of the page are those of the framer."""
    [row] = re.findall(rf"\| `{length}` \| `([0-9a-f ]+)` \|", PAGE)
    assert framer_for(framing(length), 2_000).wrap(MESSAGE) == bytes.fromhex(row)


@pytest.mark.parametrize(
    ("key", "value"),
    [("header", kind) for kind in get_args(HeaderKind)]
    + [("trailer", kind) for kind in get_args(TrailerKind)],
)
def test_every_header_and_trailer_is_shown_as_it_is(key: str, value: str) -> None:
    """With a length of two bytes in front."""
    if value == "none":
        return
    [row] = re.findall(rf'\| `{key} = "{value}"` \| `([0-9a-f ]+)` \|', PAGE)
    form = framing("binary2", **{key: value})
    assert framer_for(form, 2_000).wrap(MESSAGE) == bytes.fromhex(row)
