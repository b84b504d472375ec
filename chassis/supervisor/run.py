"""The supervisor's shell: carries out what `Lifecycle` decides, on Trio.

One task drives the machine; each living unit has a task of its own that reports back through a
bounded channel; one task listens for signals. Only this process handles SIGINT, SIGTERM and
SIGHUP: children sit in sessions of their own, where a terminal's Ctrl-C does not reach them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence

import trio

from chassis.log import get_logger
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
    UnitReady,
)
from chassis.supervisor.lifecycle import Lifecycle, Phase
from chassis.supervisor.units import Unit

# Process ids by unit key, told whenever every unit is ready.
Publish = Callable[[Mapping[str, int]], None]

_EVENTS_PER_UNIT = 2  # ready and ended; it cannot report more before it is started again
_STOP_REQUESTS = 2  # a third request to stop would change nothing

_log = get_logger(__name__)


async def supervise(
    units: Sequence[Unit],
    *,
    settings: Supervisor,
    publish: Publish,
    stop: trio.Event | None = None,
) -> int:
    """Run a stack until it has stopped.

    Args:
        units: what to run; see `UnitPlan` for their order.
        settings: time-outs and limits.
        publish: called with the process ids when all are ready, and again after each restart.
        stop: set by the caller to have the stack drained, as a first signal does.

    Returns:
        The exit status: 0 stopped as asked, 1 something had to be killed, 3 it could not start,
        130 asked to stop twice.

    Raises:
        ValueError: plans that could never all become ready.
    """
    shell = _Shell(units, settings, publish)
    async with trio.open_nursery() as nursery:
        await nursery.start(shell.listen_for_signals)
        if stop is not None:
            nursery.start_soon(shell.listen_for_event, stop)
        await shell.drive(nursery)
        nursery.cancel_scope.cancel(reason="the stack has stopped")
    return shell.lifecycle.exit_code


class _Shell:
    def __init__(self, units: Sequence[Unit], settings: Supervisor, publish: Publish) -> None:
        self.lifecycle = Lifecycle([unit.plan for unit in units], settings)
        self._units = {unit.plan.key: unit for unit in units}
        self._publish = publish
        capacity = _EVENTS_PER_UNIT * len(units) + _STOP_REQUESTS + 1  # the caller's own request
        self._report, self._reports = trio.open_memory_channel[Event](capacity)

    async def drive(self, nursery: trio.Nursery) -> None:
        """Feed the machine and carry out its effects until it is finished."""
        event: Event = Begin()
        while True:
            for effect in self.lifecycle.handle(event, trio.current_time()):
                self._carry_out(effect, nursery)
            if self.lifecycle.phase is Phase.FINISHED:
                return
            event = TimePassed()
            with trio.move_on_at(self.lifecycle.next_deadline_s):
                event = await self._reports.receive()

    def _carry_out(self, effect: Effect, nursery: trio.Nursery) -> None:
        match effect:
            case Start(key):
                nursery.start_soon(self._live, self._units[key])
            case Drain(key):
                self._units[key].drain()
            case Kill(key):
                self._units[key].kill()
            case Say(level, text, _):
                _say(level, text)
            case StackReady():
                self._publish(
                    {
                        key: unit.process_id
                        for key, unit in self._units.items()
                        if unit.process_id is not None
                    }
                )

    async def _live(self, unit: Unit) -> None:
        key = unit.plan.key
        ending = await unit.run(lambda: self._report.send_nowait(UnitReady(key)))
        self._report.send_nowait(UnitEnded(key, ending.how, ending.well))

    async def listen_for_signals(
        self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Turn the first two signals into requests to stop; swallow the rest."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks to survive it
            numbers.append(signal.SIGHUP)
        requests = 0
        with trio.open_signal_receiver(*numbers) as signals:
            task_status.started()
            async for number in signals:
                requests += 1
                if requests <= _STOP_REQUESTS:
                    _log.info("asked to stop", signal=signal.Signals(number).name)
                    self._report.send_nowait(StopAsked())

    async def listen_for_event(self, stop: trio.Event) -> None:
        """Turn the caller's event into a request to stop."""
        await stop.wait()
        if self.lifecycle.phase in (Phase.STARTING, Phase.RUNNING):
            self._report.send_nowait(StopAsked())


def _say(level: Level, text: str) -> None:
    if level is Level.ERROR:
        _log.error(text)
    elif level is Level.WARNING:
        _log.warning(text)
    else:
        _log.info(text)
