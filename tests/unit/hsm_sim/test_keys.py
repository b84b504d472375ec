"""The life of keys: states by the clock, and what a rotation has to do."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.settings.tree import HSM
from hsm_sim.keys import NEVER_S, Due, KeyRecord, Slot, due, next_version, slots

NOW_S = 1_767_323_045
DAY_S = 86_400
CAPTURE = Slot("capture", "x25519", DAY_S, DAY_S, 600)
PERMANENT = Slot("fingerprint", "hmac_sha256")
KEPT_S = 30 * DAY_S


def _create(slot: Slot, version: int, now_s: int) -> KeyRecord:
    active_until_s, destroy_at_s = slot.dates(now_s)
    return KeyRecord(
        id=f"{slot.usage}-{slot.algorithm}-{version}",
        usage=slot.usage,
        algorithm=slot.algorithm,
        version=version,
        created_at_s=now_s,
        active_until_s=active_until_s,
        destroy_at_s=destroy_at_s,
        wrapped=b"wrapped",
    )


def _apply(records: list[KeyRecord], plan: Due, now_s: int) -> list[KeyRecord]:
    created = [_create(slot, next_version(records, slot), now_s) for slot in plan.create]
    return [
        msgspec.structs.replace(record, wrapped=b"") if record in plan.destroy else record
        for record in records
        if record not in plan.forget
    ] + created


def _due(records: list[KeyRecord], now_s: int, *wanted: Slot) -> Due:
    return due(records, wanted or (CAPTURE,), now_s=now_s, destroyed_kept_s=KEPT_S)


@pytest.mark.parametrize(
    ("age_s", "state"),
    [
        (0, "active"),
        (DAY_S - 1, "active"),
        (DAY_S, "decrypt_only"),
        (2 * DAY_S - 1, "decrypt_only"),
        (2 * DAY_S, "destroyed"),
    ],
)
def test_the_state_follows_the_clock(age_s: int, state: str) -> None:
    """A capture key is active for a day, opens for one more, and is then dead without rotation."""
    assert _create(CAPTURE, 1, NOW_S).state(NOW_S + age_s) == state


def test_a_key_without_material_is_destroyed() -> None:
    """Destroying early overrides the dates."""
    record = msgspec.structs.replace(_create(CAPTURE, 1, NOW_S), wrapped=b"")
    assert record.state(NOW_S) == "destroyed"


def test_a_permanent_key_never_retires() -> None:
    """The fingerprint key outlives every rotation."""
    record = _create(PERMANENT, 1, NOW_S)
    assert record.destroy_at_s == NEVER_S
    assert not _due([record], NOW_S + 1000 * DAY_S, PERMANENT)


def test_an_empty_store_needs_one_key_for_each_purpose() -> None:
    """The first start is a rotation of nothing."""
    wanted = slots(HSM())
    plan = _due([], NOW_S, *wanted)
    assert plan == Due(list(wanted), [], [])
    assert len({(slot.usage, slot.algorithm) for slot in wanted}) == 6


def test_a_successor_comes_before_the_key_retires() -> None:
    """Ten minutes before the active key retires its successor is made, and only then."""
    records = [_create(CAPTURE, 1, NOW_S)]
    assert not _due(records, NOW_S + DAY_S - 601)
    assert _due(records, NOW_S + DAY_S - 600).create == [CAPTURE]
    renewed = _apply(records, _due(records, NOW_S + DAY_S - 600), NOW_S + DAY_S - 600)
    assert not _due(renewed, NOW_S + DAY_S - 600)
    assert [record.version for record in renewed] == [1, 2]


def test_a_dead_key_is_destroyed_then_forgotten() -> None:
    """Its material goes at once; its record stays for thirty days; its newest number for ever."""
    first, second = _create(CAPTURE, 1, NOW_S), _create(CAPTURE, 2, NOW_S + DAY_S)
    dead_at = NOW_S + 2 * DAY_S
    plan = _due([first, second], dead_at)
    assert (plan.destroy, plan.forget) == ([first], [])
    tombstone = msgspec.structs.replace(first, wrapped=b"")
    assert _due([tombstone, second], dead_at + KEPT_S - 1).forget == []
    plan = _due([tombstone, second], dead_at + KEPT_S + 10 * DAY_S)
    assert plan.forget == [tombstone]
    assert plan.destroy == [second]


def test_a_version_number_never_returns() -> None:
    """After a year at rest every key is dead, and the next one still counts on."""
    records = [_create(CAPTURE, 7, NOW_S)]
    later = NOW_S + 365 * DAY_S
    records = _apply(records, _due(records, later), later)
    assert max(record.version for record in records) == 8


def test_a_clock_stepped_back_makes_no_second_key() -> None:
    """A key from the future counts as active."""
    assert not _due([_create(CAPTURE, 1, NOW_S)], NOW_S - 3600)


def test_an_overlap_longer_than_half_a_life_is_cut() -> None:
    """Short lifetimes, as in a test of rotation, do not rotate all the time."""
    capture = slots(HSM(capture_key_active_s=10, capture_key_overlap_s=600))[0]
    assert capture.overlap_s == 5


@given(st.lists(st.integers(0, 5 * DAY_S), max_size=12))
@settings(max_examples=100, deadline=None)
def test_rotation_settles_and_there_is_always_an_active_key(steps: list[int]) -> None:
    """Whenever rotation runs, nothing stays due, one key is active, and no material outlives."""
    wanted = slots(HSM())
    records: list[KeyRecord] = []
    now_s = NOW_S
    for step in steps:
        now_s += step
        records = _apply(records, _due(records, now_s, *wanted), now_s)
        assert not _due(records, now_s, *wanted)
        active = [(r.usage, r.algorithm) for r in records if r.state(now_s) == "active"]
        assert set(active) == {(slot.usage, slot.algorithm) for slot in wanted}
        assert not [record for record in records if record.wrapped and record.destroy_at_s <= now_s]
        versions = [(r.usage, r.algorithm, r.version) for r in records]
        assert len(set(versions)) == len(versions)
