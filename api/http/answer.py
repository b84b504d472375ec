"""Answers as bytes: what never changes is built once, what changes is joined in one step."""

from __future__ import annotations

import secrets
from binascii import hexlify
from collections.abc import Callable
from email.utils import formatdate
from math import inf
from typing import Final

from msgspec import Struct

from api.errors import Problem, document
from chassis.clock import now_s

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
REPLAYED: Final = b"Idempotent-Replayed: true\r\n"  # the key had been used by this request

REASONS: Final = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class Head(Struct, frozen=True):
    """The part of an answer's head that is the same for every answer of its kind."""

    status: int
    lines: bytes  # status line and headers, each ended by CRLF


def prepare_head(
    status: int, content_type: str, *headers: tuple[str, str], cache: str = "no-store"
) -> Head:
    """Build a head once, at start-up; `cache` is the value of Cache-Control."""
    lines = [
        f"HTTP/1.1 {status} {REASONS[status]}",
        f"Content-Type: {content_type}",
        f"Cache-Control: {cache}",
        "X-Content-Type-Options: nosniff",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return Head(status, "".join(line + "\r\n" for line in lines).encode("ascii"))


class Answer(Struct, frozen=True, gc=False):
    """One answer: a prepared head, a body and header lines of its own, each ended by CRLF."""

    head: Head
    body: bytes
    extra: bytes = b""
    close: bool = False  # the connection cannot be used any more


def answer_bytes(
    answer: Answer, *, request_id: bytes, date: bytes, close: bool, without_body: bool
) -> bytes:
    """What goes to the socket. An answer to HEAD has the length of the body it leaves out."""
    body = answer.body
    return b"%b%bX-Request-Id: %b\r\n%b%bContent-Length: %d\r\n\r\n%b" % (
        answer.head.lines,
        date,
        hexlify(request_id),
        answer.extra,
        b"Connection: close\r\n" if close else b"",
        len(body),
        b"" if without_body else body,
    )


def _problem_head(status: int) -> Head:
    challenge = (("WWW-Authenticate", 'Bearer realm="turnout"'),) if status == 401 else ()
    return prepare_head(status, PROBLEM_JSON, *challenge)


_PROBLEM_HEADS: Final = {status: _problem_head(status) for status in REASONS if status >= 400}


def problem_answer(problem: Problem, request_id: str) -> Answer:
    """A problem as an answer, with the headers that its status calls for."""
    extra = b""
    if problem.retry_after_s:
        extra = b"Retry-After: %d\r\n" % problem.retry_after_s
    if problem.allow:
        extra += b"Allow: %b\r\n" % problem.allow.encode("ascii")
    head = _PROBLEM_HEADS[problem.status]
    return Answer(head, document(problem, request_id), extra, problem.close)


class DateLine:
    """The Date header (RFC 9110 section 6.6.1), written anew only when the second changes.

    The wall clock is asked once a second; where it is stepped, this line follows within one.
    """

    __slots__ = ("_clock", "_line", "_next_at")

    def __init__(self, clock: Callable[[], float] = now_s) -> None:
        self._clock = clock
        self._line = b""
        self._next_at = -inf

    def at(self, monotonic_s: float) -> bytes:
        """`Date: …` with its CRLF."""
        if monotonic_s >= self._next_at:
            now = self._clock()
            self._next_at = monotonic_s + 1 - now % 1
            self._line = b"Date: %b\r\n" % formatdate(int(now), usegmt=True).encode("ascii")
        return self._line


class RequestIds:
    """Random 16-byte request ids, drawn from the system's generator in blocks."""

    __slots__ = ("_at", "_block", "_random")

    BLOCK_BYTES: Final = 4_096

    def __init__(self, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._random = random
        self._block = b""
        self._at = 0

    def next(self) -> bytes:
        """The next id, 16 bytes."""
        at = self._at
        if at == len(self._block):
            self._block = self._random(self.BLOCK_BYTES)
            at = 0
        self._at = at + 16
        return self._block[at : at + 16]
