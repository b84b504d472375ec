"""What the supervisor's machine is told, and what it asks for: plain, frozen records."""

from __future__ import annotations

import enum

from attrs import frozen


@frozen(kw_only=True)
class UnitPlan:
    """One unit of a stack, as the machine sees it.

    Attributes:
        key: unique name, such as `hsm-0`.
        needs: keys of the units that must be ready, or done, before this one starts.
        stop_rank: lower ranks are drained first.
        once: a step: it is done when it ends well, and a failure ends the start.
        times_itself: it bounds its own start and stop (Postgres does), so no deadline of ours.
        optional: the stack is ready without it, and its failures never end a start.
    """

    key: str
    needs: tuple[str, ...] = ()
    stop_rank: int = 0
    once: bool = False
    times_itself: bool = False
    optional: bool = False


# Events: what happened.


@frozen
class Begin:
    """The run begins."""


@frozen
class UnitReady:
    """A unit says that it is ready."""

    key: str


@frozen
class UnitEnded:
    """A unit is gone; `how` in words, such as `signal 9 (SIGKILL)`."""

    key: str
    how: str
    well: bool = False  # of its own accord and without an error


@frozen
class StopAsked:
    """Somebody asked the stack to stop: a signal, mostly."""


@frozen
class TimePassed:
    """A deadline of the machine's may have passed."""


Event = Begin | UnitReady | UnitEnded | StopAsked | TimePassed


# Effects: what to do.


class Level(enum.Enum):
    """How loud to say something."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@frozen
class Start:
    """Start a unit."""

    key: str


@frozen
class Drain:
    """Ask a unit to finish what it has accepted and end."""

    key: str


@frozen
class Kill:
    """End a unit now."""

    key: str


@frozen
class Say:
    """Tell the operator."""

    level: Level
    text: str
    key: str  # of the unit it is about, or empty


@frozen
class StackReady:
    """Every unit is ready, for the first time or again after a restart."""


Effect = Start | Drain | Kill | Say | StackReady
