"""A proxy before Postgres that cuts the wire where a test wants it cut.

Modes, taken by the next request or answer that passes:
    "pass"       nothing is cut
    "request"    the request is dropped and the connection cut: the server never hears of it
    "answer"     the server's whole answer is dropped and the connection cut: it has committed
    "hang_up"    the request goes through, the client is cut off at once, the server goes on alone
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Never

import trio
from psycopg.conninfo import conninfo_to_dict, make_conninfo

READY_FOR_QUERY = b"Z\x00\x00\x00\x05"  # the end of an answer, but for its status byte
Mode = Literal["pass", "request", "answer", "hang_up"]


class CuttingProxy:
    """Listens on a loopback port, forwards to the Unix socket of `dsn`'s server."""

    def __init__(self, dsn: str) -> None:
        parts = conninfo_to_dict(dsn)
        self._server = str(Path(str(parts["host"])) / f".s.PGSQL.{parts.get('port', 5432)}")
        self._dsn = dsn
        self.port = 0
        self.mode: Mode = "pass"
        self.cuts = 0

    @property
    def dsn(self) -> str:
        """The same database through the proxy."""
        return make_conninfo(self._dsn, host="127.0.0.1", port=self.port)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> Never:
        """Serve until canceled."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._handle, listeners)
        raise AssertionError("serve_listeners returned")

    def _take(self, *modes: Mode) -> Mode:
        if self.mode not in modes:
            return "pass"
        mode, self.mode = self.mode, "pass"
        self.cuts += 1
        return mode

    async def _handle(self, client: trio.SocketStream) -> None:
        server = await trio.open_unix_socket(self._server)
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(self._requests, client, server, nursery.cancel_scope)
            nursery.start_soon(self._answers, client, server, nursery.cancel_scope)

    async def _requests(
        self, client: trio.SocketStream, server: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        async for chunk in client:
            mode = self._take("request", "hang_up")
            if mode == "request":
                break
            if mode == "hang_up":
                await client.aclose()  # before the server can answer
                await server.send_all(chunk)
                return  # the server side stays open, so its backend goes on
            await server.send_all(chunk)
        scope.cancel()

    async def _answers(
        self, client: trio.SocketStream, server: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        answer = b""
        try:
            async for chunk in server:
                answer = (answer + chunk)[-len(READY_FOR_QUERY) - 1 :]
                if self.mode == "answer":
                    if answer[:-1] == READY_FOR_QUERY:
                        self._take("answer")
                        break
                    continue
                await client.send_all(chunk)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.sleep_forever()  # the client was hung up on: keep the server's side
        scope.cancel()
