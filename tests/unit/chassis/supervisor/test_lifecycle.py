"""The supervisor's decisions, driven event by event without a loop or a process."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.settings import Supervisor
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
from chassis.supervisor.lifecycle import RANK_GRACE_S, Lifecycle, Phase, UnitState

LIMITS = Supervisor(
    ready_timeout_s=60,
    drain_timeout_s=20,
    restart_min_s=0.5,
    restart_max_s=4,
    restart_reset_s=30,
    start_attempts_max=3,
)
STACK = [
    UnitPlan(key="postgres", stop_rank=9, times_itself=True),
    UnitPlan(key="migrate", needs=("postgres",), once=True),
    UnitPlan(key="hsm", stop_rank=3),
    UnitPlan(key="switch", needs=("migrate", "hsm"), stop_rank=2),
    UnitPlan(key="api", needs=("switch",), stop_rank=1),
]
KILLED = "signal 9 (SIGKILL)"


class Run:
    """One lifecycle and its clock."""

    def __init__(self, plans: list[UnitPlan] = STACK) -> None:
        self.lifecycle = Lifecycle(plans, LIMITS)
        self.now_s = 1000.0

    def tell(self, *events: Event) -> list[Effect]:
        """What the machine asks for, without what it says."""
        return [effect for effect in self.tell_all(*events) if not isinstance(effect, Say)]

    def tell_all(self, *events: Event) -> list[Effect]:
        """What the machine asks for and says."""
        return [effect for event in events for effect in self.lifecycle.handle(event, self.now_s)]

    def wait(self, seconds: float) -> list[Effect]:
        """Let time pass and tell the machine."""
        self.now_s += seconds
        return self.tell(TimePassed())

    def bring_up(self) -> None:
        """Everything ready."""
        effects = self.tell(
            Begin(),
            UnitReady("postgres"),
            UnitReady("hsm"),
            UnitEnded("migrate", "done", well=True),
            UnitReady("switch"),
            UnitReady("api"),
        )
        assert effects[-1] == StackReady()
        assert self.lifecycle.phase is Phase.RUNNING


def test_units_start_when_what_they_need_is_ready() -> None:
    """Independent units start together, the others in the order of their needs."""
    run = Run()
    assert run.tell(Begin()) == [Start("postgres"), Start("hsm")]
    assert run.tell(UnitReady("hsm")) == []
    assert run.tell(UnitReady("postgres")) == [Start("migrate")]
    assert run.tell(UnitEnded("migrate", "done", well=True)) == [Start("switch")]
    assert run.tell(UnitReady("switch")) == [Start("api")]
    assert run.tell(UnitReady("api")) == [StackReady()]


def test_a_killed_process_is_started_again_after_a_growing_delay() -> None:
    """Each crash doubles the delay up to its maximum, and the restart is said aloud."""
    run = Run()
    run.bring_up()
    for delay_s in (0.5, 1, 2, 4, 4):
        (said,) = run.tell_all(UnitEnded("api", KILLED))
        assert said == Say(
            Level.WARNING, f"api: signal 9 (SIGKILL); starting it again in {delay_s:g} s", "api"
        )
        assert run.wait(delay_s - 0.01) == []
        assert run.wait(0.01) == [Start("api")]
        assert run.tell(UnitReady("api")) == [StackReady()]


def test_a_process_that_stayed_up_earns_the_first_delay_again() -> None:
    """The backoff starts over after `restart_reset_s` of being ready, not before."""
    run = Run()
    run.bring_up()
    for ready_s, delay_s in ((0, 0.5), (29.9, 1), (30, 0.5)):
        run.now_s += ready_s
        run.tell(UnitEnded("hsm", KILLED))
        assert run.lifecycle.next_deadline_s == pytest.approx(run.now_s + delay_s)
        run.wait(delay_s)
        run.tell(UnitReady("hsm"))


def test_a_restart_leaves_the_others_alone() -> None:
    """A dead dependency does not take down what needs it: they reconnect."""
    run = Run()
    run.bring_up()
    assert run.tell(UnitEnded("postgres", "exit status 2")) == []
    assert run.wait(0.5) == [Start("postgres")]
    assert run.tell(UnitReady("postgres")) == [StackReady()]
    assert run.lifecycle.state("migrate") is UnitState.DONE


def test_restarts_of_a_running_stack_never_end() -> None:
    """Once up, a unit is started again however often it fails to become ready."""
    run = Run()
    run.bring_up()
    run.tell(UnitEnded("api", KILLED))
    for _ in range(20):
        assert run.wait(LIMITS.restart_max_s) == [Start("api")]
        run.tell(UnitEnded("api", "exit status 1"))
    assert run.lifecycle.phase is Phase.RUNNING


def test_a_start_that_keeps_failing_is_given_up() -> None:
    """After the last attempt the stack says why, stops what runs, and exits 3."""
    run = Run()
    run.tell(Begin())
    for _ in range(LIMITS.start_attempts_max - 1):
        assert run.tell(UnitEnded("hsm", "exit status 1")) == []
        run.wait(4)
    effects = run.tell_all(UnitEnded("hsm", "exit status 1"))
    assert effects[0] == Say(Level.ERROR, "cannot start: hsm: exit status 1", "hsm")
    assert effects[-1] == Drain("postgres")
    run.tell(UnitEnded("postgres", "stopped", well=True))
    assert (run.lifecycle.phase, run.lifecycle.exit_code) == (Phase.FINISHED, 3)


def test_a_failed_step_ends_the_start_at_once() -> None:
    """A migration that fails is not tried again."""
    run = Run()
    run.tell(Begin(), UnitReady("postgres"), UnitReady("hsm"))
    effects = run.tell(UnitEnded("migrate", "MigrationError: 0007 is altered"))
    assert effects == [Drain("hsm")]
    run.tell(UnitEnded("hsm", "stopped"))
    run.tell(UnitEnded("postgres", "stopped"))
    assert (run.lifecycle.phase, run.lifecycle.exit_code) == (Phase.FINISHED, 3)


def test_a_process_that_does_not_become_ready_is_killed_and_counted() -> None:
    """The ready time-out kills; the death is then a failed attempt like any other."""
    run = Run()
    run.tell(Begin())
    assert run.wait(59.9) == []
    assert run.wait(0.1) == [Kill("hsm")]
    assert run.tell(UnitEnded("hsm", KILLED)) == []
    assert run.lifecycle.state("hsm") is UnitState.BACKING_OFF


def test_a_unit_that_times_itself_has_no_deadline_of_ours() -> None:
    """Crash recovery of Postgres may take longer than a process may."""
    run = Run([UnitPlan(key="postgres", times_itself=True)])
    run.tell(Begin())
    assert run.lifecycle.next_deadline_s == math.inf
    run.tell(UnitReady("postgres"), StopAsked())
    assert run.lifecycle.next_deadline_s == math.inf


def test_stopping_goes_rank_by_rank() -> None:
    """The front door closes first and Postgres last, each after the one before has ended."""
    run = Run()
    run.bring_up()
    assert run.tell(StopAsked()) == [Drain("api")]
    for ended, then in (("api", "switch"), ("switch", "hsm"), ("hsm", "postgres")):
        assert run.tell(UnitEnded(ended, "exit status 0", well=True)) == [Drain(then)]
    assert run.lifecycle.phase is Phase.STOPPING
    run.tell(UnitEnded("postgres", "stopped", well=True))
    assert (run.lifecycle.phase, run.lifecycle.exit_code) == (Phase.FINISHED, 0)


def test_units_of_one_rank_drain_together() -> None:
    """The next rank waits for the slowest of the rank before."""
    run = Run([UnitPlan(key=key, stop_rank=rank) for key, rank in (("a", 1), ("b", 1), ("c", 2))])
    run.tell(Begin(), UnitReady("a"), UnitReady("b"), UnitReady("c"))
    assert run.tell(StopAsked()) == [Drain("a"), Drain("b")]
    assert run.tell(UnitEnded("b", "exit status 0", well=True)) == []
    assert run.tell(UnitEnded("a", "exit status 0", well=True)) == [Drain("c")]


def test_what_does_not_drain_is_killed_and_the_exit_status_says_so() -> None:
    """The deadline is for the whole stack; later ranks still get a moment of their own."""
    run = Run()
    run.bring_up()
    run.tell(StopAsked())
    assert run.wait(LIMITS.drain_timeout_s - 0.1) == []
    assert run.wait(0.1) == [Kill("api")]
    assert run.tell(UnitEnded("api", KILLED)) == [Drain("switch")]
    assert run.lifecycle.next_deadline_s == pytest.approx(run.now_s + RANK_GRACE_S)
    assert run.wait(RANK_GRACE_S) == [Kill("switch")]
    run.tell(UnitEnded("switch", KILLED), UnitEnded("hsm", ""), UnitEnded("postgres", ""))
    assert (run.lifecycle.phase, run.lifecycle.exit_code) == (Phase.FINISHED, 1)


def test_the_second_request_to_stop_kills_everything() -> None:
    """A second Ctrl-C ends all ranks at once, Postgres too, with exit status 130."""
    run = Run()
    run.bring_up()
    run.tell(StopAsked())
    assert run.tell(StopAsked()) == [Kill(key) for key in ("postgres", "hsm", "switch", "api")]
    for key in ("api", "switch", "hsm", "postgres"):
        assert run.tell(UnitEnded(key, KILLED)) == []
    assert (run.lifecycle.phase, run.lifecycle.exit_code) == (Phase.FINISHED, 130)
    assert run.tell(StopAsked()) == []


def test_stopping_while_starting_drains_what_has_started() -> None:
    """What was never started, or waits for its next attempt, is simply not started."""
    run = Run()
    run.tell(Begin(), UnitEnded("hsm", "exit status 1"))
    assert run.tell(StopAsked()) == [Drain("postgres")]
    assert run.wait(10) == []
    assert run.tell(UnitReady("postgres")) == []
    run.tell(UnitEnded("postgres", "stopped", well=True))
    assert (run.lifecycle.phase, run.lifecycle.exit_code) == (Phase.FINISHED, 0)


def test_stopping_before_anything_runs_ends_at_once() -> None:
    """There is nothing to wait for."""
    run = Run()
    assert run.tell(StopAsked()) == []
    assert run.lifecycle.phase is Phase.FINISHED


@pytest.mark.parametrize(
    "plans",
    [
        [UnitPlan(key="a"), UnitPlan(key="a")],
        [UnitPlan(key="a", needs=("b",)), UnitPlan(key="b", needs=("a",))],
        [UnitPlan(key="a", needs=("missing",))],
    ],
)
def test_plans_that_can_never_be_ready_are_refused(plans: list[UnitPlan]) -> None:
    """Doubled keys, circles and missing needs are found before anything starts."""
    with pytest.raises(ValueError, match="units"):
        Lifecycle(plans, LIMITS)


@settings(max_examples=60)
@given(st.data())
def test_whatever_happens_a_stop_ends_with_nothing_alive(data: st.DataObject) -> None:
    """Under any order of crashes, readiness and time, two requests to stop finish the run."""
    run = Run()
    alive: set[str] = set()

    def tell(event: Event) -> None:
        for effect in run.tell(event):
            if isinstance(effect, Start):
                assert effect.key not in alive, "started twice"
                alive.add(effect.key)
            elif isinstance(effect, Drain | Kill):
                assert effect.key in alive, "stopped what does not run"

    tell(Begin())
    for _ in range(data.draw(st.integers(0, 30))):
        run.now_s += data.draw(st.sampled_from([0, 1, 5, 70]))
        key = data.draw(st.sampled_from([plan.key for plan in STACK]))
        kind = data.draw(st.sampled_from(["ready", "ended", "well", "time"]))
        if kind == "time":
            tell(TimePassed())
        elif key in alive and kind == "ready" and key != "migrate":
            tell(UnitReady(key))
        elif key in alive and kind in ("ended", "well"):
            alive.remove(key)
            tell(UnitEnded(key, "ended", well=kind == "well"))
    tell(StopAsked())
    tell(StopAsked())
    for key in sorted(alive):
        alive.remove(key)
        tell(UnitEnded(key, KILLED))
    assert run.lifecycle.phase is Phase.FINISHED
    assert alive == set()


def test_a_stack_is_ready_without_what_is_optional() -> None:
    """It is tried again and again, ends no start, and is published when it is there."""
    run = Run([UnitPlan(key="api"), UnitPlan(key="replica", optional=True)])
    assert run.tell(Begin()) == [Start("api"), Start("replica")]
    for _ in range(LIMITS.start_attempts_max):
        assert run.tell(UnitEnded("replica", KILLED)) == []
        assert run.wait(LIMITS.restart_max_s) == [Start("replica")]
    assert run.tell(UnitReady("api")) == [StackReady()]
    assert run.lifecycle.phase is Phase.RUNNING
    assert run.tell(UnitReady("replica")) == [StackReady()]
    assert run.tell(StopAsked()) == [Drain("api"), Drain("replica")]


def test_nothing_else_is_ready_before_the_stack_is() -> None:
    """What is optional makes up for nobody."""
    run = Run([UnitPlan(key="api"), UnitPlan(key="replica", optional=True)])
    run.tell(Begin())
    assert run.tell(UnitReady("replica")) == []
    assert run.lifecycle.phase is Phase.STARTING
