"""Records held to rows without a database: what fits, what does not, what may be either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ledger.audit.comparison import Compared, Comparison
from ledger.audit.findings import Findings
from ledger.audit.tables import Column, TableRows, shape_of
from ledger.ids import public_id
from ledger.pgoutput import PgoutputError
from ledger.stream.changes import uuid_text
from ledger.stream.record import REPAIR, descriptor_id
from tests.support.stream import DESCRIPTOR, INT8, TEXT, UUID, descriptor, record

HISTORY = TableRows("outcomes", (Column("intent_id", UUID, True), Column("n", INT8, False)))
INTENTS = TableRows(
    "payment_intents",
    (
        Column("id", UUID, True),
        Column("version", INT8, False),
        Column("amount_minor", INT8, False),
        Column("status", TEXT, False),
    ),
)
INTENT_DESCRIPTOR = descriptor(
    "payment_intents",
    ("id", UUID),
    ("version", INT8),
    ("amount_minor", INT8),
    ("status", TEXT),
    oid=16_500,
)
ID = (7).to_bytes(16)
NAME = f"payment_intents {public_id('pi', ID)}"


def _row(number: int, value: int | None = None) -> tuple[bytes, bytes]:
    """As `record(number)` inserts it."""
    return number.to_bytes(16), (number if value is None else value).to_bytes(8)


def _intent(version: int, amount: int = 100, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "kind": b"I" if version == 1 else b"U",
        "intent_id": ID,
        "descriptor": descriptor_id(INTENT_DESCRIPTOR),
        "row": (ID, version.to_bytes(8), amount.to_bytes(8), b"created"),
        "oid": 16_500,
    }
    return record(version, **fields | changes)


def _compare(
    records: Sequence[bytes],
    rows: Sequence[Sequence[bytes | None]],
    *,
    table: TableRows = HISTORY,
    settled: int | None = None,
    unread: Sequence[str] = (),
) -> tuple[list[tuple[str, str]], Compared]:
    findings, compared = Findings(), Compared()
    comparison = Comparison(
        [HISTORY, INTENTS],
        findings,
        compared,
        settled=len(records) if settled is None else settled,
        secret=b"of this test",
    )
    comparison.take(0, records, [DESCRIPTOR, INTENT_DESCRIPTOR])
    comparison.show(table, rows)
    comparison.finish(unread)
    return [(one.where, one.detail) for one in findings.found], compared


def _name(number: int) -> str:
    return f"outcomes {public_id('pi', number.to_bytes(16))}"


def test_rows_that_are_their_newest_records_are_well() -> None:
    """In any order; both are counted."""
    found, compared = _compare([record(1), record(2)], [_row(2), _row(1)])
    assert found == []
    assert (compared.records, compared.rows, compared.not_compared) == (2, 2, set())


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([_row(1)], (_name(2), "record 1 of the stream says it, and the table lacks it")),
        (
            [_row(1), _row(2, 3)],
            (_name(2), "this row is not what record 1 of the stream, its newest, says"),
        ),
        (
            [_row(1), (_row(2)[0], None)],
            (_name(2), "this row is not what record 1 of the stream, its newest, says"),
        ),
        (
            [_row(1), _row(2), _row(3)],
            (_name(3), "the table has this row, and the stream does not"),
        ),
        ([_row(1), _row(2), _row(2)], (_name(2), "the table has this row twice")),
    ],
    ids=["removed", "changed", "emptied", "put in", "twice"],
)
def test_a_row_that_is_not_its_record_is_named(
    rows: list[tuple[bytes, bytes | None]], expected: tuple[str, str]
) -> None:
    """By table and key, with what is wrong; nothing else is."""
    assert _compare([record(1), record(2)], rows)[0] == [expected]


def test_what_may_or_may_not_be_in_the_snapshot_is_accepted_either_way() -> None:
    """Records behind the settled offset: the row before them or after them, there or not."""
    versions = [_intent(1), _intent(2), _intent(3)]
    rows = [[ID, version.to_bytes(8), (100).to_bytes(8), b"created"] for version in (1, 2, 3)]
    for row in rows:
        assert _compare(versions, [row], table=INTENTS, settled=1)[0] == []
    assert _compare([record(1)], [], settled=0)[0] == []
    assert _compare([record(1)], [_row(1)], settled=0)[0] == []
    found, _ = _compare(versions, [rows[0]], table=INTENTS, settled=2)
    assert found == [(NAME, "this row is not what record 1 of the stream, its newest, says")]
    assert _compare([record(1)], [_row(1, 2)], settled=0)[0] == [
        (_name(1), "the table has this row, and the stream does not")
    ]


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([_intent(1), _intent(3)], "record 1 of the stream has version 3 after version 1"),
        ([_intent(1), _intent(2, 99)], "record 1 of the stream changes what an intent has for"),
        ([_intent(1), _intent(1)], "record 1 of the stream inserts this row again"),
    ],
    ids=["version", "amount", "insert"],
)
def test_what_an_intent_may_not_become_is_named(records: list[bytes], reason: str) -> None:
    """Whatever its row says now."""
    found, _ = _compare(records, [], table=INTENTS, unread=["payment_intents"])
    assert [where for where, _ in found] == [NAME]
    assert reason in found[0][1]


def test_a_repair_may_leave_out_versions() -> None:
    """It reads the present one from the table; the change after it follows on that."""
    repaired = _intent(5, kind=b"I", flags=REPAIR)
    row = [ID, (6).to_bytes(8), (100).to_bytes(8), b"created"]
    assert _compare([_intent(1), repaired, _intent(6)], [row], table=INTENTS)[0] == []


def test_columns_that_came_or_went_are_said_and_not_compared() -> None:
    """Rows of another time have them not; the others are compared.

    What a row has in a column that its own record does not tell is kept, two values at most.
    """
    older = descriptor("outcomes", ("intent_id", UUID), ("gone", INT8), ("n", INT8))
    newer = TableRows("outcomes", (*HISTORY.columns, Column("came", TEXT, False)))
    findings, compared = Findings(), Compared()
    comparison = Comparison([newer], findings, compared, settled=9, secret=b"s")
    data = record(1, row=(_row(1)[0], b"12345678", _row(1)[1]), descriptor=descriptor_id(older))
    comparison.take(0, [data], [older])
    later = descriptor("outcomes", ("intent_id", UUID), ("n", INT8), ("came", TEXT), oid=16_900)
    told = record(2, row=(*_row(2), b"old"), descriptor=descriptor_id(later), oid=16_900)
    comparison.take(1, [told], [later])
    comparison.show(newer, [(*_row(1), b"new"), (*_row(2), b"old")])
    comparison.finish()
    assert findings.found == []
    assert compared.not_compared == {"outcomes.gone", "outcomes.came"}
    assert compared.unheld == {"outcomes.came": {b"new"}}


def test_what_cannot_be_read_is_named(subtests: pytest.Subtests) -> None:
    """A record that is none, one of an unknown table, a descriptor that nobody has given."""
    stranger = descriptor("merchants", ("id", UUID))
    for name, records, descriptors, where in (
        ("short", [b"x" * 50], [DESCRIPTOR], "record 0"),
        ("no descriptor", [record(1)], [], "record 0"),
        ("stranger", [record(1, descriptor=descriptor_id(stranger))], [stranger], "merchants"),
    ):
        with subtests.test(name):
            findings = Findings()
            comparison = Comparison([HISTORY], findings, Compared(), settled=9, secret=b"s")
            comparison.take(0, records, descriptors)
            comparison.finish()
            assert [one.where for one in findings.found] == [where]


def test_a_descriptor_without_the_table_s_key_is_refused() -> None:
    """Nothing could tell its rows apart."""
    with pytest.raises(PgoutputError, match="columns of its key"):
        shape_of(descriptor("outcomes", ("n", INT8)), {"outcomes": HISTORY})


RESTORE_COLUMNS = (
    ("id", UUID),
    ("restored_at", INT8),
    ("lost_from", INT8),
    ("lost_until", INT8),
    ("operator", TEXT),
    ("note", TEXT),
)
RESTORES = TableRows(
    "restores", tuple(Column(name, oid, name == "id") for name, oid in RESTORE_COLUMNS)
)
RESTORE_DESCRIPTOR = descriptor("restores", *RESTORE_COLUMNS, oid=16_600)


def _restore(lost: range) -> tuple[bytes, tuple[bytes, ...]]:
    """The record that says what is lost, and its row."""
    row = (ID, bytes(8), lost.start.to_bytes(8), lost.stop.to_bytes(8), b"ops", b"the drill")
    name = descriptor_id(RESTORE_DESCRIPTOR)
    return record(0, intent_id=ID, descriptor=name, row=row, oid=16_600), row


@pytest.mark.parametrize("passes", [1, 5])
def test_what_a_restore_has_lost_is_counted_and_not_missed(passes: int) -> None:
    """Rows 3 and 4 are lost; 4 was made anew since; 5, which is older, was removed by somebody."""
    findings, compared = Findings(), Compared()
    note, row = _restore(range(2, 4))
    records = [record(1), record(5), record(3), record(4), note, record(4, kind=b"I")]
    for residue in range(passes):
        comparison = Comparison(
            [HISTORY, RESTORES],
            findings,
            compared,
            settled=len(records),
            secret=b"s",
            residue=residue,
            passes=passes,
        )
        comparison.take(0, records, [DESCRIPTOR, RESTORE_DESCRIPTOR])
        comparison.show(HISTORY, [_row(n) for n in (1, 4) if n % passes == residue])
        comparison.show(RESTORES, [row] if 7 % passes == residue else [])
        comparison.finish()
    assert [one.where for one in findings.found] == [_name(5)]
    (restored,) = compared.restores.values()
    assert (restored.operator, restored.lost, restored.rows) == ("ops", range(2, 4), 1)


@pytest.mark.parametrize(
    ("until", "found", "unproven"), [(50, [], 1), (51, [f"restores {uuid_text(ID)}"], 0)]
)
def test_a_restore_whose_record_was_forgotten_is_not_missed(
    until: int, found: list[str], unproven: int
) -> None:
    """Its row stays, counted: while it excuses nothing that is left it is no finding."""
    findings, compared = Findings(), Compared()
    _, row = _restore(range(40, until))
    comparison = Comparison(
        [HISTORY, RESTORES], findings, compared, settled=51, secret=b"s", begin=50
    )
    comparison.take(50, [record(1)], [DESCRIPTOR])
    comparison.show(RESTORES, [row])
    comparison.show(HISTORY, [_row(1), _row(2)])
    comparison.finish()
    assert [one.where for one in findings.found] == [*found, _name(2)]
    assert compared.restores_unproven == unproven
