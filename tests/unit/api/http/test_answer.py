"""Answers as bytes."""

from __future__ import annotations

import json

import pytest

from api.errors import CATALOG, Problem
from api.http.answer import (
    JSON,
    REASONS,
    Answer,
    DateLine,
    RequestIds,
    answer_bytes,
    prepare_head,
    problem_answer,
)

DATE = b"Date: now\r\n"


def wire(answer: Answer, *, close: bool = False, without_body: bool = False) -> tuple[str, bytes]:
    """Head and body of an answer."""
    data = answer_bytes(
        answer, request_id=b"\x0a\xbc", date=DATE, close=close, without_body=without_body
    )
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode(), body


def test_an_answer_is_whole() -> None:
    """Status line, fixed headers, date, request id, own headers, length, body."""
    answer = Answer(prepare_head(201, JSON, ("X-A", "b")), b"{}", b"Location: /a\r\n")
    head, body = wire(answer)
    assert head.split("\r\n") == [
        "HTTP/1.1 201 Created",
        "Content-Type: application/json",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "X-A: b",
        "Date: now",
        "X-Request-Id: 0abc",
        "Location: /a",
        "Content-Length: 2",
    ]
    assert body == b"{}"


def test_the_last_answer_says_so_and_head_has_no_body() -> None:
    """`Connection: close`; the length of what is left out stays."""
    answer = Answer(prepare_head(200, JSON), b"{}")
    assert "Connection: close" in wire(answer, close=True)[0]
    head, body = wire(answer, without_body=True)
    assert "Content-Length: 2" in head
    assert body == b""


@pytest.mark.parametrize("code", CATALOG)
def test_every_problem_can_be_answered(code: str) -> None:
    """Status, reason and body belong together; only 401 carries a challenge."""
    head, body = wire(problem_answer(Problem(code), "id"))
    status = CATALOG[code].status
    assert head.startswith(f"HTTP/1.1 {status} {REASONS[status]}\r\n")
    assert json.loads(body)["code"] == code
    assert ("WWW-Authenticate: Bearer" in head) == (status == 401)


def test_problems_bring_their_headers() -> None:
    """Retry-After and Allow, where there is something to say."""
    head, _ = wire(problem_answer(Problem("overloaded", retry_after_s=3), "id"))
    assert "Retry-After: 3" in head
    head, _ = wire(problem_answer(Problem("method_not_allowed", allow="GET"), "id"))
    assert "Allow: GET" in head


def test_the_date_is_written_once_a_second() -> None:
    """And as RFC 9110 wants it."""
    read: list[float] = []

    def clock() -> float:
        read.append(1_767_323_045.25 + len(read))
        return read[-1]

    date = DateLine(clock)
    first = date.at(10.0)
    assert first == b"Date: Fri, 02 Jan 2026 03:04:05 GMT\r\n"
    assert date.at(10.7) is first
    assert len(read) == 1
    assert date.at(10.75) == b"Date: Fri, 02 Jan 2026 03:04:06 GMT\r\n"


def test_the_date_follows_a_clock_that_is_set_back() -> None:
    """Within a second: the line is good until the second it names would be over."""
    now = [1_767_323_045.5]
    date = DateLine(lambda: now[0])
    first = date.at(10.0)
    now[0] -= 3_600
    assert date.at(10.4) is first
    assert date.at(10.5) == b"Date: Fri, 02 Jan 2026 02:04:05 GMT\r\n"


def test_request_ids_are_drawn_in_blocks_and_never_repeat() -> None:
    """Each takes sixteen bytes of its own."""
    drawn: list[int] = []

    def random(count: int) -> bytes:
        drawn.append(count)
        return b"".join(bytes([len(drawn), at % 256, at // 256]) for at in range(count))[:count]

    ids = RequestIds(random)
    given = [ids.next() for _ in range(600)]
    assert len(set(given)) == 600
    assert {len(each) for each in given} == {16}
    assert drawn == [RequestIds.BLOCK_BYTES] * 3
