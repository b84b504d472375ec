"""Reading bytes of which nobody said what they are, and the hints where they are no message."""

from __future__ import annotations

import attrs
import pytest
from msgspec.structs import replace

from switch.iso8583 import Dialect, Reason, load_dialect
from switch.iso8583.explain import read
from switch.iso8583.framing import framer_for
from tests.support.framings import EXAMPLES
from tests.support.iso8583 import BUNDLED, SALE, VECTORS_OF

DIALECTS = {name: load_dialect(name) for name in BUNDLED}
NET87B = DIALECTS["net87b"]


def _with(dialect: Dialect, example: str) -> Dialect:
    return attrs.evolve(dialect, framing=EXAMPLES[example][0])


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("framed", [None, True])
def test_the_dialects_own_frame_is_taken_off(example: str, framed: bool | None) -> None:  # noqa: FBT001
    """Told or found out; the message begins behind length and header."""
    dialect = _with(NET87B, example)
    data = framer_for(dialect.framing, 2_000).wrap(SALE.data)
    reading = read(dialect, data, framed=framed)
    assert reading.ok
    assert reading.framing == dialect.framing
    assert data[reading.offset :].startswith(SALE.data)
    assert reading.hints == ()


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_frame_of_another_kind_is_found_and_said(example: str) -> None:
    """A capture from somewhere else is read all the same."""
    dialect = _with(NET87B, "hex4" if example != "hex4" else "ascii4")
    data = framer_for(EXAMPLES[example][0], 2_000).wrap(SALE.data)
    reading = read(dialect, data)
    assert reading.ok
    assert data[reading.offset :].startswith(SALE.data)
    assert any("which is not the dialect's framing" in hint for hint in reading.hints)


def test_a_bare_message_is_taken_as_it_is() -> None:
    """Told or found out."""
    for framed in (None, False):
        reading = read(NET87B, SALE.data, framed=framed)
        assert (reading.ok, reading.framing, reading.offset) == (True, None, 0)


def test_a_frame_is_no_message_where_none_is_allowed() -> None:
    """`--unframed` shows the bytes as they are, and says what they look like."""
    data = framer_for(NET87B.framing, 4_096).wrap(SALE.data)
    reading = read(NET87B, data, framed=False)
    assert not reading.ok
    assert "looks like a 2-byte length in front (binary2): try --framed" in reading.hints


@pytest.mark.parametrize(
    ("data", "words", "hint"),
    [
        (SALE.data, "length 512 is outside", "without a frame it is a message: try --unframed"),
        (b"\x00\x99" + SALE.data[:-1], "the stream ended after 142 of 155 bytes", ""),
        (b"\x00\x05" + SALE.data[:5] + b"\x00\x05" + SALE.data[:5], "2 frames", ""),
        (b"", "0 frames", ""),
    ],
    ids=["no frame", "not whole", "two", "nothing"],
)
def test_what_is_not_one_whole_frame_is_said(data: bytes, words: str, hint: str) -> None:
    """`--framed` takes nothing else."""
    dialect = attrs.evolve(NET87B, framing=replace(NET87B.framing, frame_bytes_max=400))
    reading = read(dialect, data, framed=True)
    assert not reading.ok
    assert words in reading.frame_fault
    assert hint in (*reading.hints, "")


def test_a_fault_inside_the_dialects_frame_is_placed_in_the_whole() -> None:
    """Where the frame fits, the message inside is what is wrong."""
    data = framer_for(NET87B.framing, 4_096).wrap(SALE.data[:-1])
    reading = read(NET87B, data)
    assert reading.framing == NET87B.framing
    assert reading.explanation.error is not None
    assert reading.explanation.error.reason is Reason.TRUNCATED
    assert reading.offset == 2


def test_a_returned_message_is_read_with_its_reject_code() -> None:
    """Behind two headers stands what we sent."""
    sale = VECTORS_OF["vip"][0]
    original = bytes.fromhex("160102") + (22 + len(sale.data)).to_bytes(2, "big") + bytes(17)
    total = 26 + len(original) + len(sale.data)
    header = bytes.fromhex("1a0102") + total.to_bytes(2, "big") + bytes(17)
    body = header + bytes.fromhex("80000512") + original + sale.data
    reading = read(DIALECTS["vip"], len(body).to_bytes(2, "big") + bytes(2) + body)
    assert reading.ok
    assert reading.offset == 4 + 48
    assert reading.hints == ("returned by the network with reject code 0512",)


SALE_BYTES = len(SALE.data)
DAMAGED = SALE.data[:-1] + b"\xff"  # no message in any frame
HINTS = [
    # what was given, in which dialect, words of a hint
    (SALE.data.hex().encode(), "net87b", "ASCII hex digits"),
    (SALE.data.hex().upper().encode(), "cis", "ASCII hex digits"),
    ((SALE_BYTES + 2).to_bytes(2, "big") + DAMAGED, "net87b", "includes itself"),
    (SALE_BYTES.to_bytes(2, "big") + DAMAGED, "vip", "binary2"),
    (SALE_BYTES.to_bytes(2, "big") + bytes(2) + DAMAGED, "net87b", "two zeros"),
    (SALE_BYTES.to_bytes(3, "big") + DAMAGED, "net87b", "binary3"),
    (SALE_BYTES.to_bytes(4, "big") + DAMAGED, "net87b", "binary4"),
    (bytes.fromhex("0141") + DAMAGED, "net87b", "bcd2"),
    (b"0141" + DAMAGED, "net87b", "ascii4"),
    (b"008D" + DAMAGED, "net87b", "hex4"),
    (b"008d" + DAMAGED, "net87b", "hex4"),
    (bytes.fromhex("6000030000") + SALE.data, "net87b", "TPDU (60 ..) at byte 0"),
    (bytes.fromhex("ffff6000030000") + SALE.data, "net87b", "TPDU (60 ..) at byte 2"),
    (bytes.fromhex("160102001e") + bytes(25), "net87b", "VIP header at byte 0"),
    (b"0200" + bytes(20), "net87b", "ASCII digits"),
    (b"0200" + bytes(20), "cis", "ASCII digits"),
    (bytes.fromhex("f0f2f0f0") + bytes(3), "net87b", "looks like EBCDIC: try --dialect cis"),
    (bytes.fromhex("f0f2f0f0") + bytes(3), "vip", "looks like EBCDIC: try --dialect cis"),
    (SALE.data, "cis", "BCD: try --dialect net87b or vip"),
    (SALE.data, "cis", "in another dialect: try --dialect net87b"),
    (VECTORS_OF["vip"][0].data, "net87b", "in another dialect: try --dialect vip"),
    (VECTORS_OF["cis"][0].data, "net87b", "in another dialect: try --dialect cis"),
    (bytes.fromhex("1804") + bytes(8), "net87b", "1993 or 2003"),
    (SALE.data + b"\x03", "net87b", "ETX"),
    (SALE.data + b"\x00\x8d" + SALE.data, "net87b", "another frame seems to follow at byte 141"),
    (SALE.data + b"abc", "net87b", "3 bytes too many"),
    (SALE.data[:-1], "net87b", "bytes are missing"),
]


@pytest.mark.parametrize(
    ("data", "name", "words"), HINTS, ids=[f"{name} {words}" for _, name, words in HINTS]
)
def test_common_mistakes_are_recognized(data: bytes, name: str, words: str) -> None:
    """Each brings its hint, which names a form and a place and none of the bytes."""
    reading = read(DIALECTS[name], data, framed=False)
    assert not reading.ok
    assert any(words in hint for hint in reading.hints), reading.hints
    assert "4242" not in " ".join(reading.hints)


def test_nothing_is_said_where_nothing_is_recognized() -> None:
    """Noise has no hint."""
    assert read(NET87B, b"\xde\xad\xbe\xef" * 7, framed=False).hints == ()
    assert read(NET87B, b"").hints == ()
    assert not read(NET87B, b"").ok


def test_bytes_without_end_are_no_frame() -> None:
    """What is longer than any message is looked at once and not taken apart."""
    assert not read(NET87B, bytes(100_000)).ok
    assert not read(NET87B, b"\xff" * 100_000, framed=True).ok
