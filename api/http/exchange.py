"""One request and the answer it gets: what handlers are given."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from api.errors import Problem
from api.http.answer import Answer, problem_answer
from api.http.parser import Request


class Replies(Protocol):
    """Where an answer goes: the connection that the request came on."""

    def answered(self, exchange: Exchange, answer: Answer) -> bool:
        """Write the answer when its turn comes; False if the connection is gone."""


class Exchange(Struct, gc=False, eq=False):
    """One request and the answer it gets.

    `gc=False`: its connection holds it until it is written, and lets go of all when it ends.

    Attributes:
        replies: where the answer goes.
        request: as parsed.
        request_id: 16 bytes; `X-Request-Id` is their hexadecimal form.
        arrived_at: monotonic seconds.
        last: the connection ends with this answer.
        route: label of the matched route, for metrics.
        peer: the address at the other end of the connection, as text.
        wire: the answer as bytes, once there is one.
    """

    replies: Replies
    request: Request
    request_id: bytes
    arrived_at: float
    last: bool
    route: str = ""
    peer: str = ""
    wire: bytes | None = None

    def answer(self, answer: Answer) -> bool:
        """Give the answer; False if one was given before or the connection is gone."""
        if self.wire is not None:
            return False
        return self.replies.answered(self, answer)

    def problem(self, problem: Problem) -> bool:
        """Answer with a problem."""
        return self.answer(problem_answer(problem, self.request_id.hex()))
