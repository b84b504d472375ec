"""What a stack is made of, as the supervisor runs it: processes, resources, steps.

A unit lives in one task. It calls `ready` once, returns how it ended, and is ended from outside by
`drain` or `kill`, which are ordinary functions that return at once and hold even before the task
has taken its first step.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio
from attrs import define, field, frozen

from chassis.causes import in_words
from chassis.supervisor.events import UnitPlan

Ready = Callable[[], None]


@frozen
class Ending:
    """How a unit ended: in words, and whether that was well."""

    how: str
    well: bool = False


class Unit(Protocol):
    """One part of a stack."""

    @property
    def plan(self) -> UnitPlan:
        """What the machine must know of it."""

    @property
    def process_id(self) -> int | None:
        """Of its process while there is one."""

    async def run(self, ready: Ready) -> Ending:
        """Live once, from start to end; may be called again afterwards."""

    def drain(self) -> None:
        """Ask it to finish and end."""

    def kill(self) -> None:
        """End it now."""


class Resource(Protocol):
    """Something that runs by other means than ours, such as Postgres."""

    @property
    def process_id(self) -> int | None:
        """Of its main process while there is one."""

    async def start(self) -> None:
        """Bring it up; raises what keeps it down. May be called again after it died."""

    async def died(self) -> str:
        """Wait until it is gone without having been stopped; says how."""

    async def stop(self) -> None:
        """Bring it down in an orderly way, in bounded time."""

    def kill(self) -> None:
        """End it at once; what was committed must survive."""


@define
class ResourceUnit:
    """Runs a `Resource`; it bounds its own start and stop."""

    plan: UnitPlan
    resource: Resource
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    @property
    def process_id(self) -> int | None:
        """Of the resource's main process."""
        return self.resource.process_id

    async def run(self, ready: Ready) -> Ending:
        """Start it, watch it, stop it when drained."""
        ending = None
        try:
            with self._scope:
                ending = await self._live(ready)
        finally:
            self._scope = trio.CancelScope()
            if ending is None:
                with trio.CancelScope(shield=True):
                    await self.resource.stop()
        return ending or Ending("stopped", well=True)

    async def _live(self, ready: Ready) -> Ending:
        try:
            await self.resource.start()
        except Exception as error:  # noqa: BLE001 - any failure to start is told, with its type
            return _failed(error)
        ready()
        return Ending(await self.resource.died())

    def drain(self) -> None:
        """Stop it."""
        self._scope.cancel(reason="drain")

    def kill(self) -> None:
        """End it at once."""
        self.resource.kill()
        self._scope.cancel(reason="kill")


@define
class StepUnit:
    """Runs an action once, such as migrating the schema."""

    plan: UnitPlan
    action: Callable[[], Awaitable[None]]
    process_id: None = field(default=None, init=False)
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    async def run(self, ready: Ready) -> Ending:
        """Do it; a step is never ready, only done."""
        del ready
        ending = Ending("canceled")
        with self._scope:
            try:
                await self.action()
                ending = Ending("done", well=True)
            except Exception as error:  # noqa: BLE001 - any failure ends the start, with its type
                ending = _failed(error)
        self._scope = trio.CancelScope()
        return ending

    def drain(self) -> None:
        """Cancel it; steps are made so that the next start repeats them."""
        self._scope.cancel(reason="drain")

    def kill(self) -> None:
        """Cancel it."""
        self._scope.cancel(reason="kill")


def _failed(error: BaseException) -> Ending:
    return Ending(in_words(error))
