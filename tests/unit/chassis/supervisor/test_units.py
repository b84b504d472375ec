"""Resources and steps end as they are asked to, also before they have begun."""

from __future__ import annotations

import pytest
import trio

from chassis.supervisor import Ending, ResourceUnit, StepUnit, UnitPlan

PLAN = UnitPlan(key="postgres")


class FakeResource:
    """A resource that obeys the test."""

    process_id = 7

    def __init__(self, *, fails: bool = False) -> None:
        self.calls: list[str] = []
        self.death = trio.Event()
        self.fails = fails

    async def start(self) -> None:
        """Come up, unless told to fail."""
        await trio.lowlevel.checkpoint()
        self.calls.append("start")
        if self.fails:
            raise OSError("no disk")

    async def died(self) -> str:
        """Die when the test says so."""
        await self.death.wait()
        return "signal 9 (SIGKILL)"

    async def stop(self) -> None:
        """Go down, which takes a checkpoint."""
        await trio.lowlevel.checkpoint()
        self.calls.append("stop")

    def kill(self) -> None:
        """Note the kill."""
        self.calls.append("kill")


class Watched:
    """A unit running in a task, its readiness and its ending."""

    def __init__(self, unit: ResourceUnit | StepUnit, nursery: trio.Nursery) -> None:
        self.ready = trio.Event()
        self.ended = trio.Event()
        self.ending: Ending | None = None
        nursery.start_soon(self._run, unit)

    async def _run(self, unit: ResourceUnit | StepUnit) -> None:
        self.ending = await unit.run(self.ready.set)
        self.ended.set()


async def test_a_resource_is_ready_and_stops_when_drained(nursery: trio.Nursery) -> None:
    """Draining stops it in an orderly way; it can be started again afterwards."""
    resource = FakeResource()
    unit = ResourceUnit(PLAN, resource)
    for _ in range(2):
        watched = Watched(unit, nursery)
        await watched.ready.wait()
        unit.drain()
        await watched.ended.wait()
        assert watched.ending == Ending("stopped", well=True)
    assert resource.calls == ["start", "stop"] * 2
    assert unit.process_id == 7


async def test_a_resource_that_dies_says_how(nursery: trio.Nursery) -> None:
    """A death is an ending to restart after; nothing is left to stop."""
    resource = FakeResource()
    watched = Watched(ResourceUnit(PLAN, resource), nursery)
    await watched.ready.wait()
    resource.death.set()
    await watched.ended.wait()
    assert watched.ending == Ending("signal 9 (SIGKILL)")
    assert resource.calls == ["start"]


async def test_a_resource_that_does_not_start_says_why(nursery: trio.Nursery) -> None:
    """The error's type and text reach the operator; it was never ready."""
    watched = Watched(ResourceUnit(PLAN, FakeResource(fails=True)), nursery)
    await watched.ended.wait()
    assert watched.ending == Ending("OSError: no disk")
    assert not watched.ready.is_set()


async def test_killing_a_resource_is_not_orderly(nursery: trio.Nursery) -> None:
    """The kill comes first; stopping then finds nothing to wait for."""
    resource = FakeResource()
    unit = ResourceUnit(PLAN, resource)
    watched = Watched(unit, nursery)
    await watched.ready.wait()
    unit.kill()
    await watched.ended.wait()
    assert resource.calls == ["start", "kill", "stop"]


async def test_a_drain_before_the_first_step_holds(nursery: trio.Nursery) -> None:
    """A unit that is drained between its start and its first step does not come up."""
    resource = FakeResource()
    unit = ResourceUnit(PLAN, resource)
    unit.drain()
    watched = Watched(unit, nursery)
    await watched.ended.wait()
    assert not watched.ready.is_set()
    assert resource.calls == ["stop"]


async def test_a_resource_is_stopped_when_its_task_is_canceled() -> None:
    """Whatever ends the supervisor, the resource is brought down."""
    resource = FakeResource()
    with trio.CancelScope() as scope:
        await ResourceUnit(PLAN, resource).run(scope.cancel)
    assert resource.calls == ["start", "stop"]


async def test_a_step_is_done_once() -> None:
    """A step that returns has ended well, and never says ready."""
    said = []

    async def act() -> None:
        await trio.lowlevel.checkpoint()

    ending = await StepUnit(PLAN, act).run(lambda: said.append("ready"))
    assert ending == Ending("done", well=True)
    assert said == []


async def test_a_failing_step_says_why() -> None:
    """The error's type and text reach the operator."""

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("0007 is altered")

    assert await StepUnit(PLAN, fail).run(pytest.fail) == Ending("ValueError: 0007 is altered")


async def test_a_failure_inside_a_nursery_says_why() -> None:
    """The group that a nursery makes of it would say nothing."""

    async def fail() -> None:
        raise OSError("no room")

    async def act() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)

    assert await StepUnit(PLAN, act).run(pytest.fail) == Ending("OSError: no room")


@pytest.mark.parametrize("end", ["drain", "kill"])
async def test_a_step_can_be_ended(nursery: trio.Nursery, end: str) -> None:
    """Draining and killing both cancel what it does."""
    unit = StepUnit(PLAN, trio.sleep_forever)
    watched = Watched(unit, nursery)
    await trio.testing.wait_all_tasks_blocked()
    getattr(unit, end)()
    await watched.ended.wait()
    assert watched.ending == Ending("canceled")
