"""Each case of slot and stream, and what the relay does about it."""

from __future__ import annotations

import pytest

from ledger.relay.positions import Identity, Slot
from ledger.relay.starting import (
    EXPLANATIONS,
    Finding,
    Refusal,
    Repair,
    Stream,
    case_id,
    decide,
)
from ledger.stream.record import Mark

HERE = Identity(system_identifier=1, timeline=3, flushed_lsn=1_000)
MARK = Mark(1, 3, 500)
SLOT = Slot(
    confirmed_lsn=400, pinned_bytes=0, is_ours=True, lost="", wal_status="reserved", active=False
)
FOREIGN = Slot(400, 0, is_ours=False, lost="", wal_status="reserved", active=False)
LOST = Slot(400, 0, is_ours=True, lost="wal_removed", wal_status="lost", active=False)
AHEAD = Slot(501, 0, is_ours=True, lost="", wal_status="reserved", active=False)
LEVEL = Slot(500, 0, is_ours=True, lost="", wal_status="reserved", active=False)
LEFT_AFTER = {2: 500}
LEFT_BEFORE = {2: 499}


@pytest.mark.parametrize(
    ("mark", "history", "slot"),
    [
        (MARK, {}, SLOT),
        (MARK, {}, LEVEL),
        (Mark(1, 3, 1_000), {}, SLOT),
        (Mark(1, 2, 500), LEFT_AFTER, SLOT),
    ],
    ids=["behind", "level", "at the end of the WAL", "after a promotion"],
)
def test_in_order_it_streams_and_drops_what_the_stream_has(
    mark: Mark, history: dict[int, int], slot: Slot
) -> None:
    """The slot lies at the mark or before it, in this cluster or an ancestor of its timeline."""
    assert decide(mark, HERE, history, slot) == Stream(mark.end_lsn)


@pytest.mark.parametrize(
    ("mark", "history", "slot", "finding"),
    [
        (None, {}, None, Finding.FIRST_START),
        (Mark(1, 3, 0), {}, None, Finding.FIRST_START),
        (Mark(1, 3, 0), {}, SLOT, Finding.FIRST_START),
        (MARK, {}, None, Finding.SLOT_MISSING),
        (MARK, {}, LOST, Finding.SLOT_LOST),
        (MARK, {}, AHEAD, Finding.SLOT_AHEAD),
        (Mark(1, 2, 500), LEFT_AFTER, None, Finding.SLOT_MISSING),
    ],
)
def test_where_only_the_slot_forgot_it_repairs(
    mark: Mark | None, history: dict[int, int], slot: Slot | None, finding: Finding
) -> None:
    """The database is the right one beyond doubt, so nobody needs to be asked."""
    assert decide(mark, HERE, history, slot) == Repair(finding)


@pytest.mark.parametrize(
    ("mark", "history", "slot", "finding"),
    [
        (None, {}, SLOT, Finding.STREAM_MISSING),
        (None, {}, FOREIGN, Finding.OTHER_SLOT),
        (MARK, {}, FOREIGN, Finding.OTHER_SLOT),
        (Mark(2, 3, 500), {}, SLOT, Finding.OTHER_SYSTEM),
        (Mark(2, 3, 500), {}, None, Finding.OTHER_SYSTEM),
        (Mark(1, 4, 500), {}, SLOT, Finding.OTHER_TIMELINE),
        (Mark(1, 2, 500), {}, SLOT, Finding.OTHER_TIMELINE),
        (Mark(1, 2, 500), LEFT_BEFORE, SLOT, Finding.OTHER_TIMELINE),
        (Mark(1, 3, 1_001), {}, SLOT, Finding.STREAM_AHEAD),
    ],
)
def test_where_the_database_may_be_another_it_waits_for_a_word(
    mark: Mark | None, history: dict[int, int], slot: Slot | None, finding: Finding
) -> None:
    """It refuses, and repairs once this case was approved; any other word changes nothing."""
    refusal = decide(mark, HERE, history, slot)
    assert isinstance(refusal, Refusal)
    assert refusal.finding is finding
    assert decide(mark, HERE, history, slot, approved=bytes(16)) == refusal
    assert decide(mark, HERE, history, slot, approved=refusal.id) == Repair(finding)


def test_an_older_database_stays_older_however_far_its_wal_goes() -> None:
    """Once found, until the stream's mark is another: its later commits are not the stream's."""
    beyond = Mark(1, 3, 1_001)
    later = Identity(1, 3, 2_000)
    refusal = decide(beyond, HERE, {}, SLOT)
    assert isinstance(refusal, Refusal)
    assert decide(beyond, later, {}, SLOT, found_ahead=beyond) == refusal
    approved = decide(beyond, later, {}, SLOT, found_ahead=beyond, approved=refusal.id)
    assert approved == Repair(Finding.STREAM_AHEAD)
    assert decide(MARK, later, {}, SLOT, found_ahead=beyond) == Stream(MARK.end_lsn)


def test_a_word_about_one_case_serves_for_no_other() -> None:
    """Another cluster, timeline or place of the stream is another case."""
    cases = {
        case_id(finding, mark, identity)
        for finding in (Finding.OTHER_SYSTEM, Finding.STREAM_AHEAD)
        for mark in (None, MARK, Mark(1, 3, 501), Mark(1, 4, 500), Mark(2, 3, 500))
        for identity in (HERE, Identity(1, 4, 1_000), Identity(2, 3, 1_000))
    }
    assert len(cases) == 2 * 5 * 3


def test_every_finding_is_explained() -> None:
    """Operators read a sentence beside the word."""
    assert EXPLANATIONS.keys() == set(Finding)
