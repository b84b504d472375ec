"""Bytes in, requests out: HTTP/1.1 as RFC 9110 and 9112 write it, read strictly and sans-IO.

Theory of operation
-------------------
llhttp (through httptools) finds the tokens and already refuses most of what request smuggling
lives on: both Content-Length and Transfer-Encoding, several or signed lengths, bare CR or LF,
folded headers, white space before a colon, bad chunk sizes. This module adds what llhttp leaves
open (other transfer codings before `chunked`, chunks in HTTP/1.0, a repeated or missing Host,
targets that are not paths, repeated headers that are signed) and every limit. A test walks
through the forms one by one, so that an upgrade of llhttp cannot quietly relax one.

After a rejection the parser is dead: what follows on such a connection could be anything.

Limits are exact for a head that has arrived; one that is still arriving is cut off by the bytes
fed so far, which may exceed the limit by one receive at most.

An `Upgrade` header is ignored, as RFC 9110 section 7.8 allows: Java's client sends one with every
cleartext request. llhttp stops there and would not read the body, so the body is read by a second
parser that is told of its framing only.
"""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from typing import Final, NoReturn, final

import httptools
from msgspec import Struct

from chassis.settings import API

RECEIVE_BYTES: Final = 16_384  # one read of a socket: one TLS record, a burst of requests
HEADER_FIELDS_MAX: Final = 100
_BODY_OVERHEAD: Final = 8  # one-byte chunks cost six bytes each; more is padding by extensions

_EMPTY_HASH: Final = sha256(b"").hexdigest().encode()

SINGLE_HEADERS: Final = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"idempotency-key",
        b"transfer-encoding",
        b"x-client-secret",
        b"x-request-nonce",
        b"x-request-timestamp",
        b"x-signature",
    }
)


class Request(Struct, gc=False):
    """One request as it was sent; header names in lower case, white space around values cut.

    `gc=False`: it holds bytes and one dictionary of bytes, so it cannot be part of a cycle.
    """

    method: bytes
    target: bytes  # path and query, exactly as received
    headers: dict[bytes, bytes]
    body: bytes
    keep_alive: bool
    _body_hash: bytes = b""

    def body_hash(self) -> bytes:
        """The lower-case hexadecimal SHA-256 of the body, made when it is first asked for."""
        if not self._body_hash:
            body = self.body
            self._body_hash = sha256(body).hexdigest().encode() if body else _EMPTY_HASH
        return self._body_hash


@final
class Rejection(Struct, frozen=True):
    """What arrived is no request that could be answered; the connection ends with this answer."""

    code: str  # of the error catalog
    detail: str  # names the rule, never the bytes


class Phase(Enum):
    """Where in a message the parser stands: each has a time limit of its own."""

    IDLE = "between requests"
    HEAD = "in a head"
    BODY = "in a body"


_IDLE: Final = Phase.IDLE  # an enumeration looks its member up each time it is named
_HEAD: Final = Phase.HEAD
_BODY: Final = Phase.BODY


class _StopParsingError(Exception):
    """Raised through llhttp when one of our own rules is broken."""


class RequestParser:
    """Turns the bytes of one connection into requests.

    Attributes:
        phase: where the bytes fed so far end.
        messages_begun: counts heads begun, so that a shell can tell a new one from an old one.
        continue_awaited: the request whose body is awaited asked for `100 Continue`.
    """

    __slots__ = (
        "_body",
        "_body_bytes",
        "_ended",
        "_fed_bytes",
        "_finished",
        "_head",
        "_headers",
        "_is_current",
        "_keep_alive",
        "_limits",
        "_method",
        "_parser",
        "_raw_bytes",
        "_raw_bytes_before",
        "_rejection",
        "_target",
        "continue_awaited",
        "messages_begun",
        "phase",
    )

    def __init__(self, limits: API) -> None:
        self.phase: Phase = _IDLE
        self.messages_begun = 0
        self.continue_awaited = False
        self._limits = limits
        self._finished: list[Request | Rejection] = []
        self._rejection: Rejection | None = None
        self._ended = False
        self._fed_bytes = 0  # in the feed under way
        self._raw_bytes = 0  # fed since this head, or this body, began ...
        self._raw_bytes_before = 0  # ... of which so many may belong to what was before it
        self._method = b""
        self._target = b""
        self._headers: dict[bytes, bytes] = {}  # arriving
        self._head: dict[bytes, bytes] = {}  # complete
        self._is_current = True  # HTTP/1.1
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._keep_alive = True
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> list[Request | Rejection]:
        """Take what was received; give the requests that are complete, oldest first.

        A `Rejection` is always the last of the list; from then on nothing is read.
        """
        if self._ended:
            return []
        self._fed_bytes = len(data)
        self._raw_bytes += self._fed_bytes
        try:
            self._feed(data)
        except httptools.HttpParserCallbackError:
            if self._rejection is None:
                raise
        except httptools.HttpParserError as error:
            self._fail(str(error))
        if self.phase is not _IDLE and self._rejection is None:
            self._check_raw_bytes()
        finished, self._finished = self._finished, []
        if self._rejection is not None:
            self._ended = True
            finished.append(self._rejection)
        return finished

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self._ignore_upgrade()
            else:
                return

    # Callbacks of llhttp, in the order of a message.

    def on_message_begin(self) -> None:
        """The first byte of a request line."""
        self.phase = _HEAD
        self.messages_begun += 1
        self._target = b""

    def on_url(self, part: bytes) -> None:
        """The target, or a part of it."""
        self._target += part
        # The line also holds the method, the version and two spaces.
        if len(self._target) > self._limits.request_line_bytes_max - 16:
            self._reject("uri_too_long", "")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field, or a trailer."""
        name = name.lower()
        if name in self._headers and name in SINGLE_HEADERS:
            self._reject("malformed_request", f"the header {name.decode()} stands twice")
        self._headers[name] = value.strip(b" \t")

    def on_headers_complete(self) -> None:
        """The empty line after the head."""
        self.phase = _BODY
        self._method = self._parser.get_method()
        # What comes now are trailers, and they go with the dictionary they are put into.
        self._head, self._headers = self._headers, {}
        self._check_form(self._head)
        self._check_size(self._head)
        self._body_bytes = 0
        self._raw_bytes = self._raw_bytes_before = self._fed_bytes

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        self._body_bytes += len(part)
        if self._body_bytes > self._limits.body_bytes_max:
            self._reject("payload_too_large", "")
        self._body.append(part)

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        if self._parser.should_upgrade() and _has_body(self._head):
            return  # llhttp has stopped before the body
        body = self._body
        self._keep_alive = self._is_current and self._parser.should_keep_alive()
        self._finished.append(
            Request(
                self._method,
                self._target,
                self._head,
                b"" if not body else body[0] if len(body) == 1 else b"".join(body),
                self._keep_alive,
            )
        )
        self.phase = _IDLE
        self.continue_awaited = False
        if self._headers:
            self._headers = {}
        if body:
            self._body = []
        self._raw_bytes = self._raw_bytes_before = self._fed_bytes

    # Our own rules.

    def _check_form(self, headers: dict[bytes, bytes]) -> None:
        version = self._parser.get_http_version()
        coding = headers.get(b"transfer-encoding")
        self._is_current = version == "1.1"
        if self._is_current:
            if not headers.get(b"host"):
                self._reject("malformed_request", "the Host header is missing or empty")
        elif version != "1.0":
            self._reject("http_version_not_supported", "")
        elif coding is not None:
            self._reject("malformed_request", "HTTP/1.0 knows no Transfer-Encoding")
        if coding is not None and coding.lower() != b"chunked":
            self._reject("malformed_request", "Transfer-Encoding must be chunked alone")
        if self._target[:1] != b"/" or b"#" in self._target:
            self._reject("malformed_request", "the target must be a path with an optional query")
        if b"expect" in headers:
            if headers[b"expect"].lower() != b"100-continue":
                self._reject("expectation_failed", "")
            self.continue_awaited = self._is_current and _has_body(headers)

    def _check_size(self, headers: dict[bytes, bytes]) -> None:
        limits = self._limits
        if int(headers.get(b"content-length", 0)) > limits.body_bytes_max:
            self._reject("payload_too_large", "")
        if len(headers) > HEADER_FIELDS_MAX or (
            self._raw_bytes > limits.header_bytes_max
            and _size_of(headers) > limits.header_bytes_max
        ):
            self._reject("header_fields_too_large", "")

    def _check_raw_bytes(self) -> None:
        """Bound what is buffered for, or wasted on, a message that is still arriving."""
        limits = self._limits
        arrived = self._raw_bytes - self._raw_bytes_before
        if self.phase is _HEAD:
            if arrived > limits.request_line_bytes_max + limits.header_bytes_max:
                self._rejection = Rejection("header_fields_too_large", "")
        elif arrived > _BODY_OVERHEAD * limits.body_bytes_max:
            self._rejection = Rejection("payload_too_large", "the chunks carry too little")

    def _ignore_upgrade(self) -> None:
        """Read on with a new parser; it learns the framing of a body that is still to come."""
        keep_alive = self._parser.should_keep_alive()
        self._parser = httptools.HttpRequestParser(self)
        if self.phase is _IDLE:
            return  # there was no body: the request is complete
        method, target, headers = self._method, self._target, self._head
        framing = b"".join(
            b"%b: %b\r\n" % (name, headers[name])
            for name in (b"content-length", b"transfer-encoding")
            if name in headers
        )
        connection = b"" if keep_alive else b"connection: close\r\n"
        self._parser.feed_data(b"POST / HTTP/1.1\r\nhost: -\r\n%b%b\r\n" % (framing, connection))
        self._method, self._target, self._head = method, target, headers
        self.messages_begun -= 1

    def _fail(self, reason: str) -> None:
        """Judge an error of llhttp, whose reasons are fixed texts without data."""
        if self.phase is _IDLE and not self._keep_alive:
            self._ended = True  # data after the last request of the connection: never a request
        elif reason in _VERSION_ERRORS:
            self._rejection = Rejection("http_version_not_supported", "")
        else:
            self._rejection = Rejection("malformed_request", reason)

    def _reject(self, code: str, detail: str) -> NoReturn:
        self._rejection = Rejection(code, detail)
        raise _StopParsingError(code)


_VERSION_ERRORS: Final = frozenset({"Invalid HTTP version", "Pause on PRI/Upgrade"})


def _has_body(headers: dict[bytes, bytes]) -> bool:
    return b"transfer-encoding" in headers or int(headers.get(b"content-length", 0)) > 0


def _size_of(headers: dict[bytes, bytes]) -> int:
    return sum(len(name) + len(value) + len(": \r\n") for name, value in headers.items())
