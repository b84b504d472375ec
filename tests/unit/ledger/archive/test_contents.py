"""Whose payments a segment tells of is read from its own records where they say it."""

from __future__ import annotations

from ledger.archive.contents import contents_of, held_by, still_needed
from ledger.archive.holds import Line
from ledger.archive.sealed import FrameHead, Sealed, take_apart
from ledger.stream.record import Mark, descriptor_id
from ledger.stream.segments.format import NO_PREDECESSOR, Header
from tests.support.archiving import segment
from tests.support.stream import UUID, descriptor, record

MERCHANT = (5).to_bytes(16)


def _hold(**what: object) -> Line:
    fields: dict[str, object] = {"number": 4, "action": "add", "at_us": 1, "operator": "ada"}
    return Line(**(fields | {"reason": "case"} | what))  # type: ignore[arg-type]


def test_owners_are_those_that_the_payments_rows_tell() -> None:
    """A row of a payment tells its merchant; a payment that has only others does not."""
    table = descriptor("payment_intents", ("id", UUID), ("merchant_id", UUID))
    told = record(2, row=((2).to_bytes(16), MERCHANT), descriptor=descriptor_id(table))
    records = [record(1), record(2), told, record(2)]
    head = FrameHead(1, len(records), None, 1, Mark(1, 1, 1), [table])
    header = Header(0, 0, 0, NO_PREDECESSOR)
    contents = contents_of(Sealed(header, [head], records, b"", 0))
    assert contents.owners == {(1).to_bytes(16): None, (2).to_bytes(16): MERCHANT}
    assert contents.last_us - contents.first_us == 1


def test_who_is_asked_decides_what_the_segment_does_not_tell() -> None:
    """An owner that the ledger knows is taken; one that nobody knows counts as held."""
    contents = contents_of(
        take_apart(segment(0, [record(1)], NO_PREDECESSOR), shard=0, first_offset=0)
    )
    [intent_id] = contents.owners
    hold = _hold(merchant=MERCHANT.hex())
    assert held_by([hold], contents, lambda _ids: {intent_id: b"\x09" * 16}) is None
    assert held_by([hold], contents, lambda _ids: {intent_id: MERCHANT}) is not None
    assert held_by([hold], contents, lambda _ids: {}) is not None
    assert held_by([], contents, lambda _ids: {}) is None


def test_a_restore_is_no_payment_that_is_still_needed() -> None:
    """What a segment tells of restores keeps it from nothing; what cannot be read counts."""
    table = descriptor("restores", ("id", UUID))
    restore = record(9, row=((9).to_bytes(16),), descriptor=descriptor_id(table))
    head = FrameHead(1, 3, None, 1, Mark(1, 1, 1), [table])
    header = Header(0, 0, 0, NO_PREDECESSOR)
    taken = Sealed(header, [head], [record(1), restore, record(2)], b"", 0)
    assert still_needed(taken, lambda payment: payment == (1).to_bytes(16)) == (2).to_bytes(16)
    assert still_needed(taken, lambda payment: payment < (9).to_bytes(16)) is None
