"""Messages that belong to no payment and wait for their answer, such as an 0500."""

from __future__ import annotations

from typing import Any

import attrs
import trio

from switch.link.events import Answered, Fields, Late, LinkEvent, NotSent, Unknown


@attrs.define(eq=False)
class Question:
    """The token of such a message.

    Attributes:
        answer: what came; None = nothing, or nothing yet.
        settled: set when its fate is known.
    """

    answer: Fields | None = None
    settled: trio.Event = attrs.field(factory=trio.Event)


def settle_questions(events: list[LinkEvent]) -> list[LinkEvent]:
    """Settle the questions among events; those that are about anything else."""
    others: list[LinkEvent] = []
    for event in events:
        token: Any = None
        if isinstance(event, Answered | Unknown | NotSent | Late):
            token = event.token
        if not isinstance(token, Question):
            others.append(event)
        elif not token.settled.is_set():
            token.answer = event.fields if isinstance(event, Answered) else None
            token.settled.set()
    return others
