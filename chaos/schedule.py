"""The faults of a run, drawn from its seed. Pure.

Everything that can fail stands in a deck, which is shuffled and dealt; when it is empty it is
shuffled again. So a short run sees many kinds of fault and a long one sees all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final

from attrs import field, frozen

from chaos.stories import OperationType
from chassis.crash_points import (
    AFTER_APPEND,
    AFTER_FEEDBACK,
    AUDIT_POINTS,
    BEFORE_APPEND,
    POINTS,
    STREAM_POINTS,
)

FIRST_AT_S: Final = 2.0  # the load is level by then
BEFORE_END_S: Final = 2.0  # without a new fault
PAUSE_MIN_S: Final = 0.8
PAUSE_MAX_S: Final = 2.6
MARKED_AMOUNT: Final = 1_000_000  # and up: amounts that no other payment has
NETWORKS: Final = ("vsim", "msim")
# Of the switch, then of the relay and of the audit log, which follow payments.
CRASH_POINTS: Final = (
    *POINTS,
    *STREAM_POINTS,
    *(BEFORE_APPEND, AFTER_APPEND, AFTER_FEEDBACK),
    *AUDIT_POINTS,
)

# What a network may do to a message or its answer, by the kind that the report has.
NETWORK_KINDS: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "cut": tuple(
        {"do": "close", "when": when, "how": how}
        for when in ("before", "middle", "after")
        for how in ("rst", "fin")
    ),
    "corrupt": (
        *({"do": "corrupt", "how": how} for how in ("byte", "digit", "bit", "mti", "empty")),
        {"do": "corrupt", "how": "truncated", "count": 7},
        {"do": "corrupt", "how": "trailing", "count": 5},
        {"do": "lie", "by": 3},
    ),
    "drop": ({"do": "ignore"}, {"do": "withhold"}),
    "delay": tuple({"do": "delay", "s": seconds} for seconds in (0.5, 1.5, 2.5, 3.5)),
    "repeat": (
        {"do": "duplicate", "times": 2, "after_s": 0.2},
        {"do": "duplicate", "times": 1, "after_s": 0.3, "code": "05"},
    ),
    "alter": (
        {"do": "alter", "wrong": [4]},
        {"do": "alter", "wrong": [11]},
        {"do": "alter", "wrong": [37]},
    ),
    "misroute": (
        {"do": "elsewhere"},
        {"do": "split", "bytes": 3, "every_s": 0.01},
        {"do": "merge", "frames": 3, "within_s": 0.5},
        {"do": "reorder", "window": 4, "within_s": 0.5},
    ),
    "overtake": ({"do": "postpone", "s": 1.0}, {"do": "postpone", "s": 4.0}, {"do": "redeliver"}),
    "stall": ({"do": "stall", "s": 1.5},),
    "stray": ({"do": "unsolicited"}, {"do": "keep_alives", "count": 5}),
}
MESSAGES: Final[tuple[OperationType, ...]] = ("charge", "capture", "cancel", "refund")


@frozen(kw_only=True)
class Fault:
    """One fault to come.

    Attributes:
        index: its place in the schedule.
        at_s: when, from the beginning of the load.
        kind: kill, stop, restart, end, clock, crash, or one of `NETWORK_KINDS`.
        target: a process, a network, `clock`, or the crash point that a process dies at.
        seconds: how long a process is stopped, or how far the clock steps.
        amount: of the payment that brings it about; 0 = it is done from outside.
        message: at which of that payment's messages.
        action: what the network does, as a fault script has it.
    """

    index: int
    at_s: float
    kind: str
    target: str
    seconds: float = 0.0
    amount: int = 0
    message: OperationType = "charge"
    action: dict[str, Any] = field(factory=dict)


def schedule(seed: int, duration_s: float, processes: Sequence[str]) -> list[Fault]:
    """Every fault of a run, in order of time.

    Args:
        seed: of the run.
        duration_s: how long there is load.
        processes: names of the stack's processes, as `endpoints.json` has them.
    """
    chance = Random(f"chaos {seed} faults")
    cards = _dealt(chance, sorted(processes))
    faults: list[Fault] = []
    at_s = FIRST_AT_S
    while at_s <= duration_s - BEFORE_END_S:
        kind, target = next(cards)
        faults.append(_fault(chance, len(faults), round(at_s, 3), kind, target))
        at_s += chance.uniform(PAUSE_MIN_S, PAUSE_MAX_S)
    return faults


def _dealt(chance: Random, processes: Sequence[str]) -> Iterator[tuple[str, str]]:
    deck = [("kill", name) for name in processes]
    deck += [("restart", name) for name in processes]
    deck += [("stop", name) for name in processes if name != "postgres"]
    deck += [("kill", "postgres-session"), ("end", "postgres-session"), ("clock", "clock")]
    deck += [("crash", point) for point in CRASH_POINTS]
    deck += [(kind, network) for kind in NETWORK_KINDS for network in NETWORKS]
    while True:
        chance.shuffle(deck)
        yield from deck


def _fault(chance: Random, index: int, at_s: float, kind: str, target: str) -> Fault:
    if kind in NETWORK_KINDS:
        messages = MESSAGES if target == "msim" else ("charge", "refund")
        return Fault(
            index=index,
            at_s=at_s,
            kind=kind,
            target=target,
            amount=MARKED_AMOUNT + index,
            message=chance.choice(messages),
            action=_complete(chance.choice(NETWORK_KINDS[kind])),
        )
    seconds = 0.0
    if kind == "stop":
        seconds = chance.choice((0.5, 1.0, 2.0, 3.0))
        if target.startswith("switch") and chance.random() < 0.25:
            seconds = 9.0  # longer than it may send on its lease
    elif kind == "clock":
        seconds = chance.choice((-3.0, 30.0, 90.0))
    return Fault(index=index, at_s=at_s, kind=kind, target=target, seconds=seconds)


def _complete(action: dict[str, Any]) -> dict[str, Any]:
    """An action with what its kind needs besides."""
    if action.get("how") == "mti":
        return {**action, "value": "0990"}
    return action
