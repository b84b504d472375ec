"""How frames leave: steps, lengths that lie, and answers that wait for one another."""

from __future__ import annotations

from random import Random

import pytest

from network_sim.faults import (
    Action,
    Close,
    Elsewhere,
    KeepAlives,
    Lie,
    Merge,
    Reframe,
    Reorder,
    Split,
    Withhold,
)
from network_sim.faults.deliveries import (
    Note,
    Pause,
    PoolPlan,
    Pools,
    Shut,
    Write,
    delivery_of,
    reframed,
    steps_of,
)
from network_sim.faults.script import Deed
from switch.dialects import Framing
from switch.dialects.framings import LengthKind

FRAME = b"\x00\x04abcd"
EMPTY = b"\x00\x00"


def _deeds(*actions: Action) -> list[Deed]:
    return [Deed("rule", action, Random(1)) for action in actions]


@pytest.mark.parametrize(
    ("actions", "steps"),
    [
        ((), (Write(FRAME),)),
        ((Withhold(),), (Write(FRAME),)),
        ((Split(bytes=4),), (Write(b"\x00\x04ab"), Write(b"cd"))),
        (
            (Split(bytes=4, every_s=10),),
            (Write(b"\x00\x04ab"), Pause(10), Write(b"cd")),
        ),
        ((Close(when="before", how="rst"),), (Shut("rst"),)),
        ((Close(when="middle"),), (Write(b"\x00\x04a"), Shut("fin"))),
        ((Close(when="after", how="goodbye"),), (Write(FRAME), Shut("goodbye"))),
        ((KeepAlives(count=3),), (Write(EMPTY * 3), Write(FRAME))),
        (
            (KeepAlives(count=1), Split(bytes=6), Close(when="after")),
            (Write(EMPTY), Write(FRAME), Shut("fin")),
        ),
    ],
)
def test_steps_do_what_the_actions_say(actions: tuple[Action, ...], steps: object) -> None:
    """Before, instead of, and behind the frame."""
    assert steps_of(FRAME, _deeds(*actions), EMPTY) == steps


@pytest.mark.parametrize(
    ("kind", "frame", "action", "lying"),
    [
        ("binary2", FRAME, Lie(length=0xFFFF), b"\xff\xffabcd"),
        ("binary2", FRAME, Lie(by=2), b"\x00\x06abcd"),
        ("binary2", FRAME, Lie(by=-9), b"\x00\x00abcd"),
        ("binary2_inclusive", b"\x00\x06abcd", Lie(by=1), b"\x00\x07abcd"),
        ("bcd2", FRAME, Lie(length=123_456), b"\x99\x99abcd"),
        ("vmlh", b"\x00\x04\x00\x00abcd", Lie(length=0xFFFF), b"\xff\xff\x00\x00abcd"),
        ("binary2", FRAME, Reframe(length="ascii4"), b"0004abcd"),
        ("binary2", FRAME, Reframe(length="binary2_inclusive"), b"\x00\x06abcd"),
        ("ascii4", b"0004abcd", Reframe(length="binary4"), b"\x00\x00\x00\x04abcd"),
    ],
)
def test_a_length_says_something_else(
    kind: LengthKind, frame: bytes, action: Action, lying: bytes
) -> None:
    """In the form that the dialect has, or in another."""
    framing = Framing(length=kind, frame_bytes_max=2_000)
    assert reframed(frame, _deeds(action), framing) == lying
    assert reframed(frame, _deeds(Withhold()), framing) == frame


def test_a_delivery_has_a_way_of_its_own() -> None:
    """Elsewhere, or together with others."""
    steps = (Write(FRAME),)
    assert delivery_of(steps, _deeds(Elsewhere()), after_s=0.5).elsewhere
    merged = delivery_of(steps, _deeds(Merge(frames=3, within_s=2)), after_s=0).pool
    mixed = delivery_of(steps, _deeds(Reorder(window=4)), after_s=0).pool
    assert merged is not None
    assert mixed is not None
    assert (merged.size, merged.within_s, merged.merged) == (3, 2, True)
    assert (mixed.size, mixed.merged) == (4, False)


def _plan(size: int, *, merged: bool) -> PoolPlan:
    return PoolPlan("rule", size, 1.0, merged=merged, chance=Random(3))


def test_merged_answers_leave_in_one_write() -> None:
    """Notes come first, ends last."""
    pools, plan = Pools(), _plan(2, merged=True)
    note = Note(b"x", {}, "")
    assert pools.add((note, Write(b"a")), plan) == ((), True)
    assert pools.add((Write(b"b"), Shut("fin")), plan) == ((note, Write(b"ab"), Shut("fin")), False)


def test_reordered_answers_all_leave() -> None:
    """In another order; the next window begins empty."""
    pools, plan = Pools(), _plan(5, merged=False)
    answers = [bytes([65 + number]) for number in range(5)]
    results = [pools.add((Write(answer),), plan) for answer in answers]
    assert [first for _, first in results] == [True, False, False, False, False]
    left = [step.data for step in results[-1][0] if isinstance(step, Write)]
    assert left != answers
    assert sorted(left) == answers
    assert pools.add((Write(b"next"),), plan) == ((), True)


def test_what_waits_is_flushed_in_time() -> None:
    """An incomplete window leaves as well; an empty one is nothing."""
    pools = Pools()
    pools.add((Write(b"a"),), _plan(5, merged=True))
    assert pools.flush("rule") == (Write(b"a"),)
    assert pools.flush("rule") == ()
