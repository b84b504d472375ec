"""HTTP/1.1 from the asking side, cut at every byte."""

from __future__ import annotations

import pytest

from turnout_client.http1 import AnswerReader, HTTPError, encode_request
from turnout_client.protocol import ANSWER_BYTES_MAX, Answer, Request

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'1\r\n{\r\nA;name=value\r\n"a": "bcd"\r\n1 \r\n}\r\n0\r\n'
)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"


def _read(data: bytes, size: int) -> tuple[Answer | None, AnswerReader]:
    reader, answer = AnswerReader(), None
    for start in range(0, len(data), size):
        assert answer is None, "the answer was whole before its end"
        answer = reader.feed(data[start : start + size])
    return answer, reader


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize(
    ("data", "body"),
    [
        (PLAIN, b"{}"),
        (INTERIM + PLAIN, b"{}"),
        (CHUNKED + b"\r\n", b'{"a": "bcd"}'),
        (CHUNKED + b"Expires: never\r\n\r\n", b'{"a": "bcd"}'),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
def test_answers_do_not_depend_on_how_bytes_arrive(data: bytes, body: bytes, size: int) -> None:
    """Whole, one byte at a time, and in between; the connection may be used again."""
    answer, reader = _read(data, size)
    assert answer is not None
    assert (answer.body, reader.reusable) == (body, True)


def test_header_names_are_in_lower_case() -> None:
    """And values without the white space around them."""
    answer, _ = _read(b"HTTP/1.1 503 Busy\r\nRetry-AFTER: \t7 \r\ncontent-length:0\r\n\r\n", 5)
    assert answer == Answer(
        status=503, headers={"retry-after": "7", "content-length": "0"}, body=b""
    )


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.replace(b"Content-Type: application/json", b"Connection: close"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN + b"HTTP/1.1 408 Request Timeout\r\n",
        CHUNKED + b"\r\nmore",
    ],
)
def test_a_connection_that_is_done_is_not_used_again(data: bytes) -> None:
    """By its own word, by its age, or because it said more than it was asked."""
    answer, reader = _read(data, 10_000)
    assert answer is not None
    assert not reader.reusable


def test_a_body_may_end_with_the_connection() -> None:
    """Where its length stands nowhere."""
    reader = AnswerReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\n{") is None
    assert reader.feed(b"}") is None
    assert reader.end().body == b"{}"
    assert not reader.reusable


@pytest.mark.parametrize("data", [b"", PLAIN[:-1], PLAIN[:30], CHUNKED])
def test_an_answer_cut_short_is_an_error(data: bytes) -> None:
    """Half an answer must not pass for a whole one."""
    reader = AnswerReader()
    assert reader.feed(data) is None
    with pytest.raises(HTTPError, match="ended before the answer did"):
        reader.end()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "no HTTP/1.1 status line"),
        (b"HTTP/2 200 OK\r\n\r\n", "no HTTP/1.1 status line"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "no HTTP/1.1 status line"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "without a name"),
        (b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", "without a name"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}", "no such Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "no such Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "without a size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "longer than"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n", "more than"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 300, "without a size"),
        (b"H" * 70_000, "a head of more than"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(ANSWER_BYTES_MAX + 1), "more than"),
    ],
)
def test_what_is_no_answer_is_refused(data: bytes, reason: str) -> None:
    """Other protocols, broken heads, lying lengths, and more than anyone should send."""
    with pytest.raises(HTTPError, match=reason):
        AnswerReader().feed(data)


def test_a_request_is_written_as_it_was_signed() -> None:
    """Head, empty line, body; nothing is added."""
    request = Request(
        method="POST", target="/x?y", headers=(("Host", "h"), ("Content-Length", "2")), body=b"{}"
    )
    assert encode_request(request) == (
        b"POST /x?y HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
    )


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "sch\u00f6n"])
def test_a_header_cannot_carry_another(value: str) -> None:
    """Line ends and characters beyond ASCII never reach the wire."""
    request = Request(method="GET", target="/", headers=(("X-A", value),), body=b"")
    with pytest.raises(ValueError, match="printable ASCII"):
        encode_request(request)
