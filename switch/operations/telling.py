"""Having decided what a finding about an attempt does, whoever found it out.

An answer in time, silence, a late answer, one that matches nothing in flight, an inquiry, recovery,
an operator: each is told here, and the desk of the attempt's switch decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from ledger.records import Lost
from switch.core.findings import Finding
from switch.core.numbers import NumbersExhaustedError
from switch.core.operations.records import Conclusion, Context, NetworkRules
from switch.core.operations.steps import Settle
from switch.operations.desk import Desk
from switch.operations.drawing import Drawing
from switch.operations.errands import OperationCounts

POSTPONED_MAX: Final = 8_192  # findings that wait for a STAN: seconds of a ledger that is away

Concluded = Callable[[Conclusion | Lost], None]


def nobody(_answer: Conclusion | Lost) -> None:
    """Stand where nobody waits for a conclusion."""


@attrs.frozen
class About:
    """An attempt that something was found out about, and the desk that decides on it."""

    intent_id: bytes
    attempt_id: bytes
    network: str
    desk: Desk


class Telling:
    """Makes steps of findings.

    Args:
        drawing: numbers for what a decision may call for.
        rules: for deciders, by network name.
        queued: called when a decision has put an advice into the queue.
        counts: all operations'.
        now_us: the time of day, microseconds since 1970.
        steady_us: the clock of waits, likewise.
    """

    def __init__(
        self,
        *,
        drawing: Drawing,
        rules: Mapping[str, NetworkRules],
        queued: Callable[[], None],
        counts: OperationCounts,
        now_us: Callable[[], int],
        steady_us: Callable[[], int],
    ) -> None:
        self._drawing = drawing
        self._rules = rules
        self._queued = queued
        self._counts = counts
        self._now_us = now_us
        self._steady_us = steady_us
        self._postponed: deque[tuple[About, Finding, str, Concluded, bool]] = deque()

    @property
    def postponed(self) -> int:
        """Findings that wait for a STAN."""
        return len(self._postponed)

    def tell(
        self,
        about: About,
        finding: Finding,
        actor: str,
        concluded: Concluded = nobody,
        *,
        second: bool = False,
    ) -> None:
        """Tell a finding; `concluded` hears what was decided once that is durable.

        `second`: an answer came before it, and must have been recorded.

        While there is no STAN for what the decision may call for, the finding waits for one.

        Raises:
            NumbersExhaustedError: too many wait already.
        """
        try:
            spare = self._drawing.spare(about.network, about.desk.take_ids(1)[0])
        except NumbersExhaustedError:
            if len(self._postponed) >= POSTPONED_MAX:
                raise
            self._postponed.append((about, finding, actor, concluded, second))
            return
        rules = self._rules[about.network]
        context = Context(self._now_us(), self._steady_us(), actor, rules, spare)
        step = Settle(about.intent_id, about.attempt_id, context, finding=finding, second=second)
        about.desk.submit(step, lambda answer: self._told(answer, concluded))

    def tell_postponed(self) -> None:
        """Try what waits for numbers again; called on a timer."""
        for _ in range(len(self._postponed)):
            about, finding, actor, concluded, second = self._postponed.popleft()
            self.tell(about, finding, actor, concluded, second=second)

    def _told(self, answer: Conclusion | Lost, concluded: Concluded) -> None:
        if isinstance(answer, Conclusion):
            self._counts.exceptions_total += answer.exceptions
            if answer.queued:
                self._queued()
        concluded(answer)
