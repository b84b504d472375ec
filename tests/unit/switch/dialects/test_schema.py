"""Dialect files: what is read, and how a bad one is refused."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from switch.dialects import DialectDocument, DialectError, read_dialect

NET87B = (resources.files("switch.dialects") / "net87b.toml").read_text(encoding="utf-8")

BAD = [
    # replaced, by, key named, words of the reason
    ('name = "net87b"', "name = ", "syntax", "Invalid value"),
    ('name = "net87b"', "", "top level", "missing required field `name`"),
    ('name = "net87b"', 'name = "NET 87"', "name", "lower-case"),
    ('name = "net87b"', 'name = "net87b"\ncolor = "red"', "top level", "unknown field `color`"),
    ('mti = "bcd"', 'mti = "ascii"', "packing.mti", "Invalid enum value"),
    ("header_bytes = 2", "header_bytes = 3", "framing.header_bytes", "Invalid enum value"),
    ("frame_bytes_max = 4096", "frame_bytes_max = 65536", "framing.frame_bytes_max", "outside"),
    ("frame_bytes_max = 4096", 'frame_bytes_max = "4 kB"', "framing.frame_bytes_max", "Expected"),
    ('echo = "301"', 'echo = "3O1"', "network_management.echo", "three digits"),
    ("elements = [2, 3,", "elements = [2, 2, 3,", "echo.elements", "twice"),
    ("elements = [2, 3,", "elements = [2, 127, 3,", "echo.elements", "DE 127 is not in"),
    ("element = 48", "element = 65", "private.element", "DE 65 is not in"),
    ('format = "n6" }\n4', 'format = "n6", size = 3 }\n4', "elements.3", "unknown field `size`"),
    ('"processing_code", format = "n6"', '"processing_code", format = "n 6"', "elements.3", "none"),
    ('"processing_code", format = "n6"', '"processing_code", format = "n5"', "elements.3", "pad"),
    ('"processing_code", format = "n6"', '"processing_code", format = "n0"', "elements.3", "none"),
    ('"processing_code"', '"Processing code"', "elements.3", "malformed or taken"),
    ('"processing_code"', '"pan"', "elements.3", "malformed or taken"),
    ('format = "n..19", pad = "right"', 'format = "n..19"', "elements.2", "pad side"),
    ('format = "n..19", pad = "right", min = 12', 'format = "n..119", pad = "right"',
     "elements.2", "does not fit 2 prefix digits"),
    ("min = 12", "min = 20", "elements.2", "outside 1 to 19"),
    ("min = 12", "min = 0", "elements.2", "outside 1 to 19"),
    ('format = "an12"', 'format = "an12", min = 3', "elements.37", "variable length"),
    ('format = "an12"', 'format = "an12", pad = "left"', "elements.37", "odd in number"),
    ('"x+n8" }\n29', '"x+n7" }\n29', "elements.28", "even number"),
    ('"x+n8" }\n29', '"x+n..8" }\n29', "elements.28", "even number"),
    ("64 = {", "65 = {", "elements.65", "third bitmap"),
    ("\n2 = {", "\n1 = {", "elements.1", "numbered 2 to 128"),
    ("\n2 = {", "\n129 = {", "elements.129", "numbered 2 to 128"),
    ("\n2 = {", "\n02 = {", "elements.02", "numbered 2 to 128"),
    ("0810 = { mandatory", "0810 = { optional", "messages.0810", "unknown field `optional`"),
    ('pad = "right", min = 12', 'pad = "center", min = 12', "elements.2.pad", "Invalid enum value"),
    ("\n0100 = {", "\n100 = {", "messages.100", "four digits"),
    ("0810 = { mandatory = [7, 11, 39, 70] }", "0810 = { mandatory = [7, 11, 39, 127] }",
     "messages.0810.mandatory", "DE 127 is not in"),
    ("0810 = { mandatory = [7,", "0810 = { mandatory = [7, 7,", "messages.0810.mandatory", "twice"),
]  # fmt: skip


def test_the_bundled_dialect_is_sound() -> None:
    """NET87B reads, and holds the elements and messages of its profile."""
    document = read_dialect("net87b")
    assert len(document.elements) == 103
    assert {
        "0100",
        "0200",
        "0210",
        "0420",
        "0421",
        "0600",
        "0610",
        "0800",
    } <= document.messages.keys()


@pytest.mark.parametrize(("old", "new", "key", "words"), BAD)
def test_a_bad_file_is_refused_by_place_and_reason(
    old: str, new: str, key: str, words: str
) -> None:
    """One thing wrong in an otherwise sound file is named with file and key."""
    assert old in NET87B
    with pytest.raises(DialectError) as caught:
        DialectDocument.from_toml(NET87B.replace(old, new, 1), "bad.toml")
    assert caught.value.file == "bad.toml"
    assert caught.value.key.startswith(key)
    assert words in caught.value.reason
    assert str(caught.value) == f"bad.toml: {caught.value.key}: {caught.value.reason}"


def test_a_dialect_without_messages_is_refused() -> None:
    """An empty table of messages would refuse everything."""
    text = NET87B.partition("[messages]")[0] + "[messages]\n"
    with pytest.raises(DialectError, match="messages: a dialect has at least one message"):
        DialectDocument.from_toml(text, "bad.toml")


@pytest.mark.parametrize("name", ["", "NET87B", "net87b.tom", "../net87b", "a/b"])
def test_names_are_names(name: str) -> None:
    """What is neither a name nor a path to a .toml file is refused before anything is opened."""
    with pytest.raises(DialectError, match="neither the name of a dialect nor"):
        read_dialect(name)


def test_an_unknown_name_is_said_to_be_unknown() -> None:
    """A well-formed name without a file is refused with the file that was looked for."""
    with pytest.raises(DialectError, match=r"net99\.toml: file: No such file"):
        read_dialect("net99")


def test_a_file_of_other_bytes_is_refused(tmp_path: Path) -> None:
    """What is not UTF-8 is no dialect."""
    path = tmp_path / "latin.toml"
    path.write_bytes(b'title = "\xff"\n')
    with pytest.raises(DialectError, match="not UTF-8"):
        read_dialect(path)
