"""Dialect files: what is read, and how a bad one is refused."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from switch.dialects import (
    DialectError,
    bundled_dialects,
    line_of,
    parse_dialect,
    read_dialect,
)

NET87B = (resources.files("switch.dialects") / "net87b.toml").read_text(encoding="utf-8")

BAD = [
    # replaced, by, key named, words of the reason
    ('name = "net87b"', "name = ", "syntax", "Invalid value"),
    ('name = "net87b"', "", "name", "missing required field"),
    ('name = "net87b"', 'name = "NET 87"', "name", "lower-case"),
    ('name = "net87b"', 'name = "net87b"\ncolor = "red"', "color", "unknown field"),
    ('mti = "bcd"', 'mti = "ascii"', "packing.mti", "Invalid enum value"),
    ("bitmaps_max = 2", "bitmaps_max = 4", "packing.bitmaps_max", "Invalid enum value"),
    ('text = "ascii"', 'text = "cp500"', "packing.text", "Invalid enum value"),
    ('digits = "bcd"', 'digits = "bcd"\ntrack_separators = "="', "packing.track_separators",
     "separator D only"),
    ('length = "binary2"', 'length = "binary5"', "framing.length", "Invalid enum value"),
    ("frame_bytes_max = 4096", "frame_bytes_max = 65536", "framing.frame_bytes_max", "outside"),
    ("frame_bytes_max = 4096", "frame_bytes_max = 63", "framing.frame_bytes_max", "outside 64"),
    ("frame_bytes_max = 4096", 'frame_bytes_max = "4 kB"', "framing.frame_bytes_max", "Expected"),
    ('"binary2" ', '"bcd2"\nheader = "tpdu"\nsource = "0000"\ndestination = "00G3"\n',
     "framing.destination", "TPDU"),
    ('"binary2" ', '"binary2"\nheader = "vip"\ndestination = "00001A"\nsource = "400001"\n',
     "framing.destination", "six digits"),
    ('"binary2" ', '"binary2"\nsource = "0001"\n', "framing.source", "belongs to a header"),
    ('"binary2" ', '"bcd2"\nheader = "tpdu"\ndestination = "0003"\nsource = "0000"\n',
     "", ""),  # the good twin of the three above
    ('length = "binary2"', 'length = "ascii4"\ntrailer = "etx"', "", ""),
    ('echo = "301"', 'echo = "3O1"', "network_management.echo", "three digits"),
    ('echo = "301"', 'echo = "001"', "network_management.echo", "another function"),
    ('echo = "301"', "", "network_management.echo", "missing required field"),
    ('key_push = "101"', "", "", ""),  # a network may lack it
    ("response_deadline_s = 15.0", "response_deadline_s = 0", "policy.response_deadline_s", "> 0"),
    ("echo_misses_max = 3", "echo_misses_max = 0", "policy.echo_misses_max", ">= 1"),
    ("echo_idle_s = 30.0", 'echo_idle_s = "30"', "policy.echo_idle_s", "Expected"),
    ('reversal_mti = "0420"', "", "", ""),  # the default
    ("repeat_refreshes_de7 = false", "", "", ""),
    ('"0420"', '"0100"', "policy.reversal_mti", "Invalid enum value"),
    ("\n0421 = {", "\n0423 = {", "policy.reversal_mti", "0421 is not in [messages]"),
    ("\n0610 = {", "\n0612 = {", "policy.unknown_outcome", "inquiry needs 0610"),
    ('unknown_outcome = "inquire_then_reverse"', 'unknown_outcome = "ignore"',
     "policy.unknown_outcome", "Invalid enum value"),
    ('mac = "none"', 'mac = "cmac"', "", ""),
    ('mac = "none"', 'mac = "hmac"', "policy.mac", "Invalid enum value"),
    ('pos_entry_mode = "810"', 'pos_entry_mode = "0810"', "policy.pos_entry_mode", "DE 22"),
    ('pos_condition_code = "59"', 'pos_condition_code = "5a"', "policy.pos_condition_code",
     "DE 25"),
    ("elements = [2, 3,", "elements = [2, 2, 3,", "echo.elements", "twice"),
    ("elements = [2, 3,", "elements = [2, 127, 3,", "echo.elements", "DE 127 is not in"),
    ("elements = [2, 3,", 'elements = [2, "3",', "echo.elements[1]", "Expected `int`"),
    ("element = 48", "element = 65", "private.element", "DE 65 is not in"),
    ('format = "n6" }\n4', 'format = "n6", size = 3 }\n4', "elements.3.size", "unknown field"),
    ('"processing_code", format = "n6"', '"processing_code", format = "n 6"', "elements.3", "none"),
    ('"processing_code", format = "n6"', '"processing_code", format = "n5"', "elements.3", "pad"),
    ('"processing_code", format = "n6"', '"processing_code", format = "n0"', "elements.3", "none"),
    ('"processing_code"', '"Processing code"', "elements.3.name", "malformed or taken"),
    ('"processing_code"', '"pan"', "elements.3.name", "malformed or taken"),
    ('format = "n..19", pad = "right"', 'format = "n..19"', "elements.2", "pad side"),
    ('format = "n..19", pad = "right", min = 12', 'format = "n..119", pad = "right"',
     "elements.2", "ends at 99"),
    ('format = "b...255"', 'format = "b..256", length_prefix = "binary"', "elements.55",
     "ends at 255"),
    ('format = "b...255"', 'format = "b..255", length_prefix = "binary"', "", ""),
    ('format = "n6" }\n4', 'format = "n6", digits = "text", pad = "left" }\n4', "elements.3",
     "packed digits"),
    ('format = "n..19", pad = "right"', 'format = "n..19", counts = "bytes"', "elements.2",
     "of even length"),
    ('format = "n..19", pad = "right"', 'format = "n..18", counts = "bytes"', "", ""),
    ('format = "ans40"', 'format = "ans40", counts = "bytes"', "elements.43", "packed digits"),
    ("min = 12", "min = 20", "elements.2", "outside 1 to 19"),
    ("min = 12", "min = 0", "elements.2", "outside 1 to 19"),
    ('format = "an12"', 'format = "an12", min = 3', "elements.37", "variable length"),
    ('format = "an12"', 'format = "an12", pad = "left"', "elements.37", "odd in number"),
    ('format = "an12"', 'format = "an12", text = "utf-8"', "elements.37.text", "Invalid enum"),
    ('"x+n8" }\n29', '"x+n7" }\n29', "elements.28", "even number"),
    ('"x+n8" }\n29', '"x+n..8" }\n29', "elements.28", "even number"),
    ("64 = {", "65 = {", "elements.65", "third bitmap"),
    ("\n2 = {", "\n1 = {", "elements.1", "numbered 2 to 128"),
    ("\n2 = {", "\n129 = {", "elements.129", "numbered 2 to 128"),
    ("\n2 = {", "\n02 = {", "elements.02", "numbered 2 to 128"),
    ("0810 = { mandatory", "0810 = { optional", "messages.0810.optional", "unknown field"),
    ('pad = "right", min = 12', 'pad = "center", min = 12', "elements.2.pad", "Invalid enum value"),
    ("\n0100 = {", "\n100 = {", "messages.100", "four digits"),
    ("0810 = { mandatory = [7, 11, 39, 70] }", "0810 = { mandatory = [7, 11, 39, 127] }",
     "messages.0810.mandatory", "DE 127 is not in"),
    ("0810 = { mandatory = [7,", "0810 = { mandatory = [7, 7,", "messages.0810.mandatory", "twice"),
]  # fmt: skip


@pytest.mark.parametrize("name", ["net87b", "vip", "cis"])
def test_every_bundled_dialect_is_sound(name: str) -> None:
    """Each reads, bears the name of its file and speaks of reversals."""
    assert name in bundled_dialects()
    document = read_dialect(name)
    assert (document.name, document.file) == (name, f"{name}.toml")
    assert document.policy.reversal_mti in document.messages


def test_net87b_holds_its_profile() -> None:
    """The elements and messages that payments, reversals, inquiries and totals need."""
    document = read_dialect("net87b")
    assert len(document.elements) == 103
    assert document.messages.keys() >= {
        *("0100", "0110", "0200", "0210", "0220", "0221", "0230", "0400", "0401", "0410"),
        *("0420", "0421", "0430", "0500", "0510", "0600", "0610", "0800", "0810"),
    }
    formats = {number: document.elements[str(number)].format for number in (15, 54, 66, 90, 95, 97)}
    assert formats == {15: "n4", 54: "an...120", 66: "n1", 90: "n42", 95: "an42", 97: "x+n16"}


@pytest.mark.parametrize(
    ("old", "new", "key", "words"), BAD, ids=[f"{new!r:.60} {key}" for _, new, key, _ in BAD]
)
def test_a_bad_file_is_refused_by_place_and_reason(
    old: str, new: str, key: str, words: str
) -> None:
    """One thing wrong in an otherwise sound file is named with file, line and key."""
    assert old in NET87B
    text = NET87B.replace(old, new, 1)
    if not key:
        parse_dialect(text, "good.toml")
        return
    with pytest.raises(DialectError) as caught:
        parse_dialect(text, "bad.toml")
    error = caught.value
    assert (error.file, error.key) == ("bad.toml", key)
    assert words in error.reason
    if new:
        first = NET87B[: NET87B.index(old)].count("\n") + 1
        within = range(first, first + new.count("\n") + 1)
        elsewhere = "is not in [messages]" in error.reason or "needs" in error.reason
        assert error.line in within or elsewhere
        assert str(error) == f"bad.toml:{error.line}: {error.key}: {error.reason}"


def test_a_missing_entry_is_told_by_the_line_of_its_table() -> None:
    """What is not there has no line; the table that lacks it has one."""
    text = NET87B.replace('echo = "301"', "")
    with pytest.raises(DialectError) as caught:
        parse_dialect(text, "bad.toml")
    assert text.splitlines()[caught.value.line - 1].startswith("[network_management]")


def test_a_missing_table_has_no_line() -> None:
    """Then file and key alone are named."""
    text = NET87B.replace("[policy]", "[polity]")
    with pytest.raises(DialectError) as caught:
        parse_dialect(text, "bad.toml")
    assert str(caught.value).startswith("bad.toml:")
    assert caught.value.key in ("policy", "polity")


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("a", 1),
        ("t.b", 4),
        ("t.b.c", 4),
        ("t", 3),
        ("t.absent", 3),
        ("t.u.v", 6),
        ("t.7.name", 8),
        ("t.list[2]", 9),
        ("other", 0),
        ("q.x y", 13),
    ],
)
def test_lines_are_found_by_the_path_of_a_key(key: str, line: int) -> None:
    """Entries, tables, dotted and quoted keys; what is absent gives the nearest that is there."""
    text = """a = 1
# b = comment
[t]
b = { c = 1 }
 "u" . w = 2
u.v = 3

7 = { name = "x" }
list = [
  1,
]
[ q ]  # another
"x y" = 1
"""
    assert line_of(text, key) == line


def test_a_dialect_without_messages_is_refused() -> None:
    """An empty table of messages would refuse everything."""
    text = NET87B.partition("[messages]")[0] + "[messages]\n"
    with pytest.raises(DialectError, match="messages: a dialect has at least one message"):
        parse_dialect(text, "bad.toml")


@pytest.mark.parametrize("name", ["", "NET87B", "net87b.tom", "../net87b", "a/b"])
def test_names_are_names(name: str) -> None:
    """What is neither a name nor a path to a .toml file is refused before anything is opened."""
    with pytest.raises(DialectError, match="neither the name of a dialect nor"):
        read_dialect(name)


def test_an_unknown_name_is_said_to_be_unknown() -> None:
    """A well-formed name without a file is refused with the file that was looked for."""
    with pytest.raises(DialectError, match=r"net99\.toml: file: not there; .* cis, net87b, vip"):
        read_dialect("net99")


def test_a_file_of_other_bytes_is_refused(tmp_path: Path) -> None:
    """What is not UTF-8 is no dialect."""
    path = tmp_path / "latin.toml"
    path.write_bytes(b'title = "\xff"\n')
    with pytest.raises(DialectError, match="not UTF-8"):
        read_dialect(path)
