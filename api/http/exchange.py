"""One request and the answer it gets: what handlers are given."""

from __future__ import annotations

from typing import Protocol

from api.errors import Problem
from api.http.answer import Answer, problem_answer
from api.http.parser import Request


class Replies(Protocol):
    """Where an answer goes: the connection that the request came on."""

    def answered(self, exchange: Exchange, answer: Answer) -> bool:
        """Write the answer when its turn comes; False if the connection is gone."""


class Exchange:
    """One request and the answer it gets.

    Attributes:
        request: as parsed.
        request_id: 16 bytes; `X-Request-Id` is their hexadecimal form.
        arrived_at: monotonic seconds.
        route: label of the matched route, for metrics.
        wire: the answer as bytes, once there is one.
    """

    __slots__ = ("_connection", "arrived_at", "last", "request", "request_id", "route", "wire")

    def __init__(
        self, connection: Replies, request: Request, request_id: bytes, arrived_at: float
    ) -> None:
        self._connection = connection
        self.request = request
        self.request_id = request_id
        self.arrived_at = arrived_at
        self.route = ""
        self.wire: bytes | None = None
        self.last = not request.keep_alive

    def answer(self, answer: Answer) -> bool:
        """Give the answer; False if one was given before or the connection is gone."""
        if self.wire is not None:
            return False
        return self._connection.answered(self, answer)

    def problem(self, problem: Problem) -> bool:
        """Answer with a problem."""
        return self.answer(problem_answer(problem, self.request_id.hex()))
