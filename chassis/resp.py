"""RESP2, the protocol of Redis and Valkey, sans-IO: https://redis.io/docs/reference/protocol-spec.

A command is an array of byte strings. A reply is a status or an error of one line, an integer, a
byte string or nothing, or an array of these.
"""

from __future__ import annotations

from typing import Final, TypeAlias

Argument = bytes | float | str
Reply: TypeAlias = "bytes | int | list[Reply] | ReplyError | None"

REPLY_BYTES_MAX: Final = 1_048_576  # ours are a few kilobytes; more is another protocol
_CRLF: Final = b"\r\n"
_DEPTH_MAX: Final = 4


class RespError(Exception):
    """What arrived is no RESP."""


class ReplyError(Exception):
    """The server refused a command; the text is its own."""


class _IncompleteError(Exception):
    """A reply has not arrived whole."""


def command(*parts: Argument) -> bytes:
    """One command as it is sent."""
    encoded = [_encode(part) for part in parts]
    pieces = [b"*%d\r\n" % len(encoded)]
    pieces += [b"$%d\r\n%b\r\n" % (len(part), part) for part in encoded]
    return b"".join(pieces)


def _encode(part: Argument) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode()


class ReplyReader:
    """Cuts replies out of what arrives."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Reply]:
        """Take bytes; the replies that are whole by now.

        Raises:
            RespError: it is no RESP, or a reply is too large.
        """
        self._buffer += data
        replies: list[Reply] = []
        try:
            while self._buffer:
                reply, end = _read(self._buffer, 0, _DEPTH_MAX)
                replies.append(reply)
                self._buffer = self._buffer[end:]
        except _IncompleteError:
            if len(self._buffer) > REPLY_BYTES_MAX:
                raise RespError("a reply is too large") from None
        return replies


def _read(data: bytes, at: int, depth: int) -> tuple[Reply, int]:
    """One reply and where it ends."""
    line_end = data.find(_CRLF, at)
    if line_end < 0:
        raise _IncompleteError
    kind, line, end = data[at : at + 1], data[at + 1 : line_end], line_end + 2
    if kind == b"+":
        return line, end
    if kind == b"-":
        return ReplyError(line.decode(errors="replace")), end
    number = _number(line)
    if kind == b":":
        return number, end
    if kind == b"$":
        return _read_bytes(data, end, number)
    if kind == b"*":
        return _read_array(data, end, number, depth)
    raise RespError("a reply of no known kind")


def _read_bytes(data: bytes, at: int, length: int) -> tuple[Reply, int]:
    if length < 0:
        return None, at
    end = at + length
    if length > REPLY_BYTES_MAX:
        raise RespError("a reply is too large")
    if len(data) < end + 2:
        raise _IncompleteError
    if data[end : end + 2] != _CRLF:
        raise RespError("a string does not end where it should")
    return data[at:end], end + 2


def _read_array(data: bytes, at: int, length: int, depth: int) -> tuple[Reply, int]:
    if length < 0:
        return None, at
    if not depth:
        raise RespError("a reply is nested too deeply")
    items: list[Reply] = []
    for _ in range(length):
        item, at = _read(data, at, depth - 1)
        items.append(item)
    return items, at


def _number(line: bytes) -> int:
    digits = line.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 19:
        raise RespError("a number that is none")
    return int(line)
