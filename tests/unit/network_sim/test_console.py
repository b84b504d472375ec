"""What a person reads."""

from __future__ import annotations

import io

import pytest

from network_sim.console import Console
from network_sim.record import Message, Record
from network_sim.samples import samples
from switch.iso8583 import Dialect, load_dialect
from switch.iso8583.framing import framer_for
from tests.support.network import management, reversal, sale

AT_US = 1_795_331_402_123_000  # 07:10:02.123 UTC


def _told(dialect: Dialect, fields: dict[int, str], *, verbose: bool = False, **said: str) -> str:
    """What is told of one message."""
    record = Record(dialect, count_max=1, explained=verbose)
    packed = dialect.encode(fields) if fields else b"\x00\x01"
    direction = "out" if fields and fields[0][2] in "13" else "in"
    record.add(direction, 2, packed, fields, AT_US, said.get("note", ""))  # type: ignore[arg-type]
    output = io.StringIO()
    Console(output, dialect, verbose=verbose).tell(record.messages[0])
    return output.getvalue()


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            sale(),
            "#2 in   0200  STAN 000123  RRN 0ABCDEF12345  24.99 USD  424242******4242",
        ),
        (
            {**sale({49: "392"}), 0: "0210", 39: "00", 38: "321000"},
            "#2 out  0210  STAN 000123  RRN 0ABCDEF12345  2499 JPY  39=00 38=321000",
        ),
        (management("301"), "#2 in   0800  301 echo  STAN 000001"),
        (management("999"), "#2 in   0800  999  STAN 000001"),
        (
            reversal(sale(), {11: "000200"}),
            "#2 in   0420  STAN 000200  RRN 0ABCDEF12345  24.99 USD  424242******4242",
        ),
    ],
)
def test_a_message_is_one_line(dialect: Dialect, fields: dict[int, str], line: str) -> None:
    """Time, connection, direction, type, and what names it."""
    assert _told(dialect, fields) == f"07:10:02.123  {line}\n"


def test_notes_and_rules_stand_behind_a_message(dialect: Dialect) -> None:
    """What the script did, and which rule a message broke."""
    assert _told(dialect, sale(), note="rule-7").endswith("  [rule-7]\n")
    told = _told(dialect, {}, note="undecodable: DE 2 at byte 10: truncated")
    assert "2 bytes that are no message  [undecodable: DE 2" in told
    assert told.endswith("] rule M1\n")


def test_elements_are_told_when_they_are_wanted(dialect: Dialect) -> None:
    """With their names and meanings, masked."""
    told = _told(dialect, sale(), verbose=True)
    assert "MTI  message_type" in told
    assert "  4  amount_transaction             000000002499               24.99 USD" in told
    assert "4242424242424242" not in told
    assert len(_told(dialect, sale()).splitlines()) == 1


@pytest.mark.parametrize("name", ["net87b", "vip", "cis"])
def test_samples_are_good_messages_of_every_dialect(name: str) -> None:
    """With length and header: a network's framer and codec take them."""
    dialect = load_dialect(name)
    framer = framer_for(dialect.framing, 2_000, network_side=True)
    frames = framer.feed(
        b"".join(bytes.fromhex(each.hex) for each in samples(dialect, verbose=False))
    )
    messages = [dialect.decode(frame) for frame in frames]
    assert [fields[0] for fields in messages] == ["0800", "0100"]
    assert [dialect.missing(fields) for fields in messages] == [[], []]
    assert not any(each.rows for each in samples(dialect, verbose=False))
    assert all(each.rows for each in samples(dialect, verbose=True))


def test_a_message_is_found_by_its_elements() -> None:
    """Names of elements stand with `de`; fill does not count."""
    message = Message(1, AT_US, 1, "in", {0: "0200", 42: "SHOP           "}, "", 10)
    assert message.has("0200", "in", de42="SHOP")
    assert not message.has("0200", "out")
    assert not message.has(de43="SHOP")
