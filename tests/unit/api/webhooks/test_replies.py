"""Answers are read as far as they matter, whatever an endpoint sends."""

from __future__ import annotations

import pytest

from api.webhooks.replies import ReplyError, ReplyReader

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 204 No\r\n\r\n"


def read(*parts: bytes, bytes_max: int = 1_000) -> ReplyReader:
    """A reader that was fed these."""
    reader = ReplyReader(bytes_max)
    for part in parts:
        reader.feed(part)
    return reader


@pytest.mark.parametrize(
    ("answer", "status", "followed"),
    [
        (PLAIN, 200, True),
        (CHUNKED, 204, True),
        (b"HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 500, False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN, 200, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, True),
        (PLAIN + PLAIN, 200, False),
        (PLAIN + b"rubbish", 200, False),
    ],
)
def test_an_answer_is_the_same_whole_or_in_pieces(
    answer: bytes, *, status: int, followed: bool
) -> None:
    """One byte at a time too, up to where it is whole."""
    whole = read(answer)
    assert (whole.status, whole.is_whole, whole.can_be_followed) == (status, True, followed)
    pieces = ReplyReader(1_000)
    for byte in answer:
        pieces.feed(bytes([byte]))
    assert (pieces.status, pieces.is_whole, pieces.can_be_followed) == (status, True, followed)


def test_an_answer_that_ends_with_its_connection_counts() -> None:
    """But the connection is of no more use."""
    reader = read(b"HTTP/1.1 200 OK\r\n\r\nwords")
    assert not reader.is_whole
    reader.end()
    assert (reader.status, reader.is_whole, reader.can_be_followed) == (200, True, False)


def test_an_answer_without_end_is_cut() -> None:
    """After as many bytes as are read; its status is known by then."""
    reader = read(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x" * 990)
    assert (reader.status, reader.is_cut, reader.can_be_followed) == (200, True, False)
    endless = read(*[b"HTTP/1.1 200 OK\r\n"], *[b"A: b\r\n" * 10] * 20)
    assert endless.is_cut


@pytest.mark.parametrize(
    "rubbish", [b"SSH-2.0-x\r\n", b"\x16\x03\x01\x02\x00", b"HTTP/1.1 200 OK\r\nA: b\r\n" * 400]
)
def test_what_is_no_answer_is_told(rubbish: bytes) -> None:
    """Without repeating it."""
    with pytest.raises(ReplyError) as caught:
        read(rubbish, bytes_max=100_000)
    assert str(caught.value) == "not HTTP"


def test_a_connection_that_ends_first_is_no_answer() -> None:
    """Neither before the head nor within it."""
    for begun in (b"", b"HTTP/1.1 200"):
        reader = read(begun) if begun else ReplyReader(10)
        with pytest.raises(ReplyError):
            reader.end()
