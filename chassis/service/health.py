"""The small HTTP server beside each process: `/metrics`, `/healthz`, `/readyz`.

It answers one GET or HEAD per connection and closes. Whoever connects is not trusted: the head is
bounded in bytes and time, and so is the number of connections.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus

import trio
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

HEAD_BYTES_MAX = 8_192
HEAD_TIMEOUT_S = 5.0
SEND_TIMEOUT_S = 10.0
CONNECTIONS_MAX = 16  # one scraper and a few probes; more are closed unanswered
_HEAD_END = b"\r\n\r\n"
_JSON = "application/json"


class BadRequestError(Exception):
    """A request that is not answered with a page; carries the status."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


def parse_head(head: bytes) -> tuple[str, str]:
    """Method and path of a request head (RFC 9112, request line only; no header matters here).

    Raises:
        BadRequestError: 400 for what is no HTTP/1 request line, 405 for methods other than GET
            and HEAD.
    """
    try:
        method, target, version = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
    except (UnicodeDecodeError, ValueError):
        raise BadRequestError(HTTPStatus.BAD_REQUEST) from None
    if version not in ("HTTP/1.0", "HTTP/1.1") or not target.startswith("/"):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    if method not in ("GET", "HEAD"):
        raise BadRequestError(HTTPStatus.METHOD_NOT_ALLOWED)
    return method, target.partition("?")[0]


def render(status: HTTPStatus, content_type: str, body: bytes, *, with_body: bool = True) -> bytes:
    """A whole HTTP/1.1 response that ends the connection."""
    allow = "Allow: GET, HEAD\r\n" if status is HTTPStatus.METHOD_NOT_ALLOWED else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n{allow}Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + (body if with_body else b"")


def _document(status: str, checks: Mapping[str, bool]) -> bytes:
    return json.dumps({"status": status, "checks": dict(checks)}, separators=(",", ":")).encode()


class HealthServer:
    """Serves the three pages of one process.

    Args:
        registry: what `/metrics` shows.
        checks: asked for by `/readyz`: ready when every one is true.
    """

    def __init__(
        self, registry: CollectorRegistry, checks: Callable[[], Mapping[str, bool]]
    ) -> None:
        self._registry = registry
        self._checks = checks
        self._connections = 0

    def page(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        """Status, content type and body of one page."""
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        # The documents are those that the API answers under the same names.
        if path == "/healthz":
            return HTTPStatus.OK, _JSON, _document("ok", {})
        if path == "/readyz":
            checks = self._checks()
            if all(checks.values()):
                return HTTPStatus.OK, _JSON, _document("ok", checks)
            return HTTPStatus.SERVICE_UNAVAILABLE, _JSON, _document("unavailable", checks)
        return HTTPStatus.NOT_FOUND, _JSON, b'{"error":"not found"}'

    def respond(self, head: bytes) -> bytes:
        """The whole response to a whole request head."""
        try:
            method, path = parse_head(head)
        except BadRequestError as error:
            return render(error.status, _JSON, json.dumps({"error": str(error)}).encode())
        status, content_type, body = self.page(path)
        return render(status, content_type, body, with_body=method == "GET")

    async def serve(
        self,
        listener: socket.socket,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve a bound, listening socket until canceled."""
        listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
        serve = partial(trio.serve_listeners, self._handle, listeners)
        async with trio.open_nursery() as nursery:
            await nursery.start(serve)
            task_status.started()

    async def _handle(self, stream: trio.SocketStream) -> None:
        self._connections += 1
        try:
            if self._connections <= CONNECTIONS_MAX:
                await self._answer(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the peer went away; it had nothing of ours
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)

    async def _answer(self, stream: trio.SocketStream) -> None:
        head = b""
        with trio.move_on_after(HEAD_TIMEOUT_S):
            while _HEAD_END not in head:
                received = await stream.receive_some(HEAD_BYTES_MAX)
                head += received
                if not received or len(head) > HEAD_BYTES_MAX:
                    return
        if _HEAD_END not in head:
            return
        with trio.move_on_after(SEND_TIMEOUT_S):
            await stream.send_all(self.respond(head))
            await stream.send_eof()
            # Closing with unread input would make the kernel reset the answer away.
            while await stream.receive_some(HEAD_BYTES_MAX):
                continue
