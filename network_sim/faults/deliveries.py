"""How an answer leaves: in which bytes, in which writes, when, and on which connection. Pure.

A `Delivery` is a row of steps that one connection plays one after the other: writes, pauses, and
perhaps an end. Answers that wait for one another (`Merge`, `Reorder`) meet in a `Pool`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from msgspec import Struct

from network_sim.faults.actions import (
    Close,
    Elsewhere,
    HowToClose,
    KeepAlives,
    Lie,
    Merge,
    Reframe,
    Reorder,
    Split,
)
from network_sim.faults.script import Deed
from switch.dialects.framings import LENGTH_MAX, Framing
from switch.iso8583.framing.lengths import LENGTHS


class Write(Struct, frozen=True):
    """Send bytes in one call."""

    data: bytes


class Pause(Struct, frozen=True):
    """Send nothing for a while; seconds as the script says, not yet scaled."""

    s: float


class Shut(Struct, frozen=True):
    """End the connection."""

    how: HowToClose


class Note(Struct, frozen=True):
    """Record what is being sent."""

    packed: bytes
    fields: Mapping[int, str]
    text: str


Step = Write | Pause | Shut | Note
Steps = tuple[Step, ...]


class PoolPlan(Struct, frozen=True):
    """Which answers wait for one another, and how they leave then."""

    rule: str
    size: int
    within_s: float
    merged: bool  # in one write; otherwise in another order, one write each
    chance: Random


class Delivery(Struct, frozen=True, kw_only=True):
    """One thing to be sent."""

    steps: Steps
    after_s: float = 0.0
    elsewhere: bool = False
    pool: PoolPlan | None = None


def reframed(frame: bytes, deeds: Iterable[Deed], framing: Framing) -> bytes:
    """A wrapped message with something else for its length.

    Args:
        frame: as it should be.
        deeds: what the script wants.
        framing: of the dialect.
    """
    length = LENGTHS[framing.length]
    for deed in deeds:
        action, body = deed.action, frame[length.size :]
        if isinstance(action, Lie):
            true = length.read(frame[: length.size])
            said = action.length if action.length >= 0 else true + action.by
            largest = 256**2 - 1 if framing.length == "vmlh" else LENGTH_MAX[framing.length]
            frame = length.write(min(max(said, 0), largest)) + body
        elif isinstance(action, Reframe):
            other = LENGTHS[action.length]
            own = other.size if other.counts_itself else 0
            frame = other.write(len(body) + own) + body
    return frame


def steps_of(frame: bytes, deeds: Iterable[Deed], keep_alive: bytes) -> Steps:
    """The steps by which a frame leaves.

    Args:
        frame: ready for the stream.
        deeds: what the script wants.
        keep_alive: a frame of length zero.
    """
    before: list[Step] = []
    writes: list[Step] = [Write(frame)]
    after: list[Step] = []
    for deed in deeds:
        match deed.action:
            case KeepAlives(count=count):
                before.append(Write(keep_alive * count))
            case Split() as split:
                writes = _split(frame, split)
            case Close(when="before", how=how):
                writes, after = [], [Shut(how)]
            case Close(when="middle", how=how):
                writes, after = [Write(frame[: len(frame) // 2])], [Shut(how)]
            case Close(when="after", how=how):
                after = [Shut(how)]
            case _:
                pass
    return (*before, *writes, *after)


def delivery_of(steps: Steps, deeds: Iterable[Deed], *, after_s: float) -> Delivery:
    """When and where the steps are played.

    Args:
        steps: what is sent.
        deeds: what the script wants.
        after_s: how long it is held back.
    """
    elsewhere, pool = False, None
    for deed in deeds:
        match deed.action:
            case Elsewhere():
                elsewhere = True
            case Merge(frames=size, within_s=within_s):
                pool = PoolPlan(deed.rule, size, within_s, merged=True, chance=deed.chance)
            case Reorder(window=size, within_s=within_s):
                pool = PoolPlan(deed.rule, size, within_s, merged=False, chance=deed.chance)
            case _:
                pass
    return Delivery(steps=steps, after_s=after_s, elsewhere=elsewhere, pool=pool)


def _split(frame: bytes, deed: Split) -> list[Step]:
    steps: list[Step] = []
    for start in range(0, len(frame), deed.bytes):
        steps.append(Write(frame[start : start + deed.bytes]))
        if deed.every_s and start + deed.bytes < len(frame):
            steps.append(Pause(deed.every_s))
    return steps


class Pools:
    """Answers of one connection that wait for one another, by the rule that makes them."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Steps]] = {}
        self._plans: dict[str, PoolPlan] = {}

    def add(self, steps: Steps, plan: PoolPlan) -> tuple[Steps, bool]:
        """Let an answer wait.

        Returns:
            What leaves now, and whether this was the first to wait: then `flush` is due after
            `plan.within_s`.
        """
        waiting = self._waiting.setdefault(plan.rule, [])
        if not waiting:
            self._plans[plan.rule] = plan
        waiting.append(steps)
        if len(waiting) >= plan.size:
            return self.flush(plan.rule), False
        return (), len(waiting) == 1

    def flush(self, rule: str) -> Steps:
        """What a rule has kept waiting, ready to leave."""
        waiting = self._waiting.pop(rule, [])
        if not waiting:
            return ()
        plan = self._plans.pop(rule)
        if plan.merged:
            return _merged(waiting)
        plan.chance.shuffle(waiting)
        return tuple(step for steps in waiting for step in steps)


def _merged(waiting: list[Steps]) -> Steps:
    """All writes as one behind all notes, whatever else there is behind them."""
    steps = [step for each in waiting for step in each]
    notes = [step for step in steps if isinstance(step, Note)]
    data = b"".join(step.data for step in steps if isinstance(step, Write))
    rest = [step for step in steps if not isinstance(step, Note | Write)]
    return (*notes, Write(data), *rest)
