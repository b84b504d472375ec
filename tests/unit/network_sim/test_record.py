"""What is shown of messages, and how a test finds them."""

from __future__ import annotations

from random import Random

import pytest
import trio

from network_sim.faults import Corrupt
from network_sim.faults.corruptions import corrupted
from network_sim.record import Record
from switch.iso8583 import Dialect, load_dialect
from tests.support.network import management, sale

AT_US = 1_795_331_402_000_000
PAN = "4242424242424242"


@pytest.fixture
def record(dialect: Dialect) -> Record:
    """An empty record."""
    return Record(dialect, count_max=3)


@pytest.mark.parametrize("name", ["net87b", "vip", "cis"])
def test_hidden_elements_are_dots_in_the_bytes(name: str) -> None:
    """Card number, expiry and private data, in every packing; the rest is there."""
    dialect = load_dialect(name)
    fields = sale({22: dialect.policy.pos_entry_mode, 48: "9203123"})
    packed = dialect.encode(fields)
    record = Record(dialect, count_max=1)
    record.add("in", 1, packed, fields, AT_US)
    [message] = record.messages
    hidden = 16 // 2 + 2 + 7 if name != "cis" else 16 + 4 + 7
    assert message.hex.count("**") == hidden
    assert len(message.hex) == 2 * message.size == 2 * len(packed)
    for element in (2, 14, 48):
        assert dialect.encode({0: "0200", element: fields[element]})[10:].hex().upper() not in (
            message.hex
        )
    assert message.fields[2] == "424242******4242"
    assert PAN not in repr(message)


def test_a_message_broken_on_purpose_hides_all_behind_the_break(
    dialect: Dialect, record: Record
) -> None:
    """Nobody knows what stands there."""
    fields = sale()
    packed = corrupted(dialect.encode(fields), Corrupt(how="prefix"), dialect, Random(1))
    record.add("out", 1, packed, fields, AT_US)
    assert record.messages[0].hex == "0200" + "**" * (len(packed) - 2)


def test_a_message_that_cannot_be_read_shows_its_length(record: Record) -> None:
    """And why it could not."""
    record.add("in", 1, b"\x01\x02", {}, AT_US, "undecodable")
    [message] = record.messages
    assert (message.mti, message.hex, message.size, message.note) == ("", "", 2, "undecodable")


def test_the_latest_messages_are_kept(dialect: Dialect, record: Record) -> None:
    """Numbered through, the oldest forgotten."""
    for _ in range(5):
        record.add("in", 1, dialect.encode(management("301")), management("301"), AT_US)
    assert [message.number for message in record.messages] == [3, 4, 5]
    assert record.count == 5


def test_messages_are_found(dialect: Dialect, record: Record) -> None:
    """By type, direction, elements and place."""
    for direction, stan in (("in", "000001"), ("out", "000001"), ("in", "000002")):
        fields = management("301", stan=stan)
        record.add(direction, 1, dialect.encode(fields), fields, AT_US)  # type: ignore[arg-type]
    assert [message.number for message in record.find("0800", "in")] == [1, 3]
    assert [message.number for message in record.find(de11="000001")] == [1, 2]
    assert [message.number for message in record.find("0800", after=2)] == [3]
    assert record.find("0200") == []


def test_clear_fields_are_kept_on_demand_only(dialect: Dialect, record: Record) -> None:
    """For tests of what may not be shown; they are not printed."""
    record.add("in", 1, dialect.encode(sale()), sale(), AT_US)
    assert record.messages[0].clear == {}
    clear = Record(dialect, count_max=1, keep_clear=True)
    clear.add("in", 1, dialect.encode(sale()), sale(), AT_US)
    assert clear.messages[0].clear == sale()
    assert PAN not in repr(clear.messages[0])


async def test_a_message_is_waited_for(dialect: Dialect, record: Record) -> None:
    """Until as many have come as are wanted; listeners hear each."""
    heard: list[int] = []
    record.listeners.append(lambda message: heard.append(message.number))

    async def add_two() -> None:
        for stan in ("000001", "000002"):
            await trio.lowlevel.checkpoint()
            fields = management("301", stan=stan)
            record.add("in", 1, dialect.encode(fields), fields, AT_US)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(add_two)
            found = await record.wait_for("0800", "in", count=2)
    assert [message.fields[11] for message in found] == ["000001", "000002"]
    assert heard == [1, 2]
