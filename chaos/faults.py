"""Faults done to a running stack: signals, sessions ended, clocks stepped, marked payments.

A fault counts only with work in flight. What comes at a moment of quiet, or finds its process just
being started again, is put off; what a network should have done to a payment that was refused is
tried with another payment.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs
import trio

from chaos.schedule import Fault
from chaos.shop import Shop
from chaos.stories import marked_story
from chassis import crash_points
from chassis.clock import write_offset
from stack.endpoints import NotRunningError
from stack.temporary import TemporaryStack

PUT_OFF_S: Final = 0.05
TRIES_MAX: Final = 400  # of 50 ms: a fault waits for 20 s at most
MARKED_TRIES_MAX: Final = 5
MARKED_NUMBER: Final = 90_000_000  # and up: stories that no seed has otherwise
SESSION: Final = "postgres-session"
_LOGGING_IN: Final = (b"startup", b"authentication")


@attrs.frozen(kw_only=True)
class Done:
    """A fault that was done."""

    at_s: float
    kind: str
    target: str
    in_flight: int

    def document(self) -> dict[str, Any]:
        """As the report has it."""
        return attrs.asdict(self)


class Clock:
    """The wall clock of the stack and of its merchant, which step together.

    Args:
        path: the file that the stack's processes follow.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset_us = 0
        write_offset(path, 0)

    def now(self) -> datetime:
        """The time of day, as everybody has it."""
        return datetime.now(UTC) + timedelta(microseconds=self._offset_us)

    def step(self, seconds: float) -> None:
        """Set the clock forward, or back."""
        self._offset_us += round(seconds * 1_000_000)
        write_offset(self._path, self._offset_us)


class Saboteur:
    """Does faults.

    Args:
        stack: to which.
        shop: whose work must be in flight.
        clock: of both.
        crash_point: the file that says where a process dies.
        seed: of the run.

    Attributes:
        done: what was done.
        missed: what could not be: nothing came under way, its target did not come back, or the run
            was over before.
    """

    def __init__(
        self,
        stack: TemporaryStack,
        shop: Shop,
        clock: Clock,
        *,
        crash_point: Path,
        seed: int,
    ) -> None:
        self._stack = stack
        self._shop = shop
        self._clock = clock
        self._crash_point = crash_point
        self._seed = seed
        self._began_at = 0.0
        self._chance = Random(f"chaos {seed} sessions")
        self._stopped: set[int] = set()
        self.done: list[Done] = []
        self.missed: list[Fault] = []

    async def follow(self, faults: Sequence[Fault], beside: trio.Nursery) -> None:
        """Do every fault at its time, or as soon after it as what is to be hit is there.

        Args:
            faults: in order of time, which counts from now.
            beside: where marked payments are played, and stopped processes made to run on.
        """
        self._began_at = trio.current_time()
        left = deque(faults)
        try:
            while left:
                fault = left[0]
                await trio.sleep_until(self._began_at + fault.at_s)
                if fault.amount:
                    beside.start_soon(self._mark, fault)
                elif not await self._do(fault, beside):
                    self.missed.append(fault)
                left.popleft()
        finally:  # a busy machine does not get through all of them before the load ends
            self.missed += left

    def relent(self) -> None:
        """Let every process that is stopped run on, and none crash any more."""
        crash_points.disarm(self._crash_point)
        for process_id in self._stopped:
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGCONT)
        self._stopped.clear()

    async def _do(self, fault: Fault, beside: trio.Nursery) -> bool:
        for _ in range(TRIES_MAX):
            in_flight = self._shop.under_way
            if in_flight and fault.kind == "crash":
                return await self._crash(fault, in_flight)
            if in_flight and self._strike(fault, beside):
                self._note(fault, in_flight)
                return True
            await trio.sleep(PUT_OFF_S)
        return False

    async def _crash(self, fault: Fault, in_flight: int) -> bool:
        """Have a process die at a step; whether one came there in time."""
        crash_points.arm(self._crash_point, fault.target)
        for _ in range(TRIES_MAX):
            in_flight = self._shop.under_way or in_flight
            await trio.sleep(PUT_OFF_S)
            if not crash_points.is_armed(self._crash_point):
                self._note(fault, in_flight)
                return True
        crash_points.disarm(self._crash_point)
        return False

    def _note(self, fault: Fault, in_flight: int, at: float | None = None) -> None:
        at_s = (trio.current_time() if at is None else at) - self._began_at
        self.done.append(
            Done(at_s=round(at_s, 3), kind=fault.kind, target=fault.target, in_flight=in_flight)
        )

    def _strike(self, fault: Fault, beside: trio.Nursery) -> bool:
        """Do a fault from outside; whether there was something to do it to."""
        if fault.kind == "clock":
            self._clock.step(fault.seconds)
            return True
        process_id = self._process(fault.target)
        if process_id is None or process_id in self._stopped:
            return False
        try:
            os.kill(process_id, self._signal(fault))
        except ProcessLookupError:
            return False
        if fault.kind == "stop":
            self._stopped.add(process_id)
            beside.start_soon(self._run_on, process_id, fault.seconds)
        return True

    def _signal(self, fault: Fault) -> signal.Signals:
        match fault.kind:
            case "kill":
                return signal.SIGKILL
            case "stop":
                return signal.SIGSTOP
            case "restart" if fault.target == "postgres":
                return signal.SIGINT  # its fast shutdown: sessions are ended, all is written
            case _:
                return signal.SIGTERM

    def _process(self, target: str) -> int | None:
        """The process id of a target now, None while it is not there."""
        try:
            processes = self._stack.refresh().processes
        except NotRunningError:
            return None
        if target != SESSION:
            return processes.get(target)
        sessions = _sessions(processes.get("postgres"))
        return self._chance.choice(sessions) if sessions else None

    async def _run_on(self, process_id: int, after_s: float) -> None:
        await trio.sleep(after_s)
        if process_id in self._stopped:
            self._stopped.discard(process_id)
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGCONT)

    async def _mark(self, fault: Fault) -> None:
        """Make the payment that brings about a fault of its network, until one is taken."""
        self.missed.append(fault)  # until it is done
        for attempt in range(MARKED_TRIES_MAX):
            story = marked_story(
                self._seed,
                MARKED_NUMBER + MARKED_TRIES_MAX * fault.index + attempt,
                network=fault.target,
                amount=fault.amount,
                message=fault.message,
            )
            began, in_flight = trio.current_time(), self._shop.under_way + 1  # its own
            if await self._shop.play(story):
                self.missed.remove(fault)
                self._note(fault, in_flight, began)
                return


def _sessions(postmaster: int | None) -> list[int]:
    """The processes of Postgres that serve a client, sorted."""
    found: list[int] = []
    for child in [] if postmaster is None else _children(postmaster):
        with suppress(OSError):
            title = Path(f"/proc/{child}/cmdline").read_bytes().rstrip(b"\0 ")
            if title.startswith(b"postgres: turnout_") and not title.endswith(_LOGGING_IN):
                found.append(child)
    return sorted(found)


def _children(process_id: int) -> list[int]:
    try:
        text = Path(f"/proc/{process_id}/task/{process_id}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]
