"""Whole transactions out of messages: real, made by hand, repeated, spoilt."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import PgoutputError
from ledger.relay.transactions import Assembler, Portion, Reached, Tampering
from ledger.stream.record import Position, descriptor_id, parse_record
from tests.support.pgoutput import (
    COMMIT_LSN,
    END_LSN,
    INTENT,
    TEXT_OID,
    begin,
    capture,
    change,
    commit,
    enveloped,
    insert,
    keepalive,
    relation,
    row,
)

CAPTURE = capture()


def _assembler(
    *, after_lsn: int = 0, last: Position | None = None, portion_records_max: int = 1_000
) -> Assembler:
    return Assembler(after_lsn=after_lsn, last=last, portion_records_max=portion_records_max)


def _portions(found: list[Portion | Reached]) -> list[Portion]:
    return [item for item in found if isinstance(item, Portion)]


def test_a_real_capture_becomes_the_records_of_its_transactions() -> None:
    """Eight transactions; the heartbeat between them and descriptions of leaves leave nothing."""
    assembler = _assembler()
    found = assembler.feed(CAPTURE)
    portions = _portions(found)
    assert [len(portion.records) for portion in portions] == [2, 2, 2, 6, 6, 1, 1, 1]
    assert [len(portion.descriptors) for portion in portions] == [1, 0, 0, 0, 1, 0, 0, 0]
    kinds = [parse_record(portion.records[0]).kind for portion in portions]
    assert kinds == [b"I", b"I", b"I", b"U", b"I", b"D", b"U", b"T"]
    assert [(item.kind, item.table) for item in assembler.tampering] == [
        ("D", "attempts"),
        ("T", "attempts"),
        ("T", "outcomes"),
    ]
    assert assembler.messages_total == 1
    assert isinstance(found[0], Reached)
    assert isinstance(found[-1], Reached)
    assert not assembler.in_transaction


def test_it_makes_no_difference_how_the_messages_arrive() -> None:
    """All at once, one by one, or with what was known before."""
    whole, single = _assembler(), _assembler()
    one_by_one = [item for data in CAPTURE for item in single.feed([data])]
    assert one_by_one == whole.feed(CAPTURE)


def test_a_record_says_where_it_comes_from() -> None:
    """Head and change of the second row of a transaction."""
    described, first, second = relation(), insert(), insert(bytes(15) + b"\x09", 2)
    [portion] = _portions(_assembler().feed([begin(), described, first, second, commit()]))
    record = parse_record(portion.records[1])
    assert record.change == second[25:]
    assert record.descriptor == descriptor_id(described[25:])
    assert (record.commit_lsn, record.ordinal) == (COMMIT_LSN, 1)
    assert record.intent_id == bytes(15) + b"\x09"
    assert (portion.end_lsn, portion.first_ordinal) == (END_LSN, 0)
    assert portion.descriptors == [described[25:]]


def test_a_table_without_an_intent_in_front_gets_zeros() -> None:
    """Whatever its first column is; likewise an intent that is NULL."""
    plain = relation(columns=((1, "a", TEXT_OID),))
    messages = [begin(), plain, change(b"I", row(b"sixteen bytes ok")), commit()]
    [portion] = _portions(_assembler().feed(messages))
    assert parse_record(portion.records[0]).intent_id == bytes(16)
    messages = [begin(), relation(), change(b"I", row(None, b"", b"")), commit()]
    [portion] = _portions(_assembler().feed(messages))
    assert parse_record(portion.records[0]).intent_id == bytes(16)


def test_an_altered_table_gets_its_new_description() -> None:
    """Records before and after name the description that fits them."""
    wider = relation(columns=((1, "intent_id", 2950), (0, "more", TEXT_OID)))
    late = change(b"I", row(INTENT, b"x"))
    before = [begin(), relation(), insert(), insert(), commit()]
    after = [begin(0x2000), wider, late, late, commit(0x2000, 0x2030)]
    found = _portions(_assembler().feed(before + after))
    names = [parse_record(data).descriptor for portion in found for data in portion.records]
    assert names == [descriptor_id(relation()[25:])] * 2 + [descriptor_id(wider[25:])] * 2
    assert found[1].descriptors == [wider[25:]]


def test_a_renamed_column_counts_from_the_next_change_on() -> None:
    """Changes look the same before and after, and come in one piece."""
    renamed = relation(columns=((1, "intent_id", 2950), (0, "better", TEXT_OID), (0, "phase", 21)))
    messages = [begin(), relation(), insert(), insert(), renamed, insert(), insert(), commit()]
    [portion] = _portions(_assembler().feed(messages))
    names = [parse_record(data).descriptor for data in portion.records]
    assert names == [descriptor_id(relation()[25:])] * 2 + [descriptor_id(renamed[25:])] * 2
    assert portion.descriptors == [relation()[25:], renamed[25:]]


def test_what_the_stream_has_is_dropped_whole() -> None:
    """By the commit's place: at the mark or before it, never after."""
    messages = [begin(), relation(), insert(), insert(), commit()]
    later = [begin(END_LSN), insert(), commit(END_LSN, END_LSN + 48)]
    assembler = _assembler(after_lsn=END_LSN)
    [portion] = _portions(assembler.feed(messages + later))
    assert portion.commit_lsn == END_LSN
    assert assembler.dropped_total == 2
    assert portion.descriptors == [relation()[25:]]


def test_of_a_transaction_begun_in_the_stream_only_the_rest_comes() -> None:
    """Its first records are there, its mark is not."""
    messages = [begin(), relation(), *[insert(phase=number) for number in range(5)], commit()]
    assembler = _assembler(after_lsn=COMMIT_LSN - 8, last=Position(COMMIT_LSN, 2))
    [portion] = _portions(assembler.feed(messages))
    assert [parse_record(data).ordinal for data in portion.records] == [3, 4]
    assert assembler.dropped_total == 3
    [empty] = _portions(
        _assembler(last=Position(COMMIT_LSN, 4)).feed(messages)
    )  # all of it is there: the mark alone moves
    assert (empty.records, empty.end_lsn) == ([], END_LSN)


def test_a_large_transaction_comes_in_portions() -> None:
    """Ordinals go on, and only the last portion knows the end."""
    messages = [begin(), relation(), *[insert(phase=number) for number in range(7)], commit()]
    portions = _portions(_assembler(portion_records_max=3).feed(messages))
    assert [(len(p.records), p.first_ordinal, p.end_lsn) for p in portions] == [
        (3, 0, None),
        (3, 3, None),
        (1, 6, END_LSN),
    ]
    ordinals = [parse_record(data).ordinal for p in portions for data in p.records]
    assert ordinals == list(range(7))


@pytest.mark.parametrize(
    ("letter", "table", "reports"),
    [
        (b"I", "outcomes", 0),
        (b"U", "outcomes", 2),
        (b"D", "outcomes", 2),
        (b"U", "payment_intents", 0),
        (b"D", "payment_intents", 2),
    ],
)
def test_changes_of_history_are_reported_and_kept(letter: bytes, table: str, reports: int) -> None:
    """Only payment intents are ever updated, and nothing is ever deleted."""
    old = row(INTENT, b"", None, letter=b"K" if letter == b"D" else b"N")
    twice = [change(letter, old)] * 2
    assembler = _assembler()
    [portion] = _portions(assembler.feed([begin(), relation(table), *twice, commit()]))
    assert len(portion.records) == 2
    assert assembler.tampering == [
        Tampering(letter.decode(), table, COMMIT_LSN, ordinal) for ordinal in range(reports)
    ]


def test_a_keepalive_tells_how_far_the_server_is() -> None:
    """Also whether it wants to hear from us; inside a transaction it is seen as such."""
    assembler = _assembler()
    assert assembler.feed([keepalive(5, reply_wanted=True)]) == [Reached(5, reply_wanted=True)]
    assembler.feed([begin()])
    assert assembler.in_transaction


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([b""], "envelope"),
        ([b"x" * 30], "envelope"),
        ([enveloped(b"")], "envelope"),
        ([enveloped(b"S\0\0\0\1")], "message"),
        ([begin(), begin()], "B"),
        ([commit()], "C"),
        ([begin(), commit(COMMIT_LSN + 8)], "C position"),
        ([insert()], "I"),
        ([begin(), insert()], "I"),
        ([relation(), insert()], "I"),
        ([begin(), enveloped(b"T" + struct.pack(">IBI", 1, 0, 1))], "T"),
        ([begin(), relation(), change(b"I", row(INTENT[:15], b"", b""))], "I outcomes column 1"),
        ([begin(), relation(), change(b"I", row(INTENT, b""))], "I outcomes"),
        ([begin(), relation(), insert(), insert()[:50]], "I outcomes"),
    ],
)
def test_what_comes_where_it_cannot_is_refused(messages: list[bytes], place: str) -> None:
    """The error names the message; no record is made of it."""
    with pytest.raises(PgoutputError, match=f"^{place}"):
        _assembler().feed(messages)


@given(
    st.integers(0, len(CAPTURE) - 1),
    st.integers(0, 400),
    st.binary(min_size=0, max_size=4),
    st.sampled_from(["replace", "cut", "insert", "drop"]),
)
def test_a_spoilt_capture_ends_in_an_error_or_in_records(
    place: int, at: int, noise: bytes, how: str
) -> None:
    """Never in another exception, and records that come of it can be taken apart."""
    messages = list(CAPTURE)
    data = messages[place]
    if how == "drop":
        del messages[place]
    elif how == "cut":
        messages[place] = data[:at]
    elif how == "insert":
        messages[place] = data[:at] + noise + data[at:]
    else:
        messages[place] = data[:at] + noise + data[at + len(noise) :]
    try:
        found = _assembler().feed(messages)
    except PgoutputError:
        return
    for portion in _portions(found):
        for record in portion.records:
            parse_record(record)


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_noise_ends_in_an_error(messages: list[bytes]) -> None:
    """Bytes that are no messages make no records."""
    try:
        found = _assembler().feed(messages)
    except PgoutputError:
        return
    assert _portions(found) == []
