"""An HTTP/1.1 answer, read as far as it matters: the status, and whether the connection is good.

What an endpoint answers is read to its end so that the connection can be used again, up to a bound,
and forgotten: nobody is shown it (security.md 5.3).
"""

from __future__ import annotations

from typing import Final

import httptools

_HEADERS_MAX: Final = 256


class ReplyError(Exception):
    """What came is no HTTP answer that we read; nothing of it is repeated."""


class ReplyReader:
    """Reads one answer; sans-IO.

    Args:
        bytes_max: of the whole answer; more is left unread, and the connection closed.

    Attributes:
        status: 0 until it is known.
        is_whole: all of it has been read.
        is_cut: it is longer than was read.
    """

    def __init__(self, bytes_max: int) -> None:
        self.status = 0
        self.is_whole = False
        self.is_cut = False
        self._bytes_left = bytes_max
        self._headers = 0
        self._parser = httptools.HttpResponseParser(self)

    @property
    def can_be_followed(self) -> bool:
        """Whether another request may be sent on the same connection."""
        return self.is_whole and self._keeps_alive

    def feed(self, data: bytes | bytearray) -> None:
        """Take bytes in.

        Raises:
            ReplyError: they are no answer.
        """
        self._bytes_left -= len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.is_whole:
                raise ReplyError("not HTTP") from None
            self._keeps_alive = False  # more than was asked for
        if self._bytes_left <= 0 and not self.is_whole:
            self.is_cut = True

    def end(self) -> None:
        """The connection has ended.

        Raises:
            ReplyError: before the head was whole.
        """
        if not self.status:
            raise ReplyError("ended before an answer")
        self._keeps_alive = False
        self.is_whole = True  # of a length that only the end tells, or cut short: the status counts

    # ----------------------------------------------------------------------- called by httptools

    _keeps_alive = False

    def on_header(self, _name: bytes, _value: bytes) -> None:
        """Count headers: there is no end to them otherwise."""
        self._headers += 1
        if self._headers > _HEADERS_MAX:
            raise ReplyError("too many headers")

    def on_message_begin(self) -> None:
        """Another answer, which nobody asked for, spoils the connection."""
        if self.is_whole:
            raise ReplyError("two answers")

    def on_headers_complete(self) -> None:
        """The head is whole; one of 1xx comes before the answer."""
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
            self._keeps_alive = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        """All of it is here."""
        if self.status:
            self.is_whole = True
