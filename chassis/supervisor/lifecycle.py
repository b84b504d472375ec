"""When to start, restart, drain and kill what: the supervisor's decisions, without any I/O.

Theory of operation. A stack is a set of *units*: processes, resources such as Postgres, and steps
that run once, such as migrating the schema. A unit is started when every unit it needs is ready
(a step: when it is done). The machine is told what happened, with the time, by `handle`, and
answers with effects to carry out in order. Timers are data too: `next_deadline_s` says when
`TimePassed` is due.

    WAITING ──needs ready──▶ STARTING ──UnitReady──▶ READY
                              ▲    │                   │
                              │    └─────UnitEnded─────┤
                         delay over                    ▼
                              └──────────────── BACKING_OFF
    a step that ends well is DONE; while stopping, alive units are DRAINING, ended ones STOPPED.

A unit that fails while the stack starts is tried a few times, then the start is given up (exit 3):
a stack that cannot start must say so and end. An *optional* unit is only ever tried again, and the
stack is ready without it. Once the stack has been up, restarts go on for ever,
with a growing delay that starts over after a unit stayed ready for `restart_reset_s`.

Stopping goes by `stop_rank`, lowest first, ranks one after the other: the front door closes before
what serves it. Draining has one deadline for the whole stack, so that a slow first rank cannot
multiply the wait; each later rank still gets `RANK_GRACE_S`. What is alive then is killed and the
exit status says so (1). A second request to stop kills everything at once (130).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Iterator

import attrs

from chassis.backoff import Backoff
from chassis.settings.tree import Supervisor
from chassis.supervisor.events import (
    Begin,
    Drain,
    Effect,
    Event,
    Kill,
    Level,
    Say,
    StackReady,
    Start,
    StopAsked,
    TimePassed,
    UnitEnded,
    UnitPlan,
    UnitReady,
)

RANK_GRACE_S = 2.0  # for a rank whose predecessors have used up the drain deadline
EXIT_STOPPED = 0
EXIT_FORCED = 1
EXIT_CANNOT_START = 3
EXIT_INTERRUPTED = 130


class UnitState(enum.Enum):
    """Where one unit stands."""

    WAITING = enum.auto()
    STARTING = enum.auto()
    READY = enum.auto()
    DONE = enum.auto()
    BACKING_OFF = enum.auto()
    DRAINING = enum.auto()
    STOPPED = enum.auto()


class Phase(enum.Enum):
    """Where the whole stack stands."""

    STARTING = enum.auto()
    RUNNING = enum.auto()
    STOPPING = enum.auto()
    FINISHED = enum.auto()


SATISFIED = frozenset({UnitState.READY, UnitState.DONE})
ALIVE = frozenset({UnitState.STARTING, UnitState.READY, UnitState.DRAINING})


def _upper_bound(_: float, high: float) -> float:
    """No jitter: one supervisor has nobody to spread out from."""
    return high


@attrs.define
class _Unit:
    plan: UnitPlan
    backoff: Backoff
    state: UnitState = UnitState.WAITING
    deadline_s: float = math.inf  # ready by, start again at, or drained by
    ready_at_s: float = math.inf
    failures: int = 0  # before it was ever ready


class Lifecycle:
    """The machine for one run of one stack.

    Args:
        plans: the units; keys are unique, needs name existing keys without a cycle.
        settings: time-outs and limits.

    Raises:
        ValueError: plans that could never all become ready.
    """

    def __init__(self, plans: Iterable[UnitPlan], settings: Supervisor) -> None:
        self._settings = settings
        self._units = {
            plan.key: _Unit(plan, _make_backoff(settings)) for plan in _checked(list(plans))
        }
        self.phase = Phase.STARTING
        self.exit_code = EXIT_STOPPED
        self._drain_until_s = math.inf
        self._handlers: dict[type, Callable[..., Iterator[Effect]]] = {
            Begin: self._on_begin,
            UnitReady: self._on_ready,
            UnitEnded: self._on_ended,
            StopAsked: self._on_stop_asked,
            TimePassed: self._on_time_passed,
        }

    @property
    def next_deadline_s(self) -> float:
        """When `TimePassed` is due; infinite if nothing is timed."""
        return min((unit.deadline_s for unit in self._units.values()), default=math.inf)

    def state(self, key: str) -> UnitState:
        """Where one unit stands."""
        return self._units[key].state

    def handle(self, event: Event, now_s: float) -> list[Effect]:
        """Take note of what happened at `now_s` (monotonic seconds); returns what to do."""
        return list(self._handlers[type(event)](event, now_s))

    # ------------------------------------------------------------------------- starting, running

    def _on_begin(self, _: Begin, now_s: float) -> Iterator[Effect]:
        yield from self._start_satisfied(now_s)

    def _start_satisfied(self, now_s: float) -> Iterator[Effect]:
        for unit in self._units.values():
            if unit.state is UnitState.WAITING and all(
                self._units[need].state in SATISFIED for need in unit.plan.needs
            ):
                yield self._start(unit, now_s)

    def _start(self, unit: _Unit, now_s: float) -> Effect:
        unit.state = UnitState.STARTING
        limit_s = math.inf if unit.plan.times_itself else self._settings.ready_timeout_s
        unit.deadline_s = now_s + limit_s
        return Start(unit.plan.key)

    def _on_ready(self, event: UnitReady, now_s: float) -> Iterator[Effect]:
        unit = self._units[event.key]
        if unit.state is not UnitState.STARTING:
            return  # it became ready while being stopped
        unit.state = UnitState.READY
        unit.ready_at_s = now_s
        yield Say(Level.INFO, f"{event.key}: ready", event.key)
        yield from self._progress(unit, now_s)

    def _progress(self, unit: _Unit, now_s: float) -> Iterator[Effect]:
        unit.deadline_s = math.inf
        unit.failures = 0
        yield from self._start_satisfied(now_s)
        if all(other.state in SATISFIED or other.plan.optional for other in self._units.values()):
            self.phase = Phase.RUNNING
            yield StackReady()

    def _on_ended(self, event: UnitEnded, now_s: float) -> Iterator[Effect]:
        unit = self._units[event.key]
        if self.phase is Phase.STOPPING:
            unit.state = UnitState.STOPPED
            unit.deadline_s = math.inf
            yield from self._stop_next_rank(now_s)
        elif unit.plan.once and event.well:
            unit.state = UnitState.DONE
            yield Say(Level.INFO, f"{event.key}: done", event.key)
            yield from self._progress(unit, now_s)
        else:
            yield from self._on_failed(unit, event, now_s)

    def _on_failed(self, unit: _Unit, event: UnitEnded, now_s: float) -> Iterator[Effect]:
        key = unit.plan.key
        if unit.state is UnitState.STARTING:
            unit.failures += 1
        elif now_s - unit.ready_at_s >= self._settings.restart_reset_s:
            unit.backoff.reset()
        given_up = unit.plan.once or unit.failures >= self._settings.start_attempts_max
        if self.phase is Phase.STARTING and given_up and not unit.plan.optional:
            yield Say(Level.ERROR, f"cannot start: {key}: {event.how}", key)
            unit.state = UnitState.STOPPED
            unit.deadline_s = math.inf
            yield from self._stop(EXIT_CANNOT_START, now_s)
            return
        delay_s = unit.backoff.next_delay_s()
        unit.state = UnitState.BACKING_OFF
        unit.deadline_s = now_s + delay_s
        yield Say(Level.WARNING, f"{key}: {event.how}; starting it again in {delay_s:g} s", key)

    # ------------------------------------------------------------------------------------- timers

    def _on_time_passed(self, _: TimePassed, now_s: float) -> Iterator[Effect]:
        for unit in self._units.values():
            if unit.deadline_s <= now_s:
                unit.deadline_s = math.inf
                yield from self._on_deadline(unit, now_s)

    def _on_deadline(self, unit: _Unit, now_s: float) -> Iterator[Effect]:
        key = unit.plan.key
        if unit.state is UnitState.BACKING_OFF:
            yield self._start(unit, now_s)
        elif unit.state is UnitState.STARTING:
            limit_s = self._settings.ready_timeout_s
            yield Say(Level.WARNING, f"{key}: not ready within {limit_s:g} s; killing it", key)
            yield Kill(key)
        elif unit.state is UnitState.DRAINING:
            limit_s = self._settings.drain_timeout_s
            yield Say(Level.WARNING, f"{key}: not drained within {limit_s:g} s; killing it", key)
            self.exit_code = max(self.exit_code, EXIT_FORCED)
            yield Kill(key)

    # ----------------------------------------------------------------------------------- stopping

    def _on_stop_asked(self, _: StopAsked, now_s: float) -> Iterator[Effect]:
        if self.phase is Phase.FINISHED:
            return
        if self.phase is not Phase.STOPPING:
            yield from self._stop(EXIT_STOPPED, now_s)
            return
        self.exit_code = EXIT_INTERRUPTED
        yield Say(Level.WARNING, "asked to stop again: killing every process", "")
        for unit in self._units.values():
            if unit.state in ALIVE:
                unit.state = UnitState.DRAINING
                unit.deadline_s = math.inf
                yield Kill(unit.plan.key)

    def _stop(self, exit_code: int, now_s: float) -> Iterator[Effect]:
        self.phase = Phase.STOPPING
        self.exit_code = exit_code
        self._drain_until_s = now_s + self._settings.drain_timeout_s
        yield Say(Level.INFO, "stopping: draining every process", "")
        for unit in self._units.values():
            unit.deadline_s = math.inf
            if unit.state not in ALIVE:
                unit.state = UnitState.STOPPED
        yield from self._stop_next_rank(now_s)

    def _stop_next_rank(self, now_s: float) -> Iterator[Effect]:
        """Drain the lowest rank that is still up, unless an earlier one is still draining."""
        states = {unit.state for unit in self._units.values()}
        if UnitState.DRAINING in states:
            return
        alive = [unit for unit in self._units.values() if unit.state in ALIVE]
        if not alive:
            self.phase = Phase.FINISHED
            return
        rank = min(unit.plan.stop_rank for unit in alive)
        grace_s = min(RANK_GRACE_S, self._settings.drain_timeout_s)
        deadline_s = max(self._drain_until_s, now_s + grace_s)
        for unit in alive:
            if unit.plan.stop_rank == rank:
                unit.state = UnitState.DRAINING
                unit.deadline_s = math.inf if unit.plan.times_itself else deadline_s
                yield Drain(unit.plan.key)


def _make_backoff(settings: Supervisor) -> Backoff:
    return Backoff(min_s=settings.restart_min_s, max_s=settings.restart_max_s, uniform=_upper_bound)


def _checked(plans: list[UnitPlan]) -> list[UnitPlan]:
    """The plans in an order in which every need comes first, or an error."""
    ordered: dict[str, UnitPlan] = {}
    left = {plan.key: plan for plan in plans}
    if len(left) != len(plans):
        raise ValueError("two units have the same key")
    while left:
        startable = [plan for plan in left.values() if all(need in ordered for need in plan.needs)]
        if not startable:
            raise ValueError(f"units that wait for each other or for none: {sorted(left)}")
        for plan in startable:
            ordered[plan.key] = left.pop(plan.key)
    return list(ordered.values())
