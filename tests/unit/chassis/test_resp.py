"""Replies of a Redis, cut out of whatever pieces they arrive in."""

from __future__ import annotations

import pytest

from chassis.resp import REPLY_BYTES_MAX, Reply, ReplyError, ReplyReader, RespError, command

WIRE = b"+OK\r\n:-12\r\n$3\r\na\r\n\r\n$-1\r\n*3\r\n:1\r\n*1\r\n$0\r\n\r\n*-1\r\n"
REPLIES: list[Reply] = [b"OK", -12, b"a\r\n", None, [1, [b""], None]]


def test_a_command_is_an_array_of_strings() -> None:
    """Bytes as they are, all else as text."""
    assert command("SET", b"\r\n", 12, 1.5) == (
        b"*4\r\n$3\r\nSET\r\n$2\r\n\r\n\r\n$2\r\n12\r\n$3\r\n1.5\r\n"
    )


@pytest.mark.parametrize("size", [1, 2, 7, len(WIRE)])
def test_replies_arrive_in_any_pieces(size: int) -> None:
    """Of every kind, byte by byte or at once."""
    reader = ReplyReader()
    replies: list[Reply] = []
    for at in range(0, len(WIRE), size):
        replies += reader.feed(WIRE[at : at + size])
    assert replies == REPLIES


def test_an_error_is_a_reply() -> None:
    """It is not raised here: the one who asked must hear it in its turn."""
    [error] = ReplyReader().feed(b"-NOSCRIPT No matching script\r\n")
    assert isinstance(error, ReplyError)
    assert str(error) == "NOSCRIPT No matching script"


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b":one\r\n",
        b":\r\n",
        b":--1\r\n",
        b"$99999999999999999999\r\n",
        b"$1\r\nabc\r\n",
        b"$%d\r\n" % (REPLY_BYTES_MAX + 1),
        b"*1\r\n" * 6 + b":1\r\n",
        b"+" + b"x" * (REPLY_BYTES_MAX + 1),
    ],
)
def test_what_is_no_reply_is_refused(wire: bytes) -> None:
    """Other protocols, bad numbers, and what would take too much memory or depth."""
    with pytest.raises(RespError):
        ReplyReader().feed(wire)
