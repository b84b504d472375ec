"""HTTP/1.1 from the asking side, without I/O (RFC 9112): requests to bytes, bytes to answers.

Only what a Turnout server or a proxy before it sends: interim answers are skipped, bodies end by
Content-Length, by chunks, or by the end of the connection. Everything has a limit.
"""

from __future__ import annotations

import re
from typing import Final

from turnout_client.protocol import ANSWER_BYTES_MAX, Answer, Request

HEAD_BYTES_MAX: Final = 65_536
CHUNK_LINE_BYTES_MAX: Final = 256
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_BODILESS: Final = (204, 304)


class HTTPError(Exception):
    """The peer does not speak HTTP/1.1, or too much of it; names the rule."""


def encode_request(request: Request) -> bytes:
    """The request as it is sent.

    Raises:
        ValueError: a header or the target holds a control character.
    """
    lines = [f"{request.method} {request.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    if not all(line.isascii() and line.isprintable() for line in lines):
        raise ValueError("a request's head must be printable ASCII")
    return "\r\n".join((*lines, "", "")).encode("ascii") + request.body


class AnswerReader:
    """Reads one answer.

    Attributes:
        reusable: whether the connection may carry another request; known with the answer.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: tuple[int, dict[str, str]] | None = None
        self._length: int | None = None  # of the body; None = by chunks or to the end
        self._chunked = False
        self._body = bytearray()  # of chunks
        self.reusable = False

    def feed(self, data: bytes) -> Answer | None:
        """Take what was read; the answer once it is whole.

        Raises:
            HTTPError: it is no answer.
        """
        self._buffer += data
        while self._head is None:
            if not self._read_head():
                return None
        if len(self._buffer) + len(self._body) > ANSWER_BYTES_MAX:
            raise HTTPError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
        if self._chunked:
            return self._answer(bytes(self._body)) if self._read_chunks() else None
        if self._length is None or len(self._buffer) < self._length:
            return None
        self.reusable = self.reusable and len(self._buffer) == self._length
        return self._answer(bytes(self._buffer[: self._length]))

    def end(self) -> Answer:
        """Say that the connection has ended; the answer if its body ends thereby.

        Raises:
            HTTPError: it ended in the middle of an answer.
        """
        if self._head is None or self._chunked or self._length is not None:
            raise HTTPError("the connection ended before the answer did")
        self.reusable = False
        return self._answer(bytes(self._buffer))

    def _answer(self, body: bytes) -> Answer:
        assert self._head is not None
        status, headers = self._head
        return Answer(status=status, headers=headers, body=body)

    def _read_head(self) -> bool:
        """Take one head off the buffer; interim answers leave no trace."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or end > HEAD_BYTES_MAX:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise HTTPError(f"a head of more than {HEAD_BYTES_MAX} bytes")
            return False
        status_line, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        match = _STATUS_LINE.fullmatch(status_line)
        if match is None:
            raise HTTPError("no HTTP/1.1 status line")
        status = int(match[1])
        if status < 200:
            return True
        headers = _headers(lines)
        self._head = (status, headers)
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        if status in _BODILESS:
            self._chunked, self._length = False, 0
        elif not self._chunked:
            self._length = _content_length(headers)
        self.reusable = (
            status_line.startswith(b"HTTP/1.1") and headers.get("connection", "").lower() != "close"
        )
        return True

    def _read_chunks(self) -> bool:
        """Take whole chunks off the buffer; whether the last one has come."""
        while True:
            line_end = self._buffer.find(b"\r\n")
            if line_end < 0:
                if len(self._buffer) > CHUNK_LINE_BYTES_MAX:
                    raise HTTPError("a chunk without a size")
                return False
            match = _CHUNK_SIZE.fullmatch(self._buffer[:line_end])
            if match is None:
                raise HTTPError("a chunk without a size")
            size = int(match[1], 16)
            if size == 0:
                return self._read_trailers(line_end + 2)
            start, end = line_end + 2, line_end + 2 + size
            if size > ANSWER_BYTES_MAX or len(self._buffer) < end + 2:
                return self._wait_for(size)
            if self._buffer[end : end + 2] != b"\r\n":
                raise HTTPError("a chunk longer than its size")
            self._body += self._buffer[start:end]
            del self._buffer[: end + 2]

    def _wait_for(self, size: int) -> bool:
        if len(self._body) + size > ANSWER_BYTES_MAX:
            raise HTTPError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
        return False

    def _read_trailers(self, start: int) -> bool:
        """Skip the trailers up to the empty line behind the last chunk."""
        if self._buffer[start : start + 2] == b"\r\n":
            end = start + 2
        else:
            found = self._buffer.find(b"\r\n\r\n", start)
            if found < 0:
                if len(self._buffer) - start > HEAD_BYTES_MAX:
                    raise HTTPError("trailers without end")
                return False
            end = found + 4
        self.reusable = self.reusable and len(self._buffer) == end
        return True


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip():
            raise HTTPError("a header line without a name")
        headers[name.lower()] = value.strip()
    return headers


def _content_length(headers: dict[str, str]) -> int | None:
    text = headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) > ANSWER_BYTES_MAX:
        raise HTTPError("no such Content-Length")
    return int(text)
