"""The comparison of stream and tables finds each kind of fault, and nothing in a good stream."""

from __future__ import annotations

import pytest

from chaos.streamed import Streamed, Table, Told, Values, compare

INTENT, ATTEMPT, OTHER = b"i" * 16, b"a" * 16, b"o" * 16


def intent(version: int, status: bytes = b"created") -> Values:
    """A version of the intent."""
    return {"id": INTENT, "version": version.to_bytes(4), "status": status}


def attempt(id_: bytes = ATTEMPT, network: bytes | None = b"vsim") -> Values:
    """An attempt of the intent."""
    return {"intent_id": INTENT, "id": id_, "network": network}


TABLES = {
    "payment_intents": Table(["id"], [intent(3, b"succeeded")]),
    "attempts": Table(["intent_id", "id"], [attempt()]),
}
GOOD = (
    Told(0, "insert", "payment_intents", intent(1)),
    Told(1, "insert", "attempts", attempt()),
    Told(2, "update", "payment_intents", intent(2)),
    Told(3, "update", "payment_intents", intent(3, b"succeeded")),
)


def faults(found: Streamed) -> dict[str, int]:
    """What is wrong, by kind."""
    counts = found.document()
    return {name: counts[name] for name in counts if name not in ("records", "versions")}


def test_a_stream_with_every_version_once_holds() -> None:
    """Three versions of an intent and one attempt are four records."""
    found = compare(TABLES, GOOD)
    assert found.holds
    assert found == Streamed(4, 4, missing=0, repeated=0, strange=0, different=0)


def test_an_empty_stream_holds_nothing() -> None:
    """Not even beside empty tables: then the relay has never run."""
    assert not compare({}, ()).holds


@pytest.mark.parametrize("left_out", range(len(GOOD)))
def test_each_record_that_is_missing_is_named(left_out: int) -> None:
    """Also a version in the middle, which no row shows any more."""
    found = compare(TABLES, GOOD[:left_out] + GOOD[left_out + 1 :])
    assert faults(found) == {"missing": 1, "repeated": 0, "strange": 0, "different": 0}
    assert not found.holds
    table = GOOD[left_out].table
    assert found.named[0].startswith(f"missing: {table} pi_")


@pytest.mark.parametrize("again", range(len(GOOD)))
def test_each_record_that_is_there_twice_is_named(again: int) -> None:
    """With the place of the second."""
    found = compare(TABLES, (*GOOD, Told(4, *_told(GOOD[again]))))
    assert faults(found) == {"missing": 0, "repeated": 1, "strange": 0, "different": 0}
    assert found.named[0].endswith(" at 4")


def _told(record: Told) -> tuple[str, str, Values | None]:
    return record.operation, record.table, record.values


@pytest.mark.parametrize(
    "record",
    [
        Told(4, "insert", "attempts", attempt(OTHER)),  # no row has it
        Told(4, "update", "payment_intents", intent(4)),  # beyond the row's version
        Told(4, "update", "attempts", attempt()),  # never changed
        Told(4, "delete", "attempts", None),
        Told(4, "truncate", "outcomes", None),
        Told(4, "insert", "merchants", attempt()),  # not published
    ],
)
def test_a_record_that_no_row_explains_is_strange(record: Told) -> None:
    """Whatever it is."""
    found = compare(TABLES, (*GOOD, record))
    assert faults(found) == {"missing": 0, "repeated": 0, "strange": 1, "different": 0}


@pytest.mark.parametrize(
    ("place", "values"), [(1, attempt(network=None)), (3, intent(3, b"failed"))]
)
def test_other_values_than_the_row_has_are_different(place: int, values: Values) -> None:
    """In an insert, and in the last version of an intent."""
    told = [*GOOD]
    told[place] = Told(place, told[place].operation, told[place].table, values)
    found = compare(TABLES, told)
    assert faults(found) == {"missing": 0, "repeated": 0, "strange": 0, "different": 1}
